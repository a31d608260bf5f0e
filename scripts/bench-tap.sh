#!/bin/sh
# Measures how fast our parser and our prove read TAP, beside wc, grep and Perl's prove.
#
# usage: scripts/bench-tap.sh [MB]
#
#   MB   size of the input (default 200); Perl's prove reads a twentieth of it
set -eu

case ${1:-} in -h | --help) sed -n '2,/^set/s/^# \{0,1\}//p' "$0"; exit 0 ;; esac
mb=${1:-200}
cd "$(dirname "$0")/.."
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT INT TERM

cargo build --release -q -p tap --example bench --bin prove
target=${CARGO_TARGET_DIR:-target}/release
bench=$target/examples/bench
ours=$target/prove
"$bench" make "$dir/big.tap" "$mb"
"$bench" make "$dir/small.tap" "$((mb / 20 + 1))"

now() { date +%s.%N; }

# row NAME FILE COMMAND...: one line of the table, with peak memory if time(1) is installed
row() {
  name=$1 file=$2
  shift 2
  bytes=$(wc -c <"$file")
  begin=$(now)
  if [ -x /usr/bin/time ]; then
    /usr/bin/time -f %M -o "$dir/rss" "$@" >"$dir/out" 2>&1 || true
    memory="$(tail -n 1 "$dir/rss") kB"
  else
    "$@" >"$dir/out" 2>&1 || true
    memory=-
  fi
  end=$(now)
  awk -v n="$name" -v b="$bytes" -v s="$begin" -v e="$end" -v m="$memory" \
    'BEGIN { printf "%-28s %7.3f s %8.0f MB/s   %s\n", n, e - s, b / 1e6 / (e - s), m }'
}

echo "== one process, one file of $mb MB"
"$bench" run "$dir/big.tap"
echo "== the same file, whole programs (the last column is peak memory)"
row 'wc -l' "$dir/big.tap" wc -l "$dir/big.tap"
row "grep -c '^ok'" "$dir/big.tap" grep -c '^ok' "$dir/big.tap"
row 'prove, ours' "$dir/big.tap" "$ours" --norc "$dir/big.tap"
if command -v prove >/dev/null; then
  row "prove, Perl's (small file)" "$dir/small.tap" prove --norc "$dir/small.tap"
fi
echo "== memory of our prove as the input grows"
for size in 1 10 100 1000; do
  [ "$size" -le "$((mb * 5))" ] || continue
  "$bench" make "$dir/grow.tap" "$size"
  row "prove, ours, $size MB" "$dir/grow.tap" "$ours" --norc "$dir/grow.tap"
  rm -f "$dir/grow.tap"
done
echo "== 200 trivial files"
mkdir "$dir/t"
for i in $(seq 200); do
  printf '#!/bin/sh\necho 1..1\necho ok 1\n' >"$dir/t/$i.t"
done
for jobs in 1 2; do
  row "prove, ours, -j$jobs" "$dir/big.tap" "$ours" --norc "-j$jobs" "$dir/t" | cut -c1-40
  command -v prove >/dev/null || continue
  row "prove, Perl's, -j$jobs" "$dir/big.tap" prove --norc "-j$jobs" "$dir/t" | cut -c1-40
done
