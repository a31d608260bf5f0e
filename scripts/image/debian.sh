# shellcheck shell=sh disable=SC2034,SC2154 # variables are shared with build-image.sh
# Sourced by build-image.sh: Debian's packages as the base of an image, and Debian's kernel, which
# any base can boot. Both come through mmdebstrap, which fetches its own package lists: the host may
# be any release of Debian, or Ubuntu.

debian_suite=${DEBIAN_SUITE:-bookworm}

# The tools that the suites in t/ use. There is no python and no systemd: a web server is busybox
# httpd with CGI in shell, or socat.
debian_packages='bind9-dnsutils busybox conntrack curl dnsmasq-base ethtool iproute2 iptables
  iputils-ping kmod libcap2-bin netcat-openbsd nftables procps socat tcpdump udhcpc'
# For --init systemd: systemd as the image's init, and the services of a small server.
debian_systemd='cron dbus systemd systemd-sysv udev'
debian_left_out='/usr/share/doc/* /usr/share/man/* /usr/share/info/* /usr/share/locale/*
  /usr/share/lintian/* /usr/share/zoneinfo/* /usr/share/bash-completion/*'

# debstrap TARGET ARG…: runs mmdebstrap for the guest's architecture and the suite.
debstrap() {
  target=$1
  shift
  # shellcheck disable=SC2086 # no mirror given is no argument
  quietly "$log_file" env SOURCE_DATE_EPOCH="$epoch" mmdebstrap --architectures="$(deb_arch)" \
    --mode=auto --skip=check/qemu "$@" "$debian_suite" "$target" ${DEBIAN_MIRROR:-}
}

debian_need() {
  need mmdebstrap mmdebstrap
  [ -e /usr/share/keyrings/debian-archive-keyring.gpg ] ||
    need debian-archive-keyring debian-archive-keyring
}

# The base, as root.tar.zst in the cache; sets $entry.
debian_base() {
  debian_need
  [ "$init" != systemd ] || debian_packages="$debian_packages $debian_systemd"
  inputs=$({
    echo "$debian_packages $debian_left_out ${DEBIAN_MIRROR:-}"
    ! is_foreign || cat "$scripts/image/foreign.sh"
  } | digest)
  cached "debian-$debian_suite-$arch-$inputs" debian_base_make
}

debian_base_make() {
  say "making the base of Debian $debian_suite packages (mmdebstrap; half a minute or more)"
  set -- --variant=minbase
  if is_foreign; then # no program of a package can be run here
    hook=$(cat "$scripts/image/foreign.sh")
    set -- --variant=extract --include='?essential' --include='?priority(required)' --include=apt
    set -- "$@" --setup-hook="$hook" --extract-hook="$hook"
  fi
  set -f
  for path in $debian_left_out; do
    set -- "$@" --dpkgopt="path-exclude=$path"
  done
  set +f
  # shellcheck disable=SC2086 # a list of names
  debstrap root.tar.zst "$@" --include="$(echo $debian_packages | tr ' ' ,)"
}

# The kernel, as vmlinuz, modules.tar.zst and release in the cache; sets $entry.
debian_kernel() {
  debian_need
  inputs=$(digest <"$scripts/image/modules.sh")
  cached "debian-$debian_suite-$arch-kernel-$inputs" debian_kernel_make
}

debian_kernel_make() {
  say "unpacking the kernel of Debian $debian_suite (linux-image-$(deb_arch), 70 MB)"
  # The metapackage's only dependency is the current kernel package. It is downloaded, not
  # installed, into a folder of the tree: without root the hook runs in a user namespace, which may
  # write nowhere else.
  # shellcheck disable=SC2016 # for the hook's shell
  debstrap kernel.tar --variant=custom --customize-hook='export APT_CONFIG="$MMDEBSTRAP_APT_CONFIG"
    name=$(apt-cache depends linux-image-'"$(deb_arch)"' |
      sed -n "s/.*Depends: \(linux-image-[0-9][^ ]*\)$/\1/p")
    mkdir "$1/kernel" && chmod 777 "$1/kernel" && cd "$1/kernel" && apt-get download "$name"'
  tar -xf kernel.tar ./kernel
  dpkg-deb --extract kernel/*.deb tree
  rm -r kernel kernel.tar
  pick_kernel tree/boot/vmlinuz-* tree
}

# Puts everything that pack.sh and the initramfs need into $work.
debian_image() {
  debian_base
  ln -s "$entry/root.tar.zst" "$work/"
  debian_kernel
  use_kernel "$entry"
  contents="Debian $debian_suite with kernel $release"
  [ "$init" != systemd ] || contents="$contents and systemd"
}
