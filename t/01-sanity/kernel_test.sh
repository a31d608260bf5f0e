#!/bin/sh
# The kernel: its release, modules that fit it, and a boot without complaints.

# shellcheck source=t/lib.sh
. "${0%/*}/../lib.sh"
plan 10

release=$(uname -r)
is "$(uname -s)" Linux 'it is Linux'
is "$(cat /proc/sys/kernel/osrelease)" "$release" 'uname and /proc agree on the release'
like "$(cat /proc/version)" "^Linux version $(printf '%s' "$release" | sed 's/[.+]/\\&/g') " \
    '/proc/version names it too'
ok 'its modules are in the image' test -s "/lib/modules/$release/modules.dep"

# Nothing else loads `dummy`. That it loads proves that image and kernel belong together.
at_exit 'modprobe -r dummy'
ok 'a module loads' modprobe dummy numdummies=0
like "$(cat /proc/modules)" '^dummy .* Live ' 'and is live'

is "$(cat /proc/sys/kernel/panic)" -1 'a panic restarts at once, so that the host sees it'
at_least "$(grep -c '^processor' /proc/cpuinfo)" 1 'there is a processor'
at_least "$(sed -n 's/^MemAvailable: *\([0-9]*\) kB/\1/p' /proc/meminfo)" 65536 \
    'and 64 MB of memory to use'
unlike "$(dmesg)" 'Oops|BUG:|general protection|blocked for more than' \
    'the log has no oops, bug or hung task'
