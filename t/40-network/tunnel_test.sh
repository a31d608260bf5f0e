#!/bin/sh
# Tunnels over a network that sees only the outside: an Ethernet (VXLAN) and IP links (GRE, IPIP).

# shellcheck source=t/net.sh
. "${0%/*}/../net.sh"
skip_unless_net ping tcpdump
skip_unless_module vxlan ip_gre ipip
plan 15
ns_add left middle right
veth_pair left eth0 10.0.0.2/24 middle left 10.0.0.1/24
veth_pair middle right 10.0.1.1/24 right eth0 10.0.1.2/24
must ip -n "${net_prefix}left" route add default via 10.0.0.1
must ip -n "${net_prefix}right" route add default via 10.0.1.1
must in_ns middle sysctl -qw net.ipv4.ip_forward=1

# both NAME ADDRESS TYPE OPTION…: a tunnel between the two, with ADDRESS.1 and ADDRESS.2 inside.
both() {
    name=$1 inside=$2
    shift 2
    ip_in left <<end
link add $name type $* local 10.0.0.2 remote 10.0.1.2
addr add $inside.1/24 dev $name
link set $name up
end
    ip_in right <<end
link add $name type $* local 10.0.1.2 remote 10.0.0.2
addr add $inside.2/24 dev $name
link set $name up
end
}
# watched PATTERN: the middle has seen a packet that matches.
watched() { grep -Eq "$1" "$T/sniff"; }
start_in middle sniff tcpdump -i left -n -l
must retry 20 watched 'listening on'

both vx 192.0.2 vxlan id 42 dstport 4789 dev eth0
ok 'VXLAN: the inside is reached' ping_from left 192.0.2.2
ok 'as UDP on the outside, with the number of the network' \
    retry 20 watched '10.0.0.2.* > 10.0.1.2.4789: VXLAN.*vni 42'
like "$(ip -n "${net_prefix}left" neigh show dev vx)" '192.0.2.2 lladdr' \
    'it is an Ethernet: the neighbour has a hardware address'
is "$(in_ns left cat /sys/class/net/vx/mtu)" 1450 'the MTU is smaller by the outer headers'
must ip -n "${net_prefix}right" link del vx
ip_in right <<'end'
link add vx type vxlan id 43 dstport 4789 local 10.0.1.2 remote 10.0.0.2
addr add 192.0.2.2/24 dev vx
link set vx up
end
ok 'another number is another network' ping_lost left 192.0.2.2

both gre1 198.51.100 gre key 7
ok 'GRE: the inside is reached' ping_from left 198.51.100.2
ok 'as GRE on the outside' retry 20 watched '10.0.0.2 > 10.0.1.2: GREv0, key=0x7'
must ip -n "${net_prefix}right" link change gre1 type gre key 8 local 10.0.1.2 remote 10.0.0.2
ok 'another key does not get through' ping_lost left 198.51.100.2

both ipip1 203.0.113 ipip ttl 64
ok 'IPIP: the inside is reached' ping_from left 203.0.113.2
ok 'as IP in IP on the outside' retry 20 watched '10.0.0.2 > 10.0.1.2: IP 203.0.113.1 > 203.0.113.2'
like "$(in_ns left ping -n -c 1 -W "$(scaled 5)" -t 1 203.0.113.2)" 'ttl=64' 'inside it is one hop'
fails 'the middle does not know the inside' in_ns middle ping -n -c 1 -W 1 203.0.113.2

must in_ns middle sysctl -qw net.ipv4.ip_forward=0
ok 'without a route outside there is no tunnel' ping_lost left 203.0.113.2
must in_ns middle sysctl -qw net.ipv4.ip_forward=1
ok 'with the route the tunnel works again' ping_from left 203.0.113.2
must ip -n "${net_prefix}right" link del ipip1
ok 'without one end it does not' ping_lost left 203.0.113.2
