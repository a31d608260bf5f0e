#!/bin/sh
# A bridge: it learns addresses, sends known traffic to one port, and keeps isolated ports apart.

# shellcheck source=t/net.sh
. "${0%/*}/../net.sh"
skip_unless_net ping bridge
skip_unless_module bridge
plan 15
ns_add switch ann bob cid
ip_in switch <<'end'
link add br0 type bridge
link set br0 up
end
for host in ann bob cid; do
    veth_pair switch "$host" - $host eth0 -
    must ip -n "${net_prefix}switch" link set $host master br0
done
must ip -n "${net_prefix}ann" link set eth0 address 02:00:00:00:00:0a
must ip -n "${net_prefix}bob" link set eth0 address 02:00:00:00:00:0b
must ip -n "${net_prefix}ann" addr add 192.0.2.1/24 dev eth0
must ip -n "${net_prefix}bob" addr add 192.0.2.2/24 dev eth0
must ip -n "${net_prefix}cid" addr add 192.0.2.3/24 dev eth0

# port MAC: the port behind which the bridge has learned the address.
port() {
    in_ns switch bridge fdb show br br0 | grep -v permanent |
        sed -n "s/^$1 dev \([^ ]*\) .*/\1/p" | sort -u
}
# cid has only the cable to the bridge: it receives what the bridge sends there.
seen_by_cid() { in_ns cid cat /sys/class/net/eth0/statistics/rx_packets; }

ok 'ann reaches bob' ping_from ann 192.0.2.2
ok 'and cid' ping_from ann 192.0.2.3
is "$(port 02:00:00:00:00:0a)" ann 'ann has been learned behind her port'
is "$(port 02:00:00:00:00:0b)" bob 'bob behind his own'

ip_in ann <<'end'
neigh replace 192.0.2.2 lladdr 02:00:00:00:00:0b dev eth0 nud permanent
end
ip_in bob <<'end'
neigh replace 192.0.2.1 lladdr 02:00:00:00:00:0a dev eth0 nud permanent
end
before=$(seen_by_cid)
must in_ns ann ping -n -q -c 20 -i 0.01 192.0.2.2
at_most $(($(seen_by_cid) - before)) 10 'twenty echoes from ann to bob are not for cid'
must in_ns switch bridge link set dev bob learning off
must in_ns switch bridge fdb del 02:00:00:00:00:0b dev bob master
before=$(seen_by_cid)
must in_ns ann ping -n -q -c 20 -i 0.01 192.0.2.2
at_least $(($(seen_by_cid) - before)) 20 'an address not learned is flooded to every port'
is "$(port 02:00:00:00:00:0b)" '' 'a port that does not learn has learned nothing'
must in_ns switch bridge link set dev cid flood off
before=$(seen_by_cid)
must in_ns ann ping -n -q -c 20 -i 0.01 192.0.2.2
at_most $(($(seen_by_cid) - before)) 10 'but not to a port with flooding off'
must in_ns switch bridge link set dev cid flood on

must in_ns switch bridge link set dev ann isolated on
ok 'one isolated port meets the others' ping_from ann 192.0.2.2
must in_ns switch bridge link set dev bob isolated on
ok 'two isolated ports do not meet' ping_lost ann 192.0.2.2
ok 'though one meets a third' ping_from bob 192.0.2.3
ok 'as does the other' ping_from ann 192.0.2.3

must ip -n "${net_prefix}switch" addr add 192.0.2.254/24 dev br0
ok 'the bridge itself can have an address' ping_from bob 192.0.2.254
must ip -n "${net_prefix}switch" link set cid nomaster
ok 'cid is not reached when its port leaves the bridge' ping_lost bob 192.0.2.3
must ip -n "${net_prefix}switch" link set cid master br0
ok 'it is when the port is back' retry 10 ping_from bob 192.0.2.3
