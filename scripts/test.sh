#!/bin/sh
# The main job: builds whatever is missing, then runs the tests in VMs.
#
# usage: scripts/test.sh [--base alpine|debian|auto] [--arch x86_64] [arguments of `orca test`]
#
# With --base the image of that base is used (it lives in build/BASE beside the default one in build). Everything else goes to
# `orca test`: try `scripts/test.sh -j2 t/30-firewall`, or `scripts/test.sh --help`.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
scripts=$root/scripts
. "$scripts/need.sh"

base='' arch=x86_64
while [ $# -gt 0 ]; do
  case $1 in
    --base | --arch) [ $# -ge 2 ] || die "$1 needs a value" "see scripts/build-image.sh --help" ;;
    *) break ;;
  esac
  case $1 in --base) base=$2 ;; --arch) arch=$2 ;; esac
  shift 2
done

need qemu-system-x86_64 qemu-system-x86 qemu-img qemu-utils
"$scripts/build-toolbox.sh"
image=$root/build${base:+/$base}
"$scripts/build-image.sh" --base "${base:-auto}" --arch "$arch" --out "$image"

kernel=$image/vmlinux
[ -e "$kernel" ] || kernel=$image/vmlinuz
: "${ORCA_KERNEL:=$kernel}" "${ORCA_INITRD:=$image/initramfs}" "${ORCA_ROOTFS:=$image/rootfs.ext4}"
: "${ORCA_PROJECT_ROOT:=$root}"
export ORCA_KERNEL ORCA_INITRD ORCA_ROOTFS ORCA_PROJECT_ROOT
exec "$root/build/orca" test "$@"
