#!/bin/sh
# seccomp: a system call that is filtered kills or fails, one that is not works, and no exec or fork gets out of it.

# shellcheck source=t/50-security/users.sh
. "${0%/*}/users.sh"
skip_unless_setpriv perl
skip_unless 'this kernel has no seccomp' test -e /proc/sys/kernel/seccomp/actions_avail
plan 16

filter() { perl "${0%/*}/filter.pl" "$@"; }

is "$(sed -n 's/^Seccomp:.//p' /proc/self/status)" 0 'a test runs without a filter'
is "$(filter kill uname sed -n 's/^Seccomp:.//p' /proc/self/status)" 2 'behind one it shows'
is "$(filter kill uname sed -n 's/^NoNewPrivs:.//p' /proc/self/status)" 1 'no new privileges can be had there'

# 128 + 31 is SIGSYS.
exits 159 'kill: uname dies of asking for the name' filter kill uname uname
exits 0 'another program does not' filter kill uname true
exits 159 'nor does a shell help' filter kill uname sh -c 'exec uname'
is "$(filter kill uname sh -c 'uname; echo $?' 2>/dev/null)" 159 'a child dies, its parent does not'

exits 1 'deny: mkdir fails' filter deny mkdir mkdir "$D/new"
like "$(filter deny mkdir mkdir "$D/new" 2>&1)" 'Operation not permitted' 'because it may not'
fails 'there is no folder' test -e "$D/new"
ok 'a file can still be made' filter deny mkdir touch "$D/file"
ok 'without the filter, a folder too' mkdir "$D/new"

exits 137 'strict: anything but reading, writing and leaving is death' filter strict getppid
exits 7 'leaving is not' filter strict exit

# Who could gain privileges later may not bring a filter with it.
chmod 755 "$D"
must cp "${0%/*}/filter.pl" "$D/filter.pl"
chmod 644 "$D/filter.pl"
fails 'nobody cannot set a filter and keep its chances' as_nobody env PRIVILEGED=1 perl "$D/filter.pl" kill uname true
ok 'giving them up, it can' as_nobody perl "$D/filter.pl" kill uname true
