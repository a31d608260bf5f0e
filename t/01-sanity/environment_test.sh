#!/bin/sh
# The environment of a test's process: folder, variables, input, session, scratch space.

# shellcheck source=t/lib.sh
. "${0%/*}/../lib.sh"
plan 14

is "$(pwd)" /mnt/glacic 'a test starts in the project'
is "$(id -u)" 0 'as root'
is "$(readlink /proc/self/fd/0)" /dev/null 'with nothing on its input'
is "${ORCA:-}" 1 'ORCA is 1'
is "${ORCA_TEST:-}" t/01-sanity/environment_test.sh 'ORCA_TEST names the test'
like "${ORCA_VM:-}" . 'ORCA_VM names its machine'
like "${ORCA_TIMEOUT_FACTOR:-}" '^[0-9]+([.][0-9]+)?$' 'ORCA_TIMEOUT_FACTOR is a number'
is "${LANG:-}" C.UTF-8 'LANG is C.UTF-8'
like ":${PATH:-}:" ':/usr/sbin:.*:/sbin:' 'PATH has the administrator'"'"'s programs'
ok 'HOME is a folder' test -d "${HOME:-}"
ok 'TMPDIR can be written' touch "${TMPDIR:-}/orca-environment"
ok 'ORCA_ARTIFACTS can be written' touch "${ORCA_ARTIFACTS:-}/environment.txt"

# Fields 6 and 7 are the session and the terminal. The name in field 2, `sh`, has no space.
read -r _ _ _ _ _ session terminal _ </proc/$$/stat
is "$session" $$ 'it leads a session of its own'
is "$terminal" 0 'without a terminal'
