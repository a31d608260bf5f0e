#!/bin/sh
# One run of many tests in real VMs, with faults that a seed chooses: each test gets exactly one
# verdict, which is the right one, and nothing is left behind.
#
# usage: scripts/soak.sh [N] [SEED]
#
#   N      how many tests (default 500); without KVM each takes about a second, two at a time
#   SEED   a number that chooses the faults (default: the time; it is printed)
#
# The checks are in orca/tests/soak.rs. Builds what is missing.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
scripts=$root/scripts
. "$scripts/need.sh"

case ${1:-} in -h | --help) sed -n '2,/^set/s/^# \{0,1\}//p' "$0"; exit 0 ;; esac
tests=${1:-500} seed=${2:-$(date +%s)}
case $tests$seed in *[!0-9]*) die "\`$tests $seed\` are no numbers" "see $0 --help" ;; esac
cd "$root"
need_cargo
need qemu-system-x86_64 qemu-system-x86 qemu-img qemu-utils
[ -e build/image.info ] || { scripts/build-toolbox.sh && scripts/build-image.sh; }
say "$tests tests, seed $seed"
export SOAK_TESTS="$tests" SOAK_SEED="$seed"
cargo test --quiet --locked -p orca --features vm --test soak -- --nocapture
