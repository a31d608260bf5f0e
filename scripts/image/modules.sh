# shellcheck shell=sh disable=SC2034,SC2154 # variables are shared with build-image.sh
# Sourced by build-image.sh: picks those of a kernel's modules that tests of networks and of the
# system can use. These are all network and netfilter modules except radio and network storage, the
# drivers for what a VM has, and all modules that these depend on.

# Extended regular expressions that match the start of a module's path.
modules_in='^kernel/(net|crypto|fs/(9p|overlayfs|ext4|fuse|nls)|lib/ts_'\
'|drivers/(virtio|char/hw_random|net/(wireguard|vxlan|bonding|team|ipvlan|ppp|netdevsim)'\
'|net/[^/]*\.ko|block/(virtio_blk|loop|nbd)\.|char/virtio))'
modules_out='^kernel/net/(bluetooth|wireless|mac80211|mac802154|ieee802154|6lowpan|nfc|can|ceph'\
'|rds|smc|sunrpc|tipc|ax25|netrom|rose|appletalk|x25|lapb|phonet|caif|atm'\
'|rxrpc|9p/9pnet_(rdma|xen))'\
'|^kernel/drivers/(net/(xen|hyperv|fjes|thunderbolt|sungem|mii|mdio)|virtio/virtio_(dma|input|mem))'

# pick_kernel VMLINUZ TREE: makes vmlinuz, modules.tar.zst and release from an unpacked kernel
# package, in the current folder.
pick_kernel() {
  mv "$1" vmlinuz
  lib=$2/lib/modules
  [ -d "$lib" ] || lib=$2/usr/lib/modules
  ls "$lib" >release
  release=$(cat release)
  # depmod wants a root with lib/modules below it.
  mkdir -p all/lib/modules picked/lib/modules
  mv "$lib/$release" all/lib/modules/
  # depmod has to read the modules, and few versions can unpack all three formats.
  find all -name '*.ko.gz' -exec gzip -d {} +
  find all -name '*.ko.xz' -exec xz -d {} +
  find all -name '*.ko.zst' -exec zstd -dq --rm {} +
  depmod --basedir all "$release"
  all=all/lib/modules/$release
  # A line of modules.dep names a module and everything it needs.
  awk -F: -v want="$modules_in" -v not="$modules_out" '$1 ~ want && $1 !~ not {
    print $1
    n = split($2, needs, " ")
    for (i = 1; i <= n; i++) print needs[i]
  }' "$all/modules.dep" | sort -u >picked/list
  (cd "$all" && ls modules.builtin modules.builtin.modinfo modules.order) >>picked/list
  mkdir "picked/lib/modules/$release"
  tar -C "$all" -cf - -T picked/list | tar -C "picked/lib/modules/$release" -xf -
  # It warns of the names in modules.order that were not picked.
  depmod --basedir picked "$release" 2>>"$log_file"
  tar -C picked --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$epoch" -cf - lib |
    zstd -q -3 >modules.tar.zst
  rm -rf all picked "$2"
}
