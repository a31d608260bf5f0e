# shellcheck shell=sh disable=SC2034,SC2154 # variables are shared with build-image.sh
# Sourced by build-image.sh: checks the base that the user asks for, and decides what `auto` means.

# Dies unless $base, $init and ALPINE_MINIROOTFS go together.
check_base() {
  case $base in
    alpine | debian | auto) ;;
    *) die "unknown base \`$base\`" "alpine, debian or auto" ;;
  esac
  case $init:$base in
    none:* | systemd:debian) ;;
    *) die "no $base image with init \`$init\`" "--base debian --init systemd" ;;
  esac
  if [ -n "${ALPINE_MINIROOTFS:-}" ]; then
    [ -r "$ALPINE_MINIROOTFS" ] ||
      die "cannot read \`$ALPINE_MINIROOTFS\`" \
        "set ALPINE_MINIROOTFS to an alpine-minirootfs archive"
    ALPINE_MINIROOTFS=$(realpath "$ALPINE_MINIROOTFS")
  fi
}

# Decides what `auto` means. An image that is there keeps its base.
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
