#!/bin/sh
# Kernel settings that hide and restrict: each is set, has its effect, and is restored.

# shellcheck source=t/50-security/users.sh
. "${0%/*}/users.sh"
skip_unless_users sysctl
plan 17

# set_to NAME VALUE: sets it until the test ends.
set_to() {
    at_exit "sysctl -qw $1=$(sysctl -n "$1")"
    must sysctl -qw "$1=$2"
    is "$(cat "/proc/sys/$(echo "$1" | tr . /)")" "$2" "$1 can be set to $2"
}
# address CMD…: `seen` if a kernel address is visible to a program that CMD runs.
# shellcheck disable=SC2016 # for awk
address() { "$@" awk '$1 !~ /^0*$/ { print "seen"; exit }' /proc/kallsyms; }

set_to kernel.kptr_restrict 1
is "$(address env)" seen 'root still sees the addresses of the kernel'
is "$(address as_nobody)" '' 'no other user does'
set_to kernel.kptr_restrict 2
is "$(address env)" '' 'with 2 not even root'

set_to kernel.dmesg_restrict 0
ok 'everyone can read the log of the kernel' as_nobody dmesg
set_to kernel.dmesg_restrict 1
fails 'with 1 the user nobody cannot' as_nobody dmesg
ok 'root still can' dmesg

# The address of a program's stack is the same each time only without randomization.
stack() { sh -c 'grep stack /proc/self/maps'; }
set_to kernel.randomize_va_space 0
is "$(stack)" "$(stack)" 'the stack is where it was'
set_to kernel.randomize_va_space 2
isnt "$(stack)" "$(stack)" 'with randomization it is somewhere else each time'

# A hard link to a file of another user.
echo secret >"$D/secret"
chmod 600 "$D/secret"
mkdir "$D/open"
chmod 777 "$D/open"
set_to fs.protected_hardlinks 1
fails 'the user nobody cannot link to a file that it cannot write' \
    as_nobody ln "$D/secret" "$D/open/link"

fails 'the user nobody cannot change a setting' as_nobody sysctl -w kernel.kptr_restrict=0
