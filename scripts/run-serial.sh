#!/bin/sh
# Runs the tests one after the other in one VM, without orca. This is the legacy runner, and a
# second opinion on every verdict.
#
# usage: scripts/run-serial.sh [--image DIR] [--kernel FILE] [--timeout SECONDS]
#   [--project-root DIR] [PATH...]
#
#   --image DIR         where the guest image is (default build)
#   --kernel FILE       another kernel than the image's
#   --timeout SECONDS   for each file (default 600); after a timeout the next file gets a new VM
#   --project-root DIR  the project whose tests run (default this one)
#
# PATH is a test file or a folder (default t). Prints a line for each file, and a summary. Exit: 0
# all passed, 1 a test failed, 2 usage or host error, 4 nothing to run. Environment: ACCEL (tcg or
# kvm; default tcg), MEMORY (default 512M).
set -eu
scripts=$(cd "$(dirname "$0")" && pwd)
root=${scripts%/*}
. "$scripts/need.sh"
. "$scripts/lib/serial.sh"

image=$root/build kernel='' timeout=600 project=$root
while [ $# -gt 0 ]; do
  case $1 in
    -h | --help) sed -n '2,/^set/s/^# \{0,1\}//p' "$0"; exit 0 ;;
    --image | --kernel | --timeout | --project-root)
      [ $# -ge 2 ] || die "$1 needs a value" "see $0 --help"
      ;;
    --) shift; break ;;
    -*) die "unknown argument \`$1\`" "see $0 --help" ;;
    *) break ;;
  esac
  case $1 in
    --image) image=$2 ;;
    --kernel) kernel=$2 ;;
    --timeout) timeout=$2 ;;
    --project-root) project=$2 ;;
  esac
  shift 2
done
case $timeout in *[!0-9]* | '') die "\`$timeout\` is no number of seconds" "see $0 --help" ;; esac
need qemu-system-x86_64 qemu-system-x86 qemu-img qemu-utils socat socat timeout coreutils
[ -e "$image/image.info" ] || "$scripts/build-image.sh" --out "$image"
image=$(cd "$image" && pwd)
if [ -z "$kernel" ]; then
  kernel=$image/vmlinux
  [ -e "$kernel" ] || kernel=$image/vmlinuz
fi
cd "$project"
project=$PWD
[ $# -gt 0 ] || set -- t
for path; do
  [ -e "$path" ] || die "there is no \`$path\`" "paths are relative to $project"
  case $path in /* | *..*) die "\`$path\` is not a path below $project" ;; esac
done

work=$(mktemp -d "${TMPDIR:-/tmp}/orca-serial.XXXXXX")
qemu='' socat=''
trap 'stop_vm; rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
# A file in the arguments is a test, whatever its name. In a folder only *_test.sh are tests.
for path; do
  path=${path#./}
  if [ -d "$path" ]; then find "${path%/}" -name '*_test.sh' -type f; else printf '%s\n' "$path"; fi
done | LC_ALL=C sort -u >"$work/tests"

passed=0 failed=0 skipped=0
while read -r path <&5; do
  run_test "$path"
  verdict=$(cat "$work/verdict")
  case $verdict in
    PASS*) passed=$((passed + 1)) ;;
    SKIP*) skipped=$((skipped + 1)) ;;
    *) failed=$((failed + 1)) ;;
  esac
  printf '%s %s %s\n' "${verdict%% *}" "$path" "${verdict#* }"
  case $verdict in FAIL*) grep -a '^not ok' "$work/output" | sed 's/^/    /' || true ;; esac
done 5<"$work/tests"
total=$((passed + failed + skipped))
printf '%d files: %d passed, %d failed, %d skipped\n' "$total" "$passed" "$failed" "$skipped"
[ "$total" -gt 0 ] || exit 4
[ "$failed" = 0 ]
