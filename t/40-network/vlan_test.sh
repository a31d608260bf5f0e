#!/bin/sh
# VLANs: two networks on one cable that do not see each other, and a bridge that keeps them apart.

# shellcheck source=t/net.sh
. "${0%/*}/../net.sh"
skip_unless_net ping bridge tcpdump
skip_unless_module 8021q bridge
plan 14
ns_add left right
veth_pair left eth0 - right eth0 -
for side in left right; do
    n=1
    [ $side = left ] || n=2
    ip_in $side <<end
link add link eth0 name eth0.10 type vlan id 10
link add link eth0 name eth0.20 type vlan id 20
link set eth0.10 up
link set eth0.20 up
addr add 192.0.2.$n/24 dev eth0.10
addr add 198.51.100.$n/24 dev eth0.20
end
done

# tcpdump shows what goes over the cable while an echo is sent.
start_in right sniff tcpdump -i eth0 -n -e -l -c 2 icmp or vlan and icmp
sniffing() { grep -q 'listening on' "$T/sniff"; }
must retry 20 sniffing
ok 'VLAN 10 reaches across' ping_from left 192.0.2.2
ok 'tcpdump sees the echo' retry 20 grep -q 'echo reply' "$T/sniff"
like "$(cat "$T/sniff")" 'ethertype 802.1Q .* vlan 10, .*192.0.2.1 > 192.0.2.2: ICMP echo request' \
    'it is tagged 10'
ok 'VLAN 20 reaches across' ping_from left 198.51.100.2

ip_in right <<'end'
link set eth0.20 down
link del eth0.20
link add link eth0 name eth0.30 type vlan id 30
link set eth0.30 up
addr add 198.51.100.2/24 dev eth0.30
end
ok 'another tag is another network' ping_lost left 198.51.100.2
ok 'and the first still works' ping_from left 192.0.2.2
fails 'an impossible tag is refused' \
    ip -n "${net_prefix}right" link add link eth0 name bad type vlan id 4095

# A bridge with untagged ports in VLAN 10 and 20, whose hosts know nothing of tags, and a tagged
# port for both.
ns_add switch ten ten2 twenty
ip_in switch <<'end'
link add br0 type bridge vlan_filtering 1 vlan_default_pvid 0
link set br0 up
end
for host in ten ten2 twenty; do
    veth_pair switch $host - $host eth0 -
    must ip -n "${net_prefix}switch" link set $host master br0
done
cat >"$T/vlans" <<'end'
vlan add dev ten vid 10 pvid untagged
vlan add dev ten2 vid 10 pvid untagged
vlan add dev twenty vid 20 pvid untagged
end
must in_ns switch bridge -batch "$T/vlans"
must ip -n "${net_prefix}ten" addr add 203.0.113.1/24 dev eth0
must ip -n "${net_prefix}ten2" addr add 203.0.113.2/24 dev eth0
must ip -n "${net_prefix}twenty" addr add 203.0.113.3/24 dev eth0
ok 'two ports of one VLAN meet' ping_from ten 203.0.113.2
ok 'ports of two VLANs do not' ping_lost ten 203.0.113.3

veth_pair switch trunk - left trunk -
must ip -n "${net_prefix}switch" link set trunk master br0
printf 'vlan add dev trunk vid %s\n' 10 20 >"$T/vlans"
must in_ns switch bridge -batch "$T/vlans"
ip_in left <<'end'
link add link trunk name trunk.20 type vlan id 20
link set trunk.20 up
addr add 203.0.113.9/24 dev trunk.20
end
ok 'a tagged port leads to the VLAN of the tag' ping_from left 203.0.113.3
ok 'and to no other' ping_lost left 203.0.113.1
must in_ns switch bridge vlan del dev trunk vid 20
ok 'a VLAN removed from the port is not reached' ping_lost left 203.0.113.3
must in_ns switch bridge vlan add dev ten2 vid 20 pvid untagged
ok 'a port moved to the other VLAN meets its ports' ping_from ten2 203.0.113.3
ok 'and no longer those of its old VLAN' ping_lost ten 203.0.113.2
