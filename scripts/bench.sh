#!/bin/sh
# Measures orca on this machine, in one run. The ratios hold elsewhere; the seconds do not.
#
# usage: scripts/bench.sh [--runs N] [--tests N] [--out FILE]
#
#   --runs N    repetitions of the short measurements, whose medians are shown (default 5)
#   --tests N   trivial tests in the runs of many (default 100); cold boots run a fifth of them
#   --out FILE  the table as JSON (default build/bench.json)
#
# Builds what is missing, prints a Markdown table, and ends with bench-tap.sh. All measurements use
# files and templates of their own. If virtme-ng's `vng` is installed, it has a row too.
set -eu
scripts=$(cd "$(dirname "$0")" && pwd)
root=${scripts%/*}
. "$scripts/need.sh"
. "$scripts/lib/bench.sh"

runs=5 tests=100 out=$root/build/bench.json
while [ $# -gt 0 ]; do
  case $1 in
    -h | --help) sed -n '2,/^set/s/^# \{0,1\}//p' "$0"; exit 0 ;;
    --runs | --tests | --out) [ $# -ge 2 ] || die "$1 needs a value" "see $0 --help" ;;
    *) die "unknown argument \`$1\`" "see $0 --help" ;;
  esac
  case $1 in --runs) runs=$2 ;; --tests) tests=$2 ;; --out) out=$2 ;; esac
  shift 2
done

"$scripts/build-toolbox.sh"
"$scripts/build-image.sh"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export XDG_CACHE_HOME="$work/cache" XDG_STATE_HOME="$work/state"
processor=$(sed -n 's/^model name.*: //p;' /proc/cpuinfo | head -n 1)
say "machine: $(nproc) cores, $processor, $(uname -sr)"
gzip -9c "$root/build/initramfs" >"$work/initramfs.gz"
project one 'echo 1..1; echo ok 1'

table_begin
repeat 'boot through the BIOS (bzImage, gzip initramfs) to HELLO' hello --cold \
  --kernel "$root/build/vmlinuz" --initrd "$work/initramfs.gz"
bios=$median
repeat 'cold boot (PVH, plain initramfs) to HELLO' hello --cold
cold=$median
ratio 'that, of the one through the BIOS' "$cold" "$bios"
one_time 'templates: boot, settle, freeze; then with the project' \
  "$root/build/orca" template build -C "$work/one"
repeat 'copy: QEMU process' qemu
repeat 'copy: state loaded' state
repeat 'copy: an answer to PING' hello
ratio 'copy to an answer, of a cold boot' "$median" "$cold"
repeat 'copy, 9p: share mounted' share --share overlay
repeat 'copy, disk: share mounted' share
first_byte "copy, 9p: first byte of a test's output" one --share overlay
first_byte "copy, disk: first byte of a test's output" one
ratio "copy to the first byte of a test's output, of a cold boot" "$median" "$cold"
wall 'second orca test of one trivial test, whole' "$root/build/orca" test -q -C "$work/one"
many few "$((tests / 5))"
many many "$tests"
"$root/build/orca" template build -C "$work/many" >/dev/null
per_test few "$((tests / 5))" 'a test in a cold boot, -j2' --cold -j2
booted=$each
per_test many "$tests" 'a pristine test, 9p, -j1' --share overlay -j1
per_test many "$tests" 'a pristine test, 9p, -j2' --share overlay -j2
per_test many "$tests" 'a pristine test, disk, -j1' -j1
per_test many "$tests" 'a pristine test, disk, -j2' -j2
pristine=$each
row 'cores kept busy meanwhile' "$busy" %
ratio 'that, of one in a cold boot' "$pristine" "$booted"
per_test many "$tests" 'a reused test, -j1' --reuse -j1
per_test many "$tests" 'a reused test, -j2' --reuse -j2
row 'reused tests a second' "$(awk -v each="$each" 'BEGIN { printf "%.0f", 1 / each }')" ''
layers "$tests" "$pristine"
project flood "echo 1..1; dd if=/dev/zero bs=64k count=1600 2>/dev/null | tr '\\0' '\\n'; echo ok 1"
throughput 'agent to log and parser' 100
for count in 1 4 16 64; do memory "$count"; done
if command -v vng >/dev/null; then
  one_time 'vng --exec true, same kernel' vng --run "$root/build/vmlinuz" --exec true
fi
table_end
"$scripts/bench-tap.sh"
