#!/bin/sh
# Limits that hold: of a process, of a user, of a control group; and privileges that a program cannot give back.

# shellcheck source=t/50-security/users.sh
. "${0%/*}/users.sh"
skip_unless_setpriv prlimit
skip_unless 'no control groups here' test -e /sys/fs/cgroup/cgroup.controllers
plan 16

# limited RESOURCE=VALUE CMD…
limited() {
    limit=$1
    shift
    prlimit "--$limit" "$@"
}
ok 'five files can be open' limited nofile=8 sh -c 'exec 3</dev/null 4</dev/null 5</dev/null 6</dev/null 7</dev/null'
fails 'but not one more than the limit' limited nofile=7 sh -c 'exec 3</dev/null 4</dev/null 5</dev/null 6</dev/null 7</dev/null'
exits 153 'a file larger than the limit: SIGXFSZ' limited fsize=4096 sh -c "head -c 9000 /dev/zero >$D/file; exit \$?"
is "$(stat -c %s "$D/file")" 4096 'it is as large as it may be'
exits 137 'more than a second of CPU: SIGKILL' limited cpu=1:1 sh -c 'while :; do :; done'
fails 'more memory than the limit' limited as=20000000 tail -n 1 /dev/zero
ok 'who has none has no core' sh -c "ulimit -c 0; cd $D; sh -c 'kill -SEGV \$\$'; test ! -e core"
fails 'a hard limit cannot be raised by nobody' as_nobody sh -c 'ulimit -Hn 10 && ulimit -Hn 20'

# A user's processes, counted over all of them.
# shellcheck disable=SC2016 # for the shell that is limited
many='trap "kill \$all" EXIT; all=; for i in 1 2 3 4; do sleep 60 & all="$all $!"; done'
ok 'nobody has room for five processes' as_nobody prlimit --nproc=9 sh -c "$many"
fails 'with a limit of three it has not' as_nobody prlimit --nproc=3 sh -c "$many"

# A control group of our own, as high as this VM lets us.
group=/sys/fs/cgroup/orca-test.$$
at_exit "rmdir $group"
must sh -c 'echo +pids +memory >/sys/fs/cgroup/cgroup.subtree_control'
must mkdir "$group"
grouped() { sh -c "echo 0 >$group/cgroup.procs && exec \"\$@\"" sh "$@"; }
echo 3 >"$group/pids.max"
ok 'a group of three processes has room for three' grouped sh -c 'sleep 0 & wait'
fails 'and not for five' grouped sh -c "$many"
at_least "$(sed -n 's/^max //p' "$group/pids.events")" 1 'it has counted the attempt'
echo max >"$group/pids.max"
echo 16M >"$group/memory.max"
ok 'a little memory is there' grouped sh -c 'head -c 1000000 /dev/zero | tail -n 1 >/dev/null'
exits 137 'more than the group may have: SIGKILL' grouped tail -n 1 /dev/zero
at_least "$(sed -n 's/^oom_kill //p' "$group/memory.events")" 1 'by the group'"'"'s own doing'
