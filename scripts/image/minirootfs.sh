# shellcheck shell=sh disable=SC2034,SC2154 # variables are shared with build-image.sh
# Sourced by build-image.sh: Alpine's release archive, from a file or the mirror, verified.

# The SHA-512 checksums that the Alpine project published for the default version, with a line break
# in each. For another version the mirror is asked.
alpine_sums="
cb3ba1d3ac8b90cb85a4fe2a0e26a42af542f64ea86598d0409bc35493c4e561229f8d3142a23013\
c98b1a037495a8bf123ff977066230ab36a3a13dc92da9c4  alpine-minirootfs-3.20.3-aarch64.tar.gz
9d5405f61f8a6ebc02461ba75346fbf1a63a4eab8510a0158dd321cee0c4dafe28c2a3d2cb7c3d75\
e2a8130dae0c3c92382f5b6adeea309eafc97621c5bf6400  alpine-minirootfs-3.20.3-x86_64.tar.gz"

# Makes minirootfs.tar.gz: the release archive, verified.
alpine_minirootfs_make() {
  if [ -n "${ALPINE_MINIROOTFS:-}" ]; then
    file=${ALPINE_MINIROOTFS##*/}
    case $file in
      *-"$arch".*) ;;
      *-x86_64.* | *-aarch64.*)
        die "\`$file\` is not for $arch" "name the archive for $arch with ALPINE_MINIROOTFS"
        ;;
    esac
    cp "$ALPINE_MINIROOTFS" "$file"
    cat "${ALPINE_MINIROOTFS%/*}/SHA512SUMS" "$ALPINE_MINIROOTFS.sha512" >beside 2>/dev/null || true
  else
    file=alpine-minirootfs-$alpine_version-$arch.tar.gz
    say "fetching $file from $alpine_mirror"
    fetch "$alpine_branch/releases/$arch/$file" "$file"
    : >beside
  fi
  echo "$alpine_sums" | cat - beside | grep "  $file\$" | head -n 1 >sum || true
  if [ ! -s sum ] && [ -z "${ALPINE_MINIROOTFS:-}" ]; then
    fetch "$alpine_branch/releases/$arch/$file.sha512" sum
  fi
  if [ ! -s sum ]; then
    say "$file has no published sum beside it (SHA512SUMS): taken unchecked"
  elif ! sha512sum --check --status sum; then
    die "the sum of $file is wrong" "download it again"
  fi
  mv "$file" minirootfs.tar.gz
  rm -f sum beside
}
