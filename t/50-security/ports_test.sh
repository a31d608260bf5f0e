#!/bin/sh
# A fresh guest listens nowhere, and has no network but its loopback.

# shellcheck source=t/lib.sh
. "${0%/*}/../lib.sh"
plan 8

# open_ports FILE STATE: the addresses in a table of /proc/net whose socket is in this state.
open_ports() {
    [ ! -e "/proc/net/$1" ] || awk -v state="$2" 'FNR > 1 && $4 == state { print $2 }' "/proc/net/$1"
}
LISTEN=0A
UNCONNECTED=07

is "$(open_ports tcp $LISTEN)" '' 'no TCP port is open'
is "$(open_ports tcp6 $LISTEN)" '' 'nor one of IPv6'
is "$(open_ports udp $UNCONNECTED)" '' 'no UDP port is open'
is "$(open_ports udp6 $UNCONNECTED)" '' 'nor one of IPv6'
is "$(open_ports raw $UNCONNECTED)" '' 'nobody listens below them'
is "$(echo /sys/class/net/*/device)" '/sys/class/net/*/device' 'there is no network card'
is "$(awk 'FNR > 1' /proc/net/route)" '' 'no route leads out'

# It would be seen: a port that is open, for as long as it is.
if command -v busybox >/dev/null && busybox nc --help 2>&1 | grep -q -e '-l'; then
    start listener busybox nc -l -p 4242
    seen() { { open_ports tcp $LISTEN && open_ports tcp6 $LISTEN; } | grep -q ':1092$'; }
    ok 'an open port would be seen' retry 20 seen
else
    skip 'no nc in this busybox that listens'
fi
