#!/bin/sh
# lib.sh itself: every kind of failing check and every early end count as a failure.

# shellcheck source=t/lib.sh
. "${0%/*}/../lib.sh"
lib=${0%/*}/../lib.sh
plan 41

# tap SCRIPT: runs SCRIPT as a test of its own; prints its output, then its exit status.
tap() {
    printf '. "%s"\n%s\n' "$lib" "$1" >"$T/inner.sh"
    TMPDIR=$T /bin/sh "$T/inner.sh" 2>"$T/stderr"
    echo "exit $?"
}

# dies STATUS SCRIPT DESC: SCRIPT as a test ends with STATUS, whatever it prints.
dies() {
    tap "$2" >"$T/tap"
    is "$(tail -n 1 "$T/tap")" "exit $1" "$3"
}

# checks WORD: runs checks from stdin, one a line, in one test; each prints WORD and its number.
checks() {
    cat >"$T/checks"
    n=0
    tap "$(cat "$T/checks"); done_testing" | grep -E '^(ok|not ok) ' >"$T/points"
    while read -r check <&3 && read -r point <&4; do
        n=$((n + 1))
        is "$point" "$1 $n - d" "$check"
    done 3<"$T/checks" 4<"$T/points"
}

checks ok <<'end'
ok d true
fails d false
exits 7 d sh -c 'exit 7'
is 'a b' 'a b' d
isnt a b d
like 'a 12' '[0-9]+$' d
unlike a '[0-9]' d
at_least 5 5 d
at_most 5 5 d
end

checks 'not ok' <<'end'
ok d false
ok d no-such-command
ok d retry 0 false
fails d true
fails d no-such-command
fails d sh -c 'kill -9 $$'
exits 7 d sh -c 'exit 8'
is a 'a ' d
isnt '' b d
isnt b b d
like a '^[0-9]' d
unlike 'a 1' '[0-9]' d
unlike '' '[0-9]' d
at_least 4 5 d
at_least '' 5 d
at_most 6 5 d
end

dies 1 'plan 2; ok d true; ok e false' 'a failed point is a failed test'
dies 1 'plan 2; ok d true' 'a point too few'
dies 1 'plan 1; ok d true; ok e true' 'a point too many'
dies 1 'ok d true' 'no plan'
dies 1 'plan 1' 'a plan and no point'
dies 3 'plan 1; ok d true; exit 3' 'exit 3 after the last point'
dies 1 'plan 1; ok d true; must false' 'preparation that fails'
dies 143 'plan 1; ok d true; kill -TERM $$; sleep 60' 'a signal'
dies 2 'plan 1; is a b' 'a check called wrongly'
# shellcheck disable=SC2016 # the inner test expands it
dies 2 'plan 1; ok d true; echo "$lib_nothing"' 'a variable nobody set'

is "$(tap 'skip_unless_tool no-such-tool; plan 1')" '1..0 # SKIP no no-such-tool in this image
exit 0' 'a missing tool skips, and says which'
is "$(tap 'plan 4; skip why 2; todo later is "1
2" 3 d; ok "a # b" true')" '1..4
ok 1 # SKIP why
ok 2 # SKIP why
not ok 3 - d # TODO later
#      got: 1
# 2
# expected: 3
ok 4 - a \# b
exit 0' 'skip, todo, and what must be escaped'
is "$(tap 'plan 1; bail why; ok d true')" '1..1
Bail out! why
exit 255' 'bail ends it'

# shellcheck disable=SC2016 # the inner test expands it
got=$(tap 'at_exit "echo first"; at_exit "echo second"
start log sleep 600; echo "$pid"; plan 1; exit 4')
is "$(echo "$got" | sed 1,2d)" 'second
first
exit 4' 'clean-up runs in reverse, and keeps the exit status'
fails 'what was started is gone' kill -0 "$(echo "$got" | sed -n 1p)"
is "$(echo "$T"/orca-test.*)" "$T/orca-test.*" 'no scratch directory is left'
