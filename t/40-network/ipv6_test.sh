#!/bin/sh
# IPv6: neighbours, addresses from an announced prefix, the announced router, and duplicates.

# shellcheck source=t/net.sh
. "${0%/*}/../net.sh"
skip_unless_net ping dnsmasq
plan 15
ns_add host router far
veth_pair host eth0 - router lan 2001:db8:1::1/64
veth_pair router wan 2001:db8:2::1/64 far eth0 2001:db8:2::2/64
must ip -n "${net_prefix}host" link set eth0 address 02:00:00:00:00:0a
must in_ns router sysctl -qw net.ipv6.conf.all.forwarding=1
must ip -n "${net_prefix}far" route add default via 2001:db8:2::1

# addresses: the addresses that the host uses.
addresses() { ip -n "${net_prefix}host" -6 -br addr show dev eth0 -tentative; }
has() { addresses | grep -q "$1"; }
ok 'an interface gives itself a link-local address' retry 20 has 'fe80::'
ok 'which reaches its neighbours' in_ns host ping -n -c 1 -W "$(scaled 5)" ff02::1%eth0
fails 'but nothing further' in_ns host ping -n -c 1 -W 1 2001:db8:2::2

start_in router ra.log dnsmasq -k -C /dev/null --user=root --port=0 --interface=lan --enable-ra \
    --ra-param=lan,mtu:1400,4,600 --dhcp-range=2001:db8:1::,ra-only --pid-file= \
    --log-facility=- --dhcp-leasefile="$T/leases"
ok 'an announced prefix becomes an address' retry 30 has '2001:db8:1:0*:'
like "$(addresses)" '2001:db8:1:(0:)*' 'which has that prefix'
like "$(ip -n "${net_prefix}host" -6 route)" 'default via fe80::[0-9a-f:]+ dev eth0 proto ra' \
    'the router becomes the default route'
is "$(in_ns host cat /proc/sys/net/ipv6/conf/eth0/mtu)" 1400 'the announced MTU is taken'
# echo_to ADDRESS [OPTION…]: one echo from the host.
echo_to() {
    target=$1
    shift
    in_ns host ping -n -c 1 -W "$(scaled 5)" "$@" "$target"
}
ok 'the network behind the router is reached' echo_to 2001:db8:2::2
like "$(ip -n "${net_prefix}host" -6 neigh show dev eth0)" 'lladdr .* router' \
    'the neighbour is known to be a router'
like "$(echo_to 2001:db8:2::2 -t 1)" 'From 2001:db8:1::1 .*Hop limit|Time exceeded' \
    'the hop limit ends at the router'
like "$(echo_to 2001:db8:2::dead)" 'From 2001:db8:2?1?::1 .*(Address unreachable|Destination)' \
    'an address that nobody has is reported'
must in_ns router sysctl -qw net.ipv6.conf.all.forwarding=0
fails 'a router that does not forward lets nothing through' \
    in_ns host ping -n -c 1 -W 1 2001:db8:2::2

# An address that another host has is not used a second time.
must ip -n "${net_prefix}host" addr add 2001:db8:1::1/64 dev eth0
duplicate() {
    ip -n "${net_prefix}host" -6 addr show dev eth0 dadfailed | grep -q 2001:db8:1::1/64
}
ok 'an address that another host has is detected' retry 20 duplicate
fails 'and not used' has '2001:db8:1::1/64'
must in_ns host sysctl -qw net.ipv6.conf.eth0.disable_ipv6=1
is "$(addresses | grep -c :)" 0 'with IPv6 switched off there is no address'
