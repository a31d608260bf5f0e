#!/bin/sh
# Builds whatever is missing, then runs the tests in VMs with orca.
#
# usage: scripts/test.sh [--base alpine|debian|auto] [--arch x86_64|aarch64] [ARG of orca test…]
#
#   --base BASE   use the image of that base, in build/BASE beside the default one in build
#   --arch ARCH   use the image for that architecture; another than the host's is in build/ARCH or
#                 build/ARCH/BASE
#
# Everything else goes to `orca test`: try `scripts/test.sh -j2 t/30-firewall`. The options of
# `orca test` are in `build/orca test --help`. ORCA_KERNEL, ORCA_INITRD, ORCA_ROOTFS,
# ORCA_PROJECT_ROOT and ORCA_ARCH are set to the image and this project unless the environment has
# them.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
scripts=$root/scripts
. "$scripts/need.sh"
. "$scripts/lib/target.sh"

base='' arch=$(host_arch)
while [ $# -gt 0 ]; do
  case $1 in
    -h | --help) sed -n '2,/^set/s/^# \{0,1\}//p' "$0"; exit 0 ;;
    --base | --arch) [ $# -ge 2 ] || die "$1 needs a value" "see $0 --help" ;;
    *) break ;;
  esac
  case $1 in --base) base=$2 ;; --arch) arch=$2 ;; esac
  shift 2
done

case $arch in
  aarch64) emulator=qemu-system-arm ;;
  *) emulator=qemu-system-x86 ;;
esac
need "qemu-system-$arch" "$emulator" qemu-img qemu-utils mke2fs e2fsprogs
"$scripts/build-toolbox.sh" --arch "$arch"
image=$root/build
[ "$arch" = "$(host_arch)" ] || image=$image/$arch
image=$image${base:+/$base}
"$scripts/build-image.sh" --base "${base:-auto}" --arch "$arch" --out "$image" || {
  status=$?
  if [ "$status:$base" = 2:alpine ] && grep -q '^curl: ' "$image/build-image.log"; then
    die "Alpine's mirror cannot be used" "--base debian does without; ALPINE_MIRROR=URL names \
another mirror, ALPINE_MINIROOTFS=FILE an alpine-minirootfs archive"
  fi
  exit "$status"
}

kernel=$image/vmlinux
[ -e "$kernel" ] || kernel=$image/vmlinuz
: "${ORCA_KERNEL:=$kernel}" "${ORCA_INITRD:=$image/initramfs}" "${ORCA_ROOTFS:=$image/rootfs.ext4}"
: "${ORCA_PROJECT_ROOT:=$root}" "${ORCA_ARCH:=$arch}"
export ORCA_ARCH ORCA_KERNEL ORCA_INITRD ORCA_ROOTFS ORCA_PROJECT_ROOT
exec "$root/build/orca" test "$@"
