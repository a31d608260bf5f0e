#!/bin/sh
# Installs Alpine packages into a release archive. Run by build-image.sh as root, or as root of a
# user namespace.
#
# usage: scripts/image/apk.sh DIR MINIROOTFS BRANCH_URL EPOCH PACKAGE…
#
# Makes root.tar.zst and linux-virt.apk in DIR. The archive's own apk does the work, with the keys
# in the archive.
set -eu
dir=$1 minirootfs=$2 branch=$3 epoch=$4
shift 4
tree=$dir/tree
mkdir "$tree"
gzip -dc "$minirootfs" | tar -C "$tree" --numeric-owner --exclude='./dev/*' -xpf -
cp /etc/resolv.conf "$tree/etc/resolv.conf"
: >"$tree/dev/null" # install scripts write to it
printf '%s/main\n%s/community\n' "$branch" "$branch" >"$tree/etc/apk/repositories"
mkdir "$tree/kernel"
chroot "$tree" /sbin/apk --no-progress --no-cache add "$@"
chroot "$tree" /sbin/apk --no-progress --no-cache fetch --output /kernel linux-virt
mv "$tree"/kernel/linux-virt-*.apk "$dir/linux-virt.apk"
rm -rf "$tree/kernel" "${tree:?}"/dev/*
find "$tree" -newermt "@$epoch" -exec touch -h -d "@$epoch" {} +
tar -C "$tree" --sort=name --numeric-owner --xattrs --xattrs-include='*' -cf - . |
  zstd -q -3 >"$dir/root.tar.zst"
rm -rf "$tree"
