#!/bin/sh
# Static routes through two routers: forwarding, metrics, a dead link, and routes that refuse.

# shellcheck source=t/net.sh
. "${0%/*}/../net.sh"
skip_unless_net ping
plan 17
ns_add client r1 r2 server
veth_pair client eth0 10.0.0.2/24 r1 client 10.0.0.1/24
veth_pair r1 r2 10.0.1.1/24 r2 r1 10.0.1.2/24
veth_pair r2 server 10.0.2.1/24 server eth0 10.0.2.2/24
must ip -n "${net_prefix}client" route add default via 10.0.0.1
must ip -n "${net_prefix}server" route add default via 10.0.2.1
must ip -n "${net_prefix}r1" route add 10.0.2.0/24 via 10.0.1.2
must ip -n "${net_prefix}r2" route add 10.0.0.0/24 via 10.0.1.1

forward() { must in_ns "$1" sysctl -qw "net.ipv4.ip_forward=$2"; }
# said [OPTION…]: what ping prints about one echo to the server.
said() { in_ns client ping -n -c 1 -W "$(scaled 5)" "$@" 10.0.2.2; }

forward r1 0
ok 'a machine that does not forward is no router' ping_lost client 10.0.2.2
ok 'though its own addresses answer' ping_from client 10.0.1.1
forward r1 1
forward r2 1
ok 'two that forward connect both ends' ping_from client 10.0.2.2
ok 'in both directions' ping_from server 10.0.0.2
like "$(said)" 'ttl=62' 'each router takes one off the time to live'
like "$(said -t 1)" 'From 10.0.0.1 .*Time to live exceeded' 'which can end at the first router'
like "$(said -t 2)" 'From 10.0.1.2 .*Time to live exceeded' 'or at the second'
forward r2 0
ok 'if one stops forwarding the server is not reached' ping_lost client 10.0.2.2
forward r2 1

# The longer prefix wins, whatever its type.
must ip -n "${net_prefix}r1" route add unreachable 10.0.2.2/32
like "$(said)" 'From 10.0.0.1 .*Destination Host Unreachable' 'a route that says unreachable'
must ip -n "${net_prefix}r1" route replace prohibit 10.0.2.2/32
like "$(said)" 'From 10.0.0.1 .*Packet filtered' 'a route that prohibits'
must ip -n "${net_prefix}r1" route replace blackhole 10.0.2.2/32
unlike "$(said -W 0.4)" 'bytes from|From' 'a route that drops in silence'
ok 'the shorter prefix is for the other addresses' ping_from client 10.0.2.1
must ip -n "${net_prefix}r1" route del blackhole 10.0.2.2/32
ok 'and again for all of them' ping_from client 10.0.2.2

# A second cable to r2 with a worse metric: it is used when the first is down.
veth_pair r1 spare 10.0.3.1/24 r2 spare 10.0.3.2/24
must ip -n "${net_prefix}r1" route add 10.0.2.0/24 via 10.0.3.2 metric 500
must ip -n "${net_prefix}r2" route add 10.0.0.0/24 via 10.0.3.1 metric 500
like "$(ip -n "${net_prefix}r1" route get 10.0.2.2)" 'via 10.0.1.2 dev r2' \
    'the better metric is taken'
must ip -n "${net_prefix}r1" link set r2 down
like "$(ip -n "${net_prefix}r1" route get 10.0.2.2)" 'via 10.0.3.2 dev spare' \
    'the other route is taken when that cable is down'
in_ns r2 ip route del 10.0.0.0/24 via 10.0.1.1 2>/dev/null
ok 'packets take it too' ping_from client 10.0.2.2
must ip -n "${net_prefix}client" route del default
fails 'without a route nothing is sent' in_ns client ping -n -c 1 -W 1 10.0.2.2
