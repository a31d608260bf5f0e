#!/bin/sh
# Packs a root file system. Run by build-image.sh, as root or as root of a user namespace.
#
# usage: scripts/image/pack.sh DIR AGENT EPOCH FREE_MIB
#
# Makes DIR/rootfs.ext4 from DIR/root.tar.zst, DIR/modules.tar.zst and AGENT, which becomes a
# service of the image's own init. EPOCH is the latest date of its files; tests have FREE_MIB to
# fill.
set -eu
dir=$1 agent=$2 epoch=$3 free_mib=$4
here=$(cd "$(dirname "$0")" && pwd)
tree=$dir/tree
mkdir "$tree"
zstd -dcq <"$dir/root.tar.zst" |
  tar -C "$tree" --numeric-owner --xattrs --xattrs-include='*' --exclude='./dev/*' -xpf -
# usr/lib if /usr is merged. The link is not followed: it could lead out of the tree.
lib=$(readlink "$tree/lib" || echo lib)
zstd -dcq <"$dir/modules.tar.zst" |
  tar -C "$tree/$lib" --numeric-owner --strip-components=1 -xf -

# Nothing of the building machine may get into the image.
rm -f "$tree/etc/resolv.conf" "$tree/etc/hostname" "$tree/etc/.pwd.lock"
rm -rf "$tree"/var/lib/apt/lists/* "$tree"/var/cache/* "$tree"/var/log/* "$tree"/tmp/* \
  "${tree:?}"/boot/*
: >"$tree/etc/machine-id"
echo orca >"$tree/etc/hostname"
: >"$tree/etc/resolv.conf"
printf '127.0.0.1 localhost orca\n::1 localhost\n' >"$tree/etc/hosts"
mkdir -p "$tree/mnt/glacic"

# The agent, and the service that starts it if the kernel's command line has no agent_mode=true.
sbin=$(readlink "$tree/sbin" || echo sbin)
cp "$agent" "$tree/$sbin/agent"
chmod 755 "$tree/$sbin/agent"
if [ -e "$tree/etc/inittab" ]; then
  if [ ! -e "$tree/$sbin/openrc" ]; then
    sed -i '/openrc/d' "$tree/etc/inittab"
    # Without openrc there are no runlevels: init starts what runs on every Alpine.
    printf '::respawn:/sbin/syslogd -n\n::respawn:/usr/sbin/crond -f\n' >>"$tree/etc/inittab"
  fi
  sed -i '/^tty[0-9]/d' "$tree/etc/inittab" # the machine has no screen
  printf '\n# orca: the agent\n::respawn:/sbin/agent\n' >>"$tree/etc/inittab"
else
  units=$tree/etc/systemd/system
  mkdir -p "$units/multi-user.target.wants"
  cp "$here/agent.service" "$units/agent.service"
  ln -sf ../agent.service "$units/multi-user.target.wants/agent.service"
fi

find "$tree" -newermt "@$epoch" -exec touch -h -d "@$epoch" {} +
# No journal and no checksums: the disk is thrown away, and both cost the guest time. The inode
# tables are written here, so that the guest need not write them.
size_kib=$(($(du -sk --apparent-size "$tree" | cut -f1) * 11 / 10 + free_mib * 1024 + 32 * 1024))
E2FSPROGS_FAKE_TIME=$epoch mke2fs -q -t ext4 -d "$tree" -m 0 -L rootfs -N 65536 -b 4096 \
  -O '^has_journal,^metadata_csum,^resize_inode' -U 6f726361-0000-4000-8000-726f6f746673 \
  -E hash_seed=6f726361-0000-4000-8000-726f6f746673,lazy_itable_init=0,root_owner=0:0 \
  "$dir/rootfs.ext4" "${size_kib}k"
rm -rf "$tree"
