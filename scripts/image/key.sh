# shellcheck shell=sh disable=SC2034,SC2154 # variables are shared with build-image.sh
# Sourced by build-image.sh: whether the image that is there is the one that would be built, and putting a new one in its place.

# image_key BASE: the sum of everything that shapes the image, packages aside (those stay until --refresh).
image_key() {
  {
    echo "$1 $arch $init $epoch $debian_suite ${DEBIAN_MIRROR:-} $alpine_version $alpine_mirror"
    cat "$scripts/build-image.sh" "$scripts"/image/* "$agent" "$root"/orca/src/commands/image.rs "$root"/orca/src/image/cpio.rs \
      "$root"/orca/src/image/decompress.rs "$root"/orca/src/image/kernel.rs "$root"/orca/src/image/requirements.rs \
      "$root"/orca/src/image/initramfs/*
    if [ "$1" = alpine ] && [ -n "${ALPINE_MINIROOTFS:-}" ]; then
      cat "$ALPINE_MINIROOTFS"
    fi
  } | sha256sum | cut -d' ' -f1
}

# Settles what `auto` is. An image that is there keeps its base.
choose_base() {
  [ "$base" = auto ] || return 0
  there=$(sed -n 's/^base=//p' "$out/image.info" 2>/dev/null || true)
  if [ -n "$there" ]; then
    base=$there
  elif [ -n "${ALPINE_MINIROOTFS:-}" ]; then
    base=alpine
    say "base: Alpine, because ALPINE_MINIROOTFS is set"
  elif is_foreign; then
    base=debian
    say "base: Debian, whose packages can be unpacked for $arch without being run"
  elif alpine_answers; then
    base=alpine
    say "base: Alpine, whose mirror answers"
  else
    base=debian
    say "base: Debian, because Alpine's mirror $alpine_mirror does not answer"
  fi
}

is_current() {
  # shellcheck disable=SC2046 # a list of names
  set -- $(sed -n 's/^files=//p' "$out/image.info" 2>/dev/null)
  [ $# -gt 0 ] || return 1
  for file; do
    [ -s "$out/$file" ] || return 1
  done
  [ "$(sed -n 's/^key=//p' "$out/image.info")" = "$key" ]
}

# Moves the files to their places. image.info goes first and comes last: without it nothing counts as built.
install_image() {
  files=vmlinuz
  [ ! -e "$work/vmlinux" ] || files="$files vmlinux"
  files="$files initramfs rootfs.ext4 modules"
  printf '%s\n' "base=$base" "arch=$arch" "release=$release" "is=$contents" "files=$files" "key=$key" >"$work/image.info"
  rm -rf "$out/image.info" "$out/vmlinux" "$out/modules"
  for file in $files image.info; do
    mv "$work/$file" "$out/$file"
  done
}
