#!/bin/sh
# Namespaces: changes inside are not seen outside, and root in a user namespace is nobody outside.

# shellcheck source=t/50-security/users.sh
. "${0%/*}/users.sh"
skip_unless_users unshare pgrep
skip_unless 'no namespaces in this unshare' unshare -U -r true
plan 21

is "$(unshare -p -f --mount-proc sh -c 'echo $$')" 1 'the first process of a PID namespace is 1'
# The shell counts by itself: a program that counts could be among the processes, or not yet.
count='sleep 603 >/dev/null & set -- /proc/[0-9]*; echo $#'
is "$(unshare -p -f --mount-proc sh -c "$count")" 2 'and sees itself and its child alone'
isnt "$(unshare -p -f sh -c "$count")" 2 'with the old /proc it sees the others'
start init unshare -p -f --mount-proc sh -c 'sleep 601 & sleep 602; :'
slept() { [ "$(pgrep -fx 'sleep 60[12]' | grep -c .)" = "$1" ]; }
ok 'its processes are seen from outside' retry 20 slept 2
must kill -KILL "$(pgrep -P "$pid")"
ok 'when the first process ends all end' retry 20 slept 0

name=$(hostname)
is "$(unshare -u sh -c 'hostname inside && hostname')" inside \
    'a UTS namespace has a name of its own'
is "$(hostname)" "$name" 'outside the name is unchanged'

mkdir "$D/mnt"
is "$(unshare -m sh -c "mount -t tmpfs none $D/mnt && echo x >$D/mnt/file && ls $D/mnt")" file \
    'a mount in a mount namespace'
is "$(ls "$D/mnt")" '' 'is not there outside'
unlike "$(cat /proc/mounts)" "$D/mnt" 'nor in the list'

like "$(unshare -n tail -n +3 /proc/self/net/dev)" '^ *lo: ' 'a network namespace has a loopback'
fails 'which is down' unshare -n ping -c 1 -W 1 127.0.0.1
if command -v ipcmk >/dev/null; then
    queue=$(ipcmk -Q | sed 's/.*: //')
    at_exit "ipcrm -q $queue"
    like "$(cat /proc/sysvipc/msg)" "^ *-?[0-9]+ +$queue " 'a message queue'
    unlike "$(unshare -i cat /proc/sysvipc/msg)" "^ *-?[0-9]+ +$queue " \
        'is not there in an IPC namespace'
else
    skip 'no ipcmk in this image' 2
fi

# Root inside has no more rights than the user had outside.
echo secret >"$D/secret"
chmod 600 "$D/secret"
is "$(as_nobody unshare -U -r id -u)" 0 'the user nobody can be root in a user namespace'
fails 'there it cannot read what it could not read before' as_nobody unshare -U -r cat "$D/secret"
fails 'nor change the machine' as_nobody unshare -U -r hostname taken
is "$(as_nobody unshare -U -r -u sh -c 'hostname mine && hostname')" mine \
    'but it can change what belongs to the namespace'
is "$(as_nobody unshare -U id -u)" 65534 'without a map it is nobody'
fails 'it cannot map itself to root outside' \
    as_nobody unshare -U sh -c 'echo "0 0 1" >/proc/self/uid_map'

at_exit "sysctl -qw user.max_user_namespaces=$(sysctl -n user.max_user_namespaces)"
must sysctl -qw user.max_user_namespaces=0
fails 'with a limit of zero the user nobody can make none' as_nobody unshare -U true
