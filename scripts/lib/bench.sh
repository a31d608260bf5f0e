# shellcheck shell=sh
# Sourced by bench.sh: measuring, medians, the table. Uses $root, $work, $runs, $out.

# project NAME BODY: a project with one test.
project() {
  mkdir -p "$work/$1/t"
  printf '%s\n' "$2" >"$work/$1/t/it_test.sh"
}

# events PROJECT ARGS…: runs its tests and leaves the events in $work/events.
events() {
  events_in=$1
  shift
  "$root/build/orca" test -q -C "$work/$events_in" --json "$work/events" "$@" >/dev/null ||
    die "orca test failed" \
      "see $("$root/build/orca" test -C "$work/$events_in" "$@" 2>&1 | tail -n 3)"
}

# field EVENT NAME: the number called NAME in every event of that kind.
field() {
  sed -n "s/.*\"event\":\"$1\".*\"$2\":\([0-9][0-9.e-]*\).*/\1/p" "$work/events"
}

now() { date +%s.%N; }
since() { awk -v from="$1" -v to="$(now)" 'BEGIN { printf "%.3f", to - from }'; }
median() { sort -g | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }

table_begin() {
  printf '| what | median |\n| --- | --- |\n'
  printf '[\n' >"$out.new"
  comma=
}

# row NAME VALUE UNIT
row() {
  printf '| %s | %s %s |\n' "$1" "$2" "$3"
  printf '%s  {"what": "%s", "value": %s, "unit": "%s"}' "$comma" "$1" "$2" "$3" >>"$out.new"
  comma=',
'
}

table_end() {
  printf '\n]\n' >>"$out.new"
  mv "$out.new" "$out"
}

# repeat NAME PHASE ARGS…: the median time from the start of a machine to PHASE; sets $median.
repeat() {
  name=$1 phase=$2
  shift 2
  for _ in $(seq "$runs"); do
    events one -j1 "$@"
    field machine_ready "$phase" | head -n 1
  done >"$work/times"
  median=$(median <"$work/times" | awk '{ printf "%.3f", $1 }')
  row "$name" "$median" s
}

# ratio NAME A B: a row with A / B.
ratio() { row "$1" "$(awk -v a="$2" -v b="$3" 'BEGIN { printf "%.4f", a / b }')" ''; }

# one_time NAME CMD…: the time of a command that runs once.
one_time() {
  name=$1
  shift
  began=$(now)
  "$@" >/dev/null 2>&1 </dev/null || die "\`$*\` failed"
  row "$name" "$(since "$began")" s
}

# wall NAME CMD…: the median time of a whole command.
wall() {
  name=$1
  shift
  for _ in $(seq "$runs"); do
    began=$(now)
    "$@" >/dev/null
    since "$began"
    echo
  done >"$work/times"
  row "$name" "$(median <"$work/times")" s
}

# Sets $spent to the processor time, in seconds, of all children that have ended so far. It must not
# run in a subshell, where `times` would count the subshell's children.
spend() {
  times >"$work/times.all"
  spent=$(awk 'NR == 2 {
    split($1 " " $2, t, /[ms ]+/)
    print t[1] * 60 + t[2] + t[3] * 60 + t[4]
  }' "$work/times.all")
}

# per_test PROJECT COUNT NAME ARGS…: the wall time of COUNT trivial tests, divided by COUNT. Sets
# $each to it, in seconds, and $busy to the use of all cores, in percent.
per_test() {
  in=$1 count=$2 name=$3
  shift 3
  spend
  before=$spent
  began=$(now)
  events "$in" "$@"
  wall=$(since "$began")
  spend
  busy=$(awk -v a="$before" -v b="$spent" -v w="$wall" -v n="$(nproc)" \
    'BEGIN { printf "%.0f", 100 * (b - a) / w / n }')
  each=$(awk -v w="$wall" -v n="$count" 'BEGIN { printf "%.4f", w / n }')
  row "$name" "$each" s
}

# first_byte NAME PROJECT ARGS…: the median time from a copy's start to the first byte of its test's
# output, without the time for which the copy lay ready. Sets $median.
first_byte() {
  name=$1 in=$2
  shift 2
  for _ in $(seq "$runs"); do
    events "$in" -j1 "$@"
    field machine_ready share >"$work/ready"
    field test_finished first | paste "$work/ready" - | awk 'NF == 2 { print $1 + $2 }'
  done >"$work/times"
  median=$(median <"$work/times" | awk '{ printf "%.3f", $1 }')
  row "$name" "$median" s
}

# large NAME TEST ARGS…: the time that a test of the large project takes for its command.
large() {
  name=$1 test=$2
  shift 2
  for _ in $(seq "$runs"); do
    rm -rf "$work/log"
    events large -j1 --log-dir "$work/log" "$@" "t/${test}_test.sh"
    find "$work/log" -name output.log -exec sed -n 's/^# took //p' {} +
  done >"$work/times"
  row "$name" "$(median <"$work/times" | awk '{ printf "%.3f", $1 }')" s
}

# layers COUNT EACH: the project as a disk, beside 9p, and forks; see forked.
layers() {
  "$root/scripts/lib/bench-project.sh" "$work/large"
  "$root/build/orca" template build -C "$work/large" >/dev/null
  for share in overlay disk; do
    large "find over 30,000 files, $share" find --share "$share"
    large "git status over 30,000 files, $share" status --share "$share" --rootfs host
  done
  forked "$@"
}

# forked COUNT EACH: a test that sets up for 10 s and forks into COUNT cases, of which EACH would
# take so long in seconds if it were a trivial test; and a fifth of them run one by one.
forked() {
  project forked "sleep 10; case=\$(orca-fork \$(seq $1)); echo 1..1; echo ok 1 - \$case"
  per_test forked 1 "a set-up of 10 s, forked into $1 cases, -j2" -j2
  ratio 'that, of the set-up and twice as many pristine tests' "$each" \
    "$(awk -v n="$1" -v each="$2" 'BEGIN { print 10 + 2 * n * each }')"
  mkdir -p "$work/apart/t"
  for n in $(seq "$(($1 / 5))"); do
    echo 'sleep 10; echo 1..1; echo ok 1' >"$work/apart/t/${n}_test.sh"
  done
  per_test apart "$(($1 / 5))" 'a test with a set-up of 10 s of its own, -j2' -j2
}

# many PROJECT COUNT: a project with COUNT trivial tests.
many() {
  mkdir -p "$work/$1/t"
  for n in $(seq "$2"); do printf 'echo 1..1; echo ok 1\n' >"$work/$1/t/${n}_test.sh"; done
}

# throughput NAME MIB: how fast the output of a test that prints MIB MiB is read.
throughput() {
  events flood -j1 --timeout 10m 2>/dev/null || true
  row "$1" "$(field test_finished test | awk -v mib="$2" '{ printf "%.0f", mib / $1 }')" MiB/s
}

# memory COUNT: the proportional set size of a machine while COUNT of them run a test, on average.
memory() {
  rm -f "$work/events"
  project "alive$1" 'echo 1..1; echo ok 1; exec sleep 1000'
  for n in $(seq 2 "$1"); do cp "$work/alive$1/t/it_test.sh" "$work/alive$1/t/${n}_test.sh"; done
  "$root/build/orca" test -C "$work/alive$1" --reuse -j"$1" --json "$work/events" \
    --timeout 1h >/dev/null 2>&1 &
  orca=$!
  until [ "$(grep -c '"event":"test_started"' "$work/events" 2>/dev/null)" = "$1" ]; do
    sleep 0.2
  done
  for pid in $(pgrep -P "$orca"); do
    sed -n 's/^Pss: *\([0-9]*\) kB/\1/p' "/proc/$pid/smaps_rollup"
  done |
    awk -v n="$1" '{ sum += $1 } END { printf "%.1f", sum / n / 1024 }' >"$work/pss"
  kill -INT "$orca"
  wait "$orca" || true
  row "memory per machine, $1 alive" "$(cat "$work/pss")" MiB
}
