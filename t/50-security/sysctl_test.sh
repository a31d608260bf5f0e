#!/bin/sh
# Kernel settings that hide and restrict: each is set, its effect is looked at, and the old value is put back.

# shellcheck source=t/50-security/users.sh
. "${0%/*}/users.sh"
skip_unless_users sysctl
plan 17

# set_to NAME VALUE: until the test ends.
set_to() {
    at_exit "sysctl -qw $1=$(sysctl -n "$1")"
    must sysctl -qw "$1=$2"
    is "$(cat "/proc/sys/$(echo "$1" | tr . /)")" "$2" "$1 can be set to $2"
}
# The first kernel address that a reader gets to see.
# shellcheck disable=SC2016 # for awk
address() { "$@" awk '$1 !~ /^0*$/ { print "seen"; exit }' /proc/kallsyms; }

set_to kernel.kptr_restrict 1
is "$(address env)" seen 'root still sees the addresses of the kernel'
is "$(address as_nobody)" '' 'nobody else does'
set_to kernel.kptr_restrict 2
is "$(address env)" '' 'now not even root'

set_to kernel.dmesg_restrict 0
ok 'everyone can read the log of the kernel' as_nobody dmesg
set_to kernel.dmesg_restrict 1
fails 'now root alone' as_nobody dmesg
ok 'who still can' dmesg

# Where a program's stack lies: the same each time only without randomization.
stack() { sh -c 'grep stack /proc/self/maps'; }
set_to kernel.randomize_va_space 0
is "$(stack)" "$(stack)" 'the stack is where it was'
set_to kernel.randomize_va_space 2
isnt "$(stack)" "$(stack)" 'now it is somewhere else each time'

# A link to a file of somebody else.
echo secret >"$D/secret"
chmod 600 "$D/secret"
mkdir "$D/open"
chmod 777 "$D/open"
set_to fs.protected_hardlinks 1
fails 'nobody can link to what it cannot write' as_nobody ln "$D/secret" "$D/open/link"

fails 'nobody can change a setting' as_nobody sysctl -w kernel.kptr_restrict=0
