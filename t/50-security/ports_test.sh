#!/bin/sh
# A fresh guest listens on no port, and has no network but its loopback.

# shellcheck source=t/lib.sh
. "${0%/*}/../lib.sh"
plan 8

# open_ports FILE STATE: the addresses in a table of /proc/net whose sockets are in this state.
open_ports() {
    [ ! -e "/proc/net/$1" ] ||
        awk -v state="$2" 'FNR > 1 && $4 == state { print $2 }' "/proc/net/$1"
}
LISTEN=0A
UNCONNECTED=07

is "$(open_ports tcp $LISTEN)" '' 'no TCP port is open'
is "$(open_ports tcp6 $LISTEN)" '' 'nor one of IPv6'
is "$(open_ports udp $UNCONNECTED)" '' 'no UDP port is open'
is "$(open_ports udp6 $UNCONNECTED)" '' 'nor one of IPv6'
is "$(open_ports raw $UNCONNECTED)" '' 'no raw socket is open'
is "$(echo /sys/class/net/*/device)" '/sys/class/net/*/device' 'there is no network card'
is "$(awk 'FNR > 1' /proc/net/route)" '' 'no route leads out'

# The proof that an open port would be seen.
if command -v busybox >/dev/null && busybox nc --help 2>&1 | grep -q -e '-l'; then
    start listener busybox nc -l -p 4242
    seen() { { open_ports tcp $LISTEN && open_ports tcp6 $LISTEN; } | grep -q ':1092$'; }
    ok 'an open port would be seen' retry 20 seen
else
    skip 'no nc in this busybox that listens'
fi
