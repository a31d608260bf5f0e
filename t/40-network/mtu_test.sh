#!/bin/sh
# Packets too large: fragmented if that is allowed, else reported, and the sender remembers.

# shellcheck source=t/net.sh
. "${0%/*}/../net.sh"
skip_unless_probe ping
plan 14
ns_add client router server
veth_pair client eth0 10.0.0.2/24 router lan 10.0.0.1/24
veth_pair router wan 10.0.1.1/24 server eth0 10.0.1.2/24
must ip -n "${net_prefix}client" route add default via 10.0.0.1
must ip -n "${net_prefix}server" route add default via 10.0.1.1
must in_ns router sysctl -qw net.ipv4.ip_forward=1

# counter NS NAME: a counter of the IP layer, from /proc/net/snmp.
# shellcheck disable=SC2016 # for awk
counter() {
    in_ns "$1" awk -v name="$2" '$1 == "Ip:" {
        for (i = 2; i <= NF; i++) if (at == i) print $i; else if ($i == name) at = i
    }' /proc/net/snmp
}
# whole SIZE: an echo of SIZE bytes that must not be fragmented. wide SIZE: one that may be.
whole() { in_ns client ping -n -c 1 -W "$(scaled 5)" -M "do" -s "$1" 10.0.1.2; }
wide() { in_ns client ping -n -c 1 -W "$(scaled 5)" -M dont -s "$1" 10.0.1.2; }

ok '1472 bytes of echo fill a packet of 1500' whole 1472
like "$(whole 1473 2>&1)" 'message too long, mtu=1500' 'one more does not leave'
is "$(counter client FragCreates)" 0 'nothing was fragmented'
ok 'unless it may be fragmented' wide 1473
is "$(counter client FragCreates)" 2 'into two fragments'
at_least "$(counter server ReasmOKs)" 1 'which are one again at the server'

# The cable behind the router takes less.
must ip -n "${net_prefix}router" link set wan mtu 1000
must ip -n "${net_prefix}server" link set eth0 mtu 1000
like "$(whole 1400 2>&1)" 'From 10.0.0.1 .*Frag(mentation)? needed.*mtu = 1000' \
    'the router reports what does not fit'
like "$(ip -n "${net_prefix}client" route get 10.0.1.2)" 'mtu 1000' 'the sender remembers'
ok 'what fits passes' whole 972
like "$(whole 973 2>&1)" 'message too long, mtu=1000' 'what does not is not even sent'
must ip -n "${net_prefix}client" route flush cache
before=$(counter router FragCreates)
ok 'what may be fragmented passes' wide 1400
at_least $(($(counter router FragCreates) - before)) 2 'the router fragmented it'

# TCP finds out by itself.
head -c 100000 /dev/urandom >"$T/sent"
must ip -n "${net_prefix}client" route flush cache
start_in server received socat -u TCP4-LISTEN:9,reuseaddr -
sink=$pid
must retry 10 listening server tcp 9
ok 'a stream of 100,000 bytes gets through' in_ns client socat -u "OPEN:$T/sent" TCP4:10.0.1.2:9
wait "$sink"
ok 'unchanged' cmp "$T/sent" "$T/received"
