#!/bin/sh
# lib.sh in the cases of a fork and in set-ups. No machine is frozen: a script stands for orca-fork.

# shellcheck source=t/lib.sh
. "${0%/*}/../lib.sh"
lib=${0%/*}/../lib.sh
plan 9

# tap SCRIPT: runs SCRIPT as a test of its own; prints its output, then its exit status.
tap() {
    printf '. "%s"\n%s\n' "$lib" "$1" >"$T/inner.sh"
    TMPDIR=$T PATH=$T/bin:$PATH ORCA_SETUP=${setup:-} /bin/sh "$T/inner.sh" 2>"$T/stderr"
    echo "exit $?"
}

mkdir "$T/bin"
cat >"$T/bin/orca-fork" <<'end'
#!/bin/sh
[ "$1" = a ] || { echo "orca-fork: no $1" >&2; exit 1; }
echo "$2"
end
chmod +x "$T/bin/orca-fork"

# shellcheck disable=SC2016 # the inner test expands it
is "$(tap 'plan 2; ok before true; fork_cases a "b c"; is "$case" "b c" "in $case"')" '1..2
ok 1 - before
ok 2 - in b c
exit 0' 'a case goes on with its name, and with the points before it'
is "$(tap 'plan 1; at_exit "echo cleared"; fork_cases b; ok d true')" '1..1
# cannot fork into cases (exit 1): b
# orca-fork: no b
cleared
exit 1' 'a fork that is refused fails the test'
is "$(ORCA_FORK_SOCKET='' tap 'skip_unless_forks; plan 1')" \
    '1..0 # SKIP needs the copies of a machine that orca makes
exit 0' 'without orca, a test of cases is skipped'

setup=1
# shellcheck disable=SC2016 # the inner test expands it
got=$(tap 'at_exit "echo cleared"; start log sleep 600; echo "$pid $T"; must true')
is "$(echo "$got" | sed 1d)" 'exit 0' 'a set-up needs no points, and clears nothing away'
pid=$(echo "$got" | sed -n '1s/ .*//p')
left=$(echo "$got" | sed -n '1s/.* //p')
ok 'what it started lives on' kill -0 "$pid"
ok 'and its scratch directory stays' test -e "$left/log"
stop "$pid"
is "$(tap 'must false' | tail -n 1)" 'exit 1' 'a set-up whose preparation fails'
is "$(tap 'plan 1; ok d false' | tail -n 1)" 'exit 1' 'a set-up with a failed point'
is "$(tap 'plan 2; ok d true' | tail -n 1)" 'exit 1' 'a set-up with a point too few'
