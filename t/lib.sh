# shellcheck shell=sh
# The library of every test in t/: TAP output, skips, waiting, clean-up. net.sh adds networks.
#
#   . "${0%/*}/../lib.sh"
#   plan 2
#   is "$(cat /proc/1/comm)" init 'PID 1 is init'
#   ok 'the loopback answers' ping -c 1 127.0.0.1
#
# A test fails unless it proves otherwise: its exit status is kept, and fewer points than planned or
# no plan at all are errors. A check counts in the shell that runs it: never call one in a pipe, in
# $( ) or in ( ), where its count would be lost. README.md lists the functions.

set -u
umask 022

lib_plan=
lib_run=0
lib_failed=0
lib_todo=
lib_at_exit=
lib_pids=
case ${ORCA_TIMEOUT_FACTOR:-1} in
    *[!0-9.]* | '' | .*) lib_factor=1 ;;
    *.*) lib_factor=$((${ORCA_TIMEOUT_FACTOR%%.*} + 1)) ;;
    *) lib_factor=${ORCA_TIMEOUT_FACTOR:-1} ;;
esac
# A scratch folder, removed when the test ends.
T=$(mktemp -d "${TMPDIR:-/tmp}/orca-test.XXXXXX") || exit 2

# Plan and points ----------------------------------------------------------------------------------

plan() {
    [ -z "$lib_plan" ] || lib_misuse 'a second plan'
    lib_plan=$1
    echo "1..$1"
}

done_testing() {
    [ "$lib_run" -gt 0 ] || lib_misuse 'done_testing before any point'
    plan "$lib_run"
}

# ok DESC CMD…: CMD succeeds. It runs in this shell; its output is shown if it fails.
ok() { lib_status 0 "$@"; }

# exits STATUS DESC CMD…: CMD ends with exactly this exit status.
exits() { lib_status "$@"; }

# fails DESC CMD…: CMD runs and exits with 1 to 125. A missing command or a signal does not count.
fails() { lib_status '1 to 125' "$@"; }

lib_status() {
    [ $# -ge 3 ] || lib_misuse "a check without a command: $*"
    lib_want=$1 lib_desc=$2
    shift 2
    "$@" >"$T/.out" 2>&1
    lib_got=$?
    case $lib_want in
        *to*) [ "$lib_got" -ge 1 ] && [ "$lib_got" -le 125 ] ;;
        *) [ "$lib_got" -eq "$lib_want" ] ;;
    esac && lib_point ok "$lib_desc" && return
    lib_point 'not ok' "$lib_desc"
    diag " command: $*" "  output: $(cat "$T/.out")" \
        "     got: exit $lib_got" "expected: exit $lib_want"
}

# is GOT WANT DESC: the same text.
is() {
    lib_three "$@"
    [ "$1" = "$2" ] && lib_point ok "$3" && return
    lib_point 'not ok' "$3"
    diag "     got: $1" "expected: $2"
}

# isnt GOT UNWANTED DESC: another text, and not an empty one, which would be no evidence.
isnt() {
    lib_three "$@"
    [ -n "$1" ] && [ "$1" != "$2" ] && lib_point ok "$3" && return
    lib_point 'not ok' "$3"
    diag "     got: $1" "expected: anything but $2"
}

# like GOT PATTERN DESC: a line of GOT matches the extended regular expression.
like() {
    lib_three "$@"
    printf '%s\n' "$1" | grep -Eq -e "$2" && lib_point ok "$3" && return
    lib_point 'not ok' "$3"
    diag "     got: $1" "expected: a match of $2"
}

# unlike GOT PATTERN DESC: no line of GOT matches, and GOT is not empty.
unlike() {
    lib_three "$@"
    [ -n "$1" ] && ! printf '%s\n' "$1" | grep -Eq -e "$2" && lib_point ok "$3" && return
    lib_point 'not ok' "$3"
    diag "     got: $1" "expected: some text, no match of $2"
}

# at_least GOT MIN DESC, at_most GOT MAX DESC: whole numbers.
at_least() { lib_number "$1" -ge "$2" "$3"; }
at_most() { lib_number "$1" -le "$2" "$3"; }

lib_number() {
    test "$1" "$2" "$3" 2>/dev/null && lib_point ok "$4" && return
    lib_point 'not ok' "$4"
    diag "     got: $1" "expected: $2 $3"
}

# todo REASON CHECK…: the check is expected to fail for now, and its failure does not count.
todo() {
    lib_todo=$1
    shift
    "$@"
    lib_todo=
}

# skip REASON [N]: skips N points (1) that cannot be checked here.
skip() {
    lib_left=${2:-1}
    while [ "$lib_left" -gt 0 ]; do
        lib_run=$((lib_run + 1)) lib_left=$((lib_left - 1))
        echo "ok $lib_run # SKIP $1"
    done
}

# skip_all REASON: skips the whole file. Before the plan.
skip_all() {
    [ "$lib_plan$lib_run" = 0 ] || lib_misuse 'skip_all after the plan'
    echo "1..0 # SKIP $1"
    lib_plan=0
    exit 0
}

# skip_unless REASON CMD…: skips the whole file if CMD fails.
skip_unless() {
    lib_reason=$1
    shift
    "$@" >/dev/null 2>&1 || skip_all "$lib_reason"
}

skip_unless_tool() {
    for lib_tool; do
        command -v "$lib_tool" >/dev/null || skip_all "no $lib_tool in this image"
    done
}

skip_unless_module() {
    skip_unless_tool modprobe
    for lib_module; do
        skip_unless "this kernel has no $lib_module" modprobe -q "$lib_module"
    done
}

# Needs an orca that makes copies of this machine, for fork_cases, or a person who chooses a case.
skip_unless_forks() {
    [ -n "${ORCA_FORK_SOCKET:-}${ORCA_CASE:-}" ] ||
        skip_all 'needs the copies of a machine that orca makes'
}

# bail REASON: ends the whole run, because no result in this or another file could mean anything.
bail() {
    echo "Bail out! $1"
    exit 255
}

# must CMD…: preparation. If CMD fails, the test fails at once.
must() {
    "$@" >"$T/.out" 2>&1 && return
    diag "preparation failed (exit $?): $*" "$(cat "$T/.out")"
    exit 1
}

# fork_cases NAME…: the test goes on once for each name, in a copy of this machine, with the name in
# $case. Plan and points so far are every copy's. `fork_cases --lines FILE` has a name a line.
# shellcheck disable=SC2034 # for the test
fork_cases() {
    case=$(orca-fork "$@" 2>"$T/.fork") && return
    diag "cannot fork into cases (exit $?): $*" "$(cat "$T/.fork")"
    exit 1
}

# diag TEXT…: prints each line as a TAP comment.
diag() {
    printf '%s\n' "$@" | while IFS= read -r lib_line; do printf '# %s\n' "$lib_line"; done
}

lib_point() {
    lib_run=$((lib_run + 1))
    lib_text=$2
    case $lib_text in *[\\#]*) lib_text=$(printf '%s\n' "$lib_text" | sed 's/[\\#]/\\&/g') ;; esac
    [ -z "$lib_todo" ] || lib_text="$lib_text # TODO $lib_todo"
    [ "$1" = ok ] || [ -n "$lib_todo" ] || lib_failed=$((lib_failed + 1))
    echo "$1 $lib_run - $lib_text"
}

lib_three() {
    [ $# -eq 3 ] || lib_misuse "$# arguments where a check takes 3: $*"
}

lib_misuse() {
    diag "misuse of lib.sh: $*"
    exit 2
}

# Time ---------------------------------------------------------------------------------------------

# scaled SECONDS: a deadline times ORCA_TIMEOUT_FACTOR, rounded up.
scaled() { echo $(($1 * lib_factor)); }

# retry SECONDS CMD…: repeats CMD until it succeeds, and fails after SECONDS, which are scaled. The
# time is the machine's uptime, because a test or a resumed VM may set the clock.
retry() {
    lib_deadline=$(($(lib_now) + $1 * lib_factor * 100))
    shift
    until "$@" >"$T/.retry" 2>&1; do
        [ "$(lib_now)" -lt "$lib_deadline" ] && sleep 0.1 && continue
        echo "gave up waiting for: $*"
        cat "$T/.retry"
        return 1
    done
}

# Hundredths of a second since boot.
lib_now() {
    read -r lib_up _ </proc/uptime
    echo "${lib_up%.*}${lib_up#*.}"
}

# Programs beside the test, and the end ------------------------------------------------------------

# start LOG CMD…: runs CMD beside the test until its end. Output in $T/LOG, PID in $pid.
start() {
    lib_log=$T/$1
    shift
    "$@" </dev/null >"$lib_log" 2>&1 &
    pid=$!
    lib_pids="$lib_pids $pid"
}

# stop PID: kills it and waits for its end. A child would lose a SIGTERM before its exec.
stop() {
    kill -KILL "$1" 2>/dev/null
    wait "$1" 2>/dev/null
    return 0
}

# at_exit CMD: runs CMD when the test ends, however it ends. The last one registered runs first.
at_exit() { lib_at_exit="$1
$lib_at_exit"; }

lib_exit() {
    lib_got=$?
    trap - EXIT
    trap '' HUP INT TERM
    if [ "${ORCA_SETUP:-}" = 1 ]; then
        : # what a set-up started and made is for the tests
    elif [ "${ORCA_KEEP:-}" = 1 ] && ! lib_is_good; then
        diag "nothing was cleared away; \$T is $T" # for the user of --shell-on-fail or --keep
    else
        for lib_pid in $lib_pids; do stop "$lib_pid"; done
        eval "$lib_at_exit"
        rm -rf "$T"
    fi
    [ "$lib_got" -eq 0 ] || exit "$lib_got"
    lib_is_complete || diag "planned ${lib_plan:-no} points, ran $lib_run"
    [ "$lib_failed" -eq 0 ] || diag "$lib_failed of $lib_run points failed"
    lib_is_good
    exit $?
}

lib_is_good() {
    [ "$lib_got" -eq 0 ] && lib_is_complete && [ "$lib_failed" -eq 0 ]
}

# A set-up may do without points.
lib_is_complete() {
    [ "${ORCA_SETUP:-}" = 1 ] && [ -z "$lib_plan" ] && [ "$lib_run" = 0 ] && return
    [ "$lib_run" = "${lib_plan:-none}" ]
}
trap lib_exit EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
