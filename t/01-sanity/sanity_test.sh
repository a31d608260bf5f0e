#!/bin/sh
# The machine that a test finds: process 1, file systems, devices, the loopback, a host name.

# shellcheck source=t/lib.sh
. "${0%/*}/../lib.sh"
plan 21

# Process 1 is the agent, which has the port to the host open. If the image's own init is process 1,
# the agent is one of its services.
holder() {
    for lib_test_fd in /proc/"$1"/fd/*; do
        case $(readlink "$lib_test_fd") in /dev/vport*) return 0 ;; esac
    done
    return 1
}
if grep -qw agent_mode=true /proc/cmdline; then
    ok 'process 1 is the agent' holder 1
else
    # shellcheck disable=SC2046 # a list of numbers
    ok 'the agent is a service' holder $(pidof agent)
fi
is "$(sed -n 's/^PPid:[[:space:]]*//p' /proc/1/status)" 0 'process 1 has no parent'

# An orphan becomes a child of process 1 or of a subreaper, which reaps it when it ends.
orphan=$(sh -c 'sleep 0.3 >/dev/null 2>&1 & echo $!')
ok 'an orphan lives' test -d "/proc/$orphan"
gone() { ! test -d "/proc/$1"; }
ok 'and leaves no zombie' retry 10 gone "$orphan"

for mount in 'proc /proc' 'sysfs /sys' 'devtmpfs /dev' 'devpts /dev/pts' 'tmpfs /run' \
    'tmpfs /dev/shm' 'cgroup2 /sys/fs/cgroup'; do
    like "$(cat /proc/mounts)" "^[^ ]+ ${mount#* } ${mount% *} rw" "${mount#* } is mounted"
done
is "$(stat -c %a /tmp)" 1777 '/tmp is open to all'

date >/dev/null || bail 'not even date works'
is "$(wc -c </dev/null)" 0 '/dev/null is empty'
is "$(head -c 5 /dev/zero | tr '\0' z)" zzzzz '/dev/zero gives zeros'
exits 1 '/dev/full is full' sh -c 'echo x >/dev/full'
ok 'a terminal can be opened' sh -c ': <>/dev/ptmx'
is "$(echo through | cat /dev/fd/0)" through '/dev/fd is there'

like "$(ip addr show lo)" 'LOOPBACK,UP' 'the loopback is up'
if command -v ping >/dev/null; then
    ok '127.0.0.1 answers' ping -c 1 -W 10 127.0.0.1
    ok '::1 answers' ping -6 -c 1 -W 10 ::1
else
    skip 'no ping in this image' 2
fi
like "$(hostname)" '^[A-Za-z0-9][A-Za-z0-9.-]*$' 'the machine has a name'
