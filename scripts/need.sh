# shellcheck shell=sh
# Sourced by the scripts here: messages, quiet steps, and the host programs that they need.
#
#   say TEXT               one line on standard error
#   die TEXT [HINT]        the same, then a hint, then exit 2
#   quietly LOG CMD…       runs CMD with its output in LOG; dies with LOG's tail if it fails
#   need CMD PACKAGE…      installs missing programs; each is followed by its Debian package
#   need_cargo             puts rustup's programs in PATH; dies if there is no cargo
PATH=$PATH:/usr/sbin:/sbin # mke2fs and depmod are there, which is not in every user's PATH

say() {
  printf '%s: %s\n' "${0##*/}" "$*" >&2
}

die() {
  say "$1"
  [ $# -lt 2 ] || printf 'hint: %s\n' "$2" >&2
  exit 2
}

quietly() {
  log=$1
  shift
  printf '+ %s\n' "$*" >>"$log"
  "$@" >>"$log" 2>&1 </dev/null || {
    tail -n 20 "$log" >&2
    die "\`${1##*/}\` failed; the last lines of its output are above" "all of it is in $log"
  }
}

need() {
  # Twice, because a package can remove another one: Debian's two versions of QEMU do that.
  for _ in first second; do
    need_missing "$@"
    [ -n "$missing" ] || return 0
    command -v apt-get >/dev/null || {
      . "${scripts:-scripts}/lib/hint.sh"
      die "this host lacks $missing" "$(need_hint)"
    }
    need_apt
  done
  need_missing "$@"
  [ -z "$missing" ] || die "apt-get installed $missing, and the programs are not there"
}

need_cargo() {
  [ ! -d "$HOME/.cargo/bin" ] || PATH=$PATH:$HOME/.cargo/bin
  command -v cargo >/dev/null ||
    die "cargo is missing" "install Rust 1.88 or later with rustup (https://rustup.rs), or your \
system's \`cargo\` where that is new enough"
}

# Sets $missing to the packages of the missing programs.
need_missing() {
  missing=
  hash -r # dash remembers the path of a program even after its removal
  while [ $# -ge 2 ]; do
    command -v "$1" >/dev/null || case " $missing " in *" $2 "*) ;; *) missing="$missing $2" ;; esac
    shift 2
  done
  missing=${missing# }
}

# Installs $missing. If that fails, the package lists may be missing or too old: it updates them,
# and tries once more.
need_apt() {
  need_root_for "apt-get install $missing"
  say "installing $missing (apt-get)"
  need_log=$(mktemp)
  # shellcheck disable=SC2086 # a list of names
  need_apt_get install $missing >"$need_log" 2>&1 || {
    # It may fail because of a source that does not matter here.
    need_apt_get update >>"$need_log" 2>&1 || true
    need_apt_get install $missing >>"$need_log" 2>&1
  } || {
    tail -n 5 "$need_log" >&2
    die "apt-get cannot install $missing" "all of its output is in $need_log"
  }
  rm -f "$need_log"
}

# need_root_for COMMAND: sets $sudo, or dies with the command to run as root.
need_root_for() {
  if [ "$(id -u)" = 0 ]; then sudo=; return; fi
  command -v sudo >/dev/null || die "this host lacks $missing" "as root: $1"
  sudo=sudo
}

need_apt_get() {
  $sudo env DEBIAN_FRONTEND=noninteractive apt-get -qy --no-install-recommends "$@" </dev/null
}
