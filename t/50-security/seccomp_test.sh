#!/bin/sh
# seccomp: a filtered system call kills or fails, others work; exec and fork keep the filter.

# shellcheck source=t/50-security/users.sh
. "${0%/*}/users.sh"
skip_unless_setpriv perl
skip_unless 'this kernel has no seccomp' test -e /proc/sys/kernel/seccomp/actions_avail
plan 16

filter() { perl "${0%/*}/filter.pl" "$@"; }

is "$(sed -n 's/^Seccomp:.//p' /proc/self/status)" 0 'a test runs without a filter'
is "$(filter kill uname sed -n 's/^Seccomp:.//p' /proc/self/status)" 2 \
    'behind a filter the kernel says that there is one'
is "$(filter kill uname sed -n 's/^NoNewPrivs:.//p' /proc/self/status)" 1 \
    'and that no_new_privs is set'

# 128 + 31 is SIGSYS.
exits 159 'kill: uname dies of its system call' filter kill uname uname
exits 0 'a program without that call lives' filter kill uname true
exits 159 'a shell does not help' filter kill uname sh -c 'exec uname'
is "$(filter kill uname sh -c 'uname; echo $?' 2>/dev/null)" 159 'a child dies, its parent does not'

exits 1 'deny: mkdir fails' filter deny mkdir mkdir "$D/new"
like "$(filter deny mkdir mkdir "$D/new" 2>&1)" 'Operation not permitted' \
    'with the error of a forbidden call'
fails 'there is no folder' test -e "$D/new"
ok 'a file can still be made' filter deny mkdir touch "$D/file"
ok 'without the filter, a folder too' mkdir "$D/new"

exits 137 'strict: a call other than read, write and exit kills' filter strict getppid
exits 7 'strict: exit works' filter strict exit

# A process that could gain privileges later may not set a filter.
chmod 755 "$D"
must cp "${0%/*}/filter.pl" "$D/filter.pl"
chmod 644 "$D/filter.pl"
fails 'the user nobody cannot set a filter without no_new_privs' \
    as_nobody env PRIVILEGED=1 perl "$D/filter.pl" kill uname true
ok 'with no_new_privs it can' as_nobody perl "$D/filter.pl" kill uname true
