#!/bin/sh
# Checks everything: format, lints, unit and integration tests, scripts, t/ in VMs on both bases.
#
# usage: scripts/check.sh [STEP…]
#
# Steps (default all): fmt clippy unit shell build debian serial vm alpine arm. Installs or builds
# what is missing and says so. The step `alpine` needs Alpine's mirror (ALPINE_MIRROR) or
# ALPINE_MINIROOTFS=FILE, and `arm` a compiler for aarch64. Without that the step says so and is
# left out.
set -eu
scripts=$(cd "$(dirname "$0")" && pwd)
root=${scripts%/*}
. "$scripts/need.sh"
. "$scripts/lib/checks.sh"
cd "$root"

case ${1:-} in -h | --help) sed -n '2,/^set/s/^# \{0,1\}//p' "$0"; exit 0 ;; esac
[ $# -gt 0 ] || set -- fmt clippy unit shell build debian serial vm alpine arm
trap 'say "${step:-it} FAILED"' EXIT
for step in "$@"; do
  case $step in
    fmt | clippy | unit | shell | build | debian | serial | vm | alpine | arm) ;;
    *) die "unknown step \`$step\`" "see $0 --help" ;;
  esac
  began=$(date +%s)
  say "$step"
  [ "$step" = shell ] || need_cargo
  "step_$step"
  say "$step is fine ($(($(date +%s) - began)) s)"
done
trap - EXIT
printf '%s passed, 0 failed\n' $#
