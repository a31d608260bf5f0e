#!/bin/sh
# Resource limits of a process, a user and a control group.

# shellcheck source=t/50-security/users.sh
. "${0%/*}/users.sh"
skip_unless_setpriv prlimit
skip_unless 'no control groups here' test -e /sys/fs/cgroup/cgroup.controllers
plan 16

# limited RESOURCE=VALUE CMD…: CMD with this limit of prlimit.
limited() {
    limit=$1
    shift
    prlimit "--$limit" "$@"
}
five='exec 3</dev/null 4</dev/null 5</dev/null 6</dev/null 7</dev/null'
ok 'five more files can be open within the limit' limited nofile=8 sh -c "$five"
fails 'but not with a limit of one less' limited nofile=7 sh -c "$five"
exits 153 'a file larger than the limit: SIGXFSZ' \
    limited fsize=4096 sh -c "head -c 9000 /dev/zero >$D/file; exit \$?"
is "$(stat -c %s "$D/file")" 4096 'the file is as large as the limit'
exits 137 'more than a second of CPU: SIGKILL' limited cpu=1:1 sh -c 'while :; do :; done'
fails 'more memory than the limit' limited as=20000000 tail -n 1 /dev/zero
ok 'a core limit of zero leaves no core' \
    sh -c "ulimit -c 0; cd $D; sh -c 'kill -SEGV \$\$'; test ! -e core"
fails 'the user nobody cannot raise a hard limit' as_nobody sh -c 'ulimit -Hn 10 && ulimit -Hn 20'

# The limit of a user's processes counts all of them.
# shellcheck disable=SC2016 # for the shell that is limited
many='trap "kill \$all" EXIT; all=; for i in 1 2 3 4; do sleep 60 & all="$all $!"; done'
ok 'the user nobody has room for five processes' as_nobody prlimit --nproc=9 sh -c "$many"
fails 'with a limit of three it does not' as_nobody prlimit --nproc=3 sh -c "$many"

# A control group of our own, directly below the root group.
group=/sys/fs/cgroup/orca-test.$$
at_exit "rmdir $group"
must sh -c 'echo +pids +memory >/sys/fs/cgroup/cgroup.subtree_control'
must mkdir "$group"
grouped() { sh -c "echo 0 >$group/cgroup.procs && exec \"\$@\"" sh "$@"; }
echo 3 >"$group/pids.max"
ok 'a group of three processes has room for three' grouped sh -c 'sleep 0 & wait'
fails 'but not for five' grouped sh -c "$many"
at_least "$(sed -n 's/^max //p' "$group/pids.events")" 1 'it has counted the attempt'
echo max >"$group/pids.max"
echo 16M >"$group/memory.max"
ok 'a little memory is there' grouped sh -c 'head -c 1000000 /dev/zero | tail -n 1 >/dev/null'
exits 137 'more than the group may have: SIGKILL' grouped tail -n 1 /dev/zero
at_least "$(sed -n 's/^oom_kill //p' "$group/memory.events")" 1 'and the group has counted the kill'
