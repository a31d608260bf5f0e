# shellcheck shell=sh disable=SC2034,SC2154 # variables are shared with build-image.sh
# Sourced by build-image.sh: makes what QEMU boots from a base, a kernel and the agent, in $work.

# as_root CMD…: as root, or as root of a user namespace that has all users of a file system.
as_root() {
  if [ "$(id -u)" = 0 ]; then
    "$@"
  else
    unshare --map-root-user --map-auto -- "$@"
  fi
}

# Dies before the work begins if the user is neither root nor allowed such a namespace.
need_root() {
  [ "$(id -u)" != 0 ] || return 0
  need newuidmap uidmap
  as_root true 2>/dev/null ||
    die "file systems cannot be built by $(id -un) here" \
      "run it as root, or allow user namespaces and add you to /etc/subuid and /etc/subgid"
}

# use_kernel FOLDER: makes what pick_kernel has put there the image's kernel.
use_kernel() {
  cp "$1/vmlinuz" "$work/"
  ln -s "$1/modules.tar.zst" "$work/"
  release=$(cat "$1/release")
}

boot_files() {
  say "packing the root file system and the initramfs"
  quietly "$log_file" as_root sh "$scripts/image/pack.sh" "$work" "$agent" "$epoch" "$free_mib"
  # The modules stay beside the kernel, for root file systems that do not have them.
  mkdir "$work/modules"
  zstd -dcq <"$work/modules.tar.zst" |
    tar -C "$work/modules" --strip-components=2 --no-same-owner -xf -
  quietly "$log_file" "$toolbox" orca image initramfs --kernel "$work/vmlinuz" --agent "$agent" \
    --modules "$work/modules/$release" --out "$work/initramfs"
  case $arch in
    # QEMU enters an unpacked kernel directly. On x86_64 it is a second file; on aarch64 it replaces
    # the packed kernel, which not every QEMU can boot.
    x86_64) unpacked=$work/vmlinux ;;
    *) unpacked=$work/vmlinuz ;;
  esac
  "$toolbox" orca image vmlinux "$work/vmlinuz" --out "$unpacked" 2>>"$log_file" ||
    say "no unpacked kernel: $(tail -n 2 "$log_file" | head -n 1)"
}
