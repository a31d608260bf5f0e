#!/bin/sh
# Checks everything: format, lints, unit and integration tests, shell scripts, and t/ in real VMs on both bases.
#
# usage: scripts/check.sh [STEP…]
#
# Steps, all of them by default: fmt clippy unit shell build debian serial vm alpine. Installs or builds what is missing and says
# what it does. Environment: ALPINE_MINIROOTFS=FILE for the Alpine base where its mirror cannot be reached; without both, that
# base is left out with a word.
set -eu
scripts=$(cd "$(dirname "$0")" && pwd)
root=${scripts%/*}
. "$scripts/need.sh"
cd "$root"

case ${1:-} in -h | --help) sed -n '2,/^set/s/^# \{0,1\}//p' "$0"; exit 0 ;; esac
[ $# -gt 0 ] || set -- fmt clippy unit shell build debian serial vm alpine
[ ! -d "$HOME/.cargo/bin" ] || PATH=$PATH:$HOME/.cargo/bin
shared=$root/../shared/alpine/alpine-minirootfs-3.20.3-x86_64.tar.gz

step_fmt() { cargo fmt --all --check; }
step_clippy() { cargo clippy --quiet --locked --workspace --all-targets -- -D warnings; }
step_unit() { cargo test --quiet --locked --workspace; }

step_shell() {
  need shellcheck shellcheck
  shellcheck -x scripts/*.sh scripts/image/*.sh .ci/run
  find t -name '*.sh' -exec shellcheck -x -P t {} +
}

step_build() {
  need qemu-system-x86_64 qemu-system-x86 qemu-img qemu-utils
  scripts/build-toolbox.sh
  case $(ldd build/toolbox-linux 2>&1) in
    *"statically linked"* | *"not a dynamic executable"*) ;;
    *) die "build/toolbox-linux is not static" ;;
  esac
  at_most 1258291 build/toolbox-linux # 1.2 MiB
  at_most 3145728 build/toolbox
}

# at_most BYTES FILE
at_most() {
  size=$(wc -c <"$2")
  [ "$size" -le "$1" ] || die "$2 has $size bytes, over $1"
  say "$2: $size bytes of at most $1"
}

step_debian() {
  scripts/build-image.sh --base debian
  at_most 8388608 build/initramfs
  rm -f build/check-debian.ok
  { build/orca test && : >build/check-debian.ok; } | tee build/check-debian.log
  [ -e build/check-debian.ok ] # a pipe has the status of its last command
  ! grep -q '^SKIP' build/check-debian.log || die "a suite skips on the Debian base, which has everything"
}

# The legacy runner, which must agree with orca on every verdict.
step_serial() {
  [ -e build/check-debian.log ] || step_debian
  rm -f build/check-serial.ok
  { scripts/run-serial.sh && : >build/check-serial.ok; } | tee build/check-serial.log
  [ -e build/check-serial.ok ]
  awk '/^(PASS|FAIL|SKIP)/ { print $1, $3 }' build/check-debian.log | sort >build/check-orca.verdicts
  awk '/^(PASS|FAIL|SKIP)/ { print $1, $2 }' build/check-serial.log | sort >build/check-serial.verdicts
  diff build/check-orca.verdicts build/check-serial.verdicts || die "the serial runner and orca disagree"
}

step_vm() { cargo test --quiet --locked -p orca --features vm --test vm; }

step_alpine() {
  if [ -z "${ALPINE_MINIROOTFS:-}" ] && [ -r "$shared" ]; then
    export ALPINE_MINIROOTFS="$shared"
  fi
  scripts/test.sh --base alpine
}

trap 'say "${step:-it} FAILED"' EXIT
for step in "$@"; do
  case $step in
    fmt | clippy | unit | shell | build | debian | serial | vm | alpine) ;;
    *) die "unknown step \`$step\`" "see $0 --help" ;;
  esac
  began=$(date +%s)
  say "$step"
  "step_$step"
  say "$step is fine ($(($(date +%s) - began)) s)"
done
trap - EXIT
printf '%s passed, 0 failed\n' $#
