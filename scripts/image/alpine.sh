# shellcheck shell=sh disable=SC2034,SC2154 # variables are shared with build-image.sh
# Sourced by build-image.sh: Alpine as the base of an image. Its release archive comes from the
# mirror or from ALPINE_MINIROOTFS. Its packages and its kernel come from the mirror; if that has
# none, the image has no packages, and Debian's kernel.

alpine_version=${ALPINE_VERSION:-3.20.3}
alpine_mirror=${ALPINE_MIRROR:-https://dl-cdn.alpinelinux.org/alpine}
alpine_branch=$alpine_mirror/v${alpine_version%.*}

# The same tools as in debian.sh; the DHCP client is busybox's own.
alpine_packages='bind-tools busybox-extras conntrack-tools curl dnsmasq ethtool iproute2 iptables
  iputils kmod libcap-utils netcat-openbsd nftables openrc procps-ng setpriv socat tcpdump
  util-linux-misc'

# Whether the mirror has packages and answers within a few seconds.
alpine_answers() {
  need curl curl
  curl --silent --fail --head --location --max-time 4 --output /dev/null \
    "$alpine_branch/main/$arch/APKINDEX.tar.gz"
}

alpine_image() {
  if [ -n "${ALPINE_MINIROOTFS:-}" ]; then
    alpine_name=$(digest <"$ALPINE_MINIROOTFS")
  else
    alpine_name=$alpine_version-$(echo "$alpine_mirror" | digest)
  fi
  cached "alpine-$alpine_name-$arch-minirootfs" alpine_minirootfs_make
  minirootfs=$entry/minirootfs.tar.gz
  if ! is_foreign && alpine_answers; then
    inputs=$(cat "$entry/SHA256SUMS" "$scripts/image/apk.sh" "$scripts/image/alpine.sh" \
      "$scripts/image/modules.sh" | digest)
    cached "alpine-$alpine_name-$arch-$inputs" alpine_packages_make
    ln -s "$entry/root.tar.zst" "$work/"
    use_kernel "$entry"
    contents="Alpine with kernel $release"
  else
    if is_foreign; then
      why="apk for $arch cannot be run here"
    else
      why="no packages at $alpine_branch"
    fi
    say "$why: the guest has busybox's tools only, and Debian's kernel"
    gzip -dc "$minirootfs" | zstd -q -3 >"$work/root.tar.zst"
    debian_kernel
    use_kernel "$entry"
    contents="Alpine (bare minirootfs) with Debian's kernel $release"
  fi
}

# The release archive with packages installed into it, and the kernel.
alpine_packages_make() {
  say "installing Alpine packages from $alpine_mirror (apk)"
  # shellcheck disable=SC2086 # a list of names
  quietly "$log_file" as_root sh "$scripts/image/apk.sh" "$PWD" "$minirootfs" "$alpine_branch" \
    "$epoch" $alpine_packages
  mkdir tree
  tar -C tree --warning=no-unknown-keyword -xzf linux-virt.apk
  pick_kernel tree/boot/vmlinuz-virt tree
  rm linux-virt.apk
}
