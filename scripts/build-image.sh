#!/bin/sh
# Builds the guest image: kernel, initramfs and root file system, with the agent in them.
#
# usage: scripts/build-image.sh [--base alpine|debian|auto] [--arch x86_64|aarch64]
#   [--init none|systemd] [--out DIR] [--refresh]
#
#   --base BASE   whose packages the guest has (default auto: the base that DIR has already; else
#                 Alpine, if ALPINE_MINIROOTFS is set or, for the host's architecture, its mirror
#                 answers; else Debian)
#   --arch ARCH   the guest's architecture (default the host's)
#   --init INIT   what `orca test --init own` starts: none for the init of the base (default; Debian
#                 has none), or systemd with --base debian
#   --out DIR     where the files go (default build, or build/ARCH for another architecture than the
#                 host's); give each base its own
#   --refresh     take the newest packages, not those in the cache
#
# Makes in DIR: vmlinuz, vmlinux (x86_64 only), initramfs, rootfs.ext4, the folder modules, and
# image.info, which says what they are. Makes nothing again unless an input has changed. Builds the
# programs first if they are missing. Environment: DEBIAN_MIRROR, DEBIAN_SUITE, ALPINE_MIRROR,
# ALPINE_VERSION, SOURCE_DATE_EPOCH, and ALPINE_MINIROOTFS=FILE for an Alpine base without its
# mirror, which has Debian's kernel and only the tools of busybox.
set -eu
scripts=$(cd "$(dirname "$0")" && pwd)
root=${scripts%/*}
. "$scripts/need.sh"
. "$scripts/lib/target.sh"
. "$scripts/image/cache.sh"
. "$scripts/image/modules.sh"
. "$scripts/image/boot.sh"
. "$scripts/image/debian.sh"
. "$scripts/image/minirootfs.sh"
. "$scripts/image/alpine.sh"
. "$scripts/image/base.sh"
. "$scripts/image/key.sh"

base=auto arch=$(host_arch) init=none out='' refresh=no
while [ $# -gt 0 ]; do
  case $1 in
    -h | --help) sed -n '2,/^set/s/^# \{0,1\}//p' "$0"; exit 0 ;;
    --refresh) refresh=yes; shift; continue ;;
    --base | --arch | --init | --out) [ $# -ge 2 ] || die "$1 needs a value" "see $0 --help" ;;
    *) die "unknown argument \`$1\`" "see $0 --help" ;;
  esac
  case $1 in --base) base=$2 ;; --arch) arch=$2 ;; --init) init=$2 ;; --out) out=$2 ;; esac
  shift 2
done
check_base
check_arch

epoch=${SOURCE_DATE_EPOCH:-1700000000} # a fixed date: the same packages make the same files
free_mib=640 # the free space of the root file system, which a test can fill
built=$root/build
[ "$arch" = "$(host_arch)" ] || built=$root/build/$arch
toolbox=$root/build/toolbox agent=$built/toolbox-linux
if [ ! -x "$toolbox" ] || [ ! -x "$agent" ]; then
  "$scripts/build-toolbox.sh" --arch "$arch"
fi
need flock util-linux
out=${out:-$built}
mkdir -p "$out"
out=$(cd "$out" && pwd)
log_file=$out/build-image.log
exec 9>"$out/.image.lock"
flock -n 9 || { say "waiting for another build in $out"; flock 9; }
choose_base
key=$(image_key "$base")
if [ "$refresh" = no ] && is_current; then
  exit 0
fi

need mke2fs e2fsprogs zstd zstd xz xz-utils curl curl depmod kmod
need_root
: >"$log_file"
work=$out/.image.new.$$
as_root rm -rf "$out"/.image.new.*
mkdir "$work"
trap 'as_root rm -rf "$work" "${cache:?}/.new.$$"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
"${base}_image"
boot_files
install_image
say "$out has $contents"
