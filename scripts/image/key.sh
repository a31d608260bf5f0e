# shellcheck shell=sh disable=SC2034,SC2154 # variables are shared with build-image.sh
# Sourced by build-image.sh: finds out whether the image that is there is the one that would be
# built, and puts a new one in its place.

# What builds the image, below $root: scripts, and the part of orca that makes the initramfs.
image_sources='scripts/build-image.sh scripts/image orca/src/image orca/src/commands/image.rs'

# image_key BASE: a checksum of everything that shapes the image except the packages, which stay
# until --refresh. What is missing is found first: the pipeline would only print that `cat` failed.
image_key() {
  for source in $image_sources; do
    [ -e "$root/$source" ] ||
      die "cannot compute the image's key: \`$source\` is missing" \
        "update image_sources in $scripts/image/key.sh"
  done
  [ -r "$agent" ] || die "cannot read \`$agent\`" "run scripts/build-toolbox.sh"
  {
    echo "$1 $arch $init $epoch $debian_suite ${DEBIAN_MIRROR:-} $alpine_version $alpine_mirror"
    cat "$agent"
    # shellcheck disable=SC2086 # a list of names
    (cd "$root" && find $image_sources -type f | LC_ALL=C sort | xargs cat)
    if [ "$1" = alpine ] && [ -n "${ALPINE_MINIROOTFS:-}" ]; then
      cat "$ALPINE_MINIROOTFS"
    fi
  } | sha256sum | cut -d' ' -f1
}

# Whether all files of the image are there, made from the same sources.
is_current() {
  # shellcheck disable=SC2046 # a list of names
  set -- $(sed -n 's/^files=//p' "$out/image.info" 2>/dev/null)
  [ $# -gt 0 ] || return 1
  for file; do
    [ -s "$out/$file" ] || return 1
  done
  [ "$(sed -n 's/^key=//p' "$out/image.info")" = "$key" ]
}

# Moves the files to their places. image.info is removed first and written last: without it nothing
# counts as built.
install_image() {
  files=vmlinuz
  [ ! -e "$work/vmlinux" ] || files="$files vmlinux"
  files="$files initramfs rootfs.ext4 modules"
  printf '%s\n' "base=$base" "arch=$arch" "release=$release" "is=$contents" "files=$files" \
    "key=$key" >"$work/image.info"
  rm -rf "$out/image.info" "$out/vmlinux" "$out/modules"
  for file in $files image.info; do
    mv "$work/$file" "$out/$file"
  done
}
