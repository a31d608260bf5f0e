# The names that people type. The work is done by scripts/.

help:
	@echo 'make build-toolbox   the programs: build/toolbox and its links, and the agent'
	@echo 'make image           the guest image: build/vmlinuz vmlinux initramfs rootfs.ext4'
	@echo 'make test-orca       t/ in parallel VMs, by orca'
	@echo 'make test-int        t/ in one VM, by the legacy shell runner'
	@echo 'make check           everything that CI checks'
	@echo 'make clean           remove what was built'

build-toolbox:
	@scripts/build-toolbox.sh

image: build-toolbox
	@scripts/build-image.sh

test-orca: image
	@build/orca test $(ARGS)

test-int: image
	@scripts/run-serial.sh $(ARGS)

check:
	@scripts/check.sh

clean:
	rm -rf build target

.PHONY: help build-toolbox image test-orca test-int check clean
