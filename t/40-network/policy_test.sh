#!/bin/sh
# Policy routing: two ways out, chosen by source, mark and rule order; and the reverse path filter.

# shellcheck source=t/net.sh
. "${0%/*}/../net.sh"
skip_unless_probe ping nft
plan 12
ns_add client router red blue
veth_pair client eth0 10.0.0.2/24 router lan 10.0.0.1/24
veth_pair router red 192.0.2.1/24 red eth0 192.0.2.2/24
veth_pair router blue 198.51.100.1/24 blue eth0 198.51.100.2/24
ip_in client <<'end'
addr add 10.0.0.3/24 dev eth0
route add default via 10.0.0.1
end
must in_ns router sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=0

# Both ways lead to a server with the same address, which says which one it is.
for way in red blue; do
    must ip -n "${net_prefix}$way" addr add 203.0.113.1/32 dev lo
    serve $way tcp 80 $way
    serve $way tcp 81 $way
done
must ip -n "${net_prefix}red" route add 10.0.0.0/24 via 192.0.2.1
must ip -n "${net_prefix}blue" route add 10.0.0.0/24 via 198.51.100.1
ip_in router <<'end'
route add default via 192.0.2.2
route add default via 198.51.100.2 table 100
route add unreachable default table 200
end

is "$(probe client tcp 203.0.113.1 80)" 'red 10.0.0.2' 'the main table leads to red'
ip_in router <<'end'
rule add from 10.0.0.3 lookup 100 priority 1000
end
is "$(probe client tcp 203.0.113.1 80)" 'red 10.0.0.2' 'a rule for another source changes nothing'
is "$(in_ns client socat -t 10 - TCP4:203.0.113.1:80,bind=10.0.0.3 </dev/null)" 'blue 10.0.0.3' \
    'that source goes to blue'

cat >"$T/mark" <<'end'
table inet t {
    chain pre { type filter hook prerouting priority mangle; tcp dport 81 meta mark set 5; }
}
end
must in_ns router nft -f "$T/mark"
is "$(probe client tcp 203.0.113.1 81)" 'red 10.0.0.2' 'a mark alone changes nothing'
must ip -n "${net_prefix}router" rule add fwmark 5 lookup 100 priority 900
is "$(probe client tcp 203.0.113.1 81)" 'blue 10.0.0.2' 'a rule for the mark sends it to blue'
is "$(probe client tcp 203.0.113.1 80)" 'red 10.0.0.2' 'and nothing else'

must ip -n "${net_prefix}router" rule add iif lan ipproto tcp dport 81 lookup 200 priority 800
is "$(probe client tcp 203.0.113.1 81)" unreachable \
    'a rule by port with a lower priority comes first'
like "$(ip -n "${net_prefix}router" route get 203.0.113.1 from 10.0.0.3 iif lan)" \
    'via 198.51.100.2 dev blue' 'the kernel says where a packet would go'
must ip -n "${net_prefix}router" rule del priority 800
is "$(probe client tcp 203.0.113.1 81)" 'blue 10.0.0.2' 'without it the next rule counts'

# A strict reverse path filter drops what comes in by blue from an address that red leads to.
cat >"$T/count" <<'end'
table inet c {
    counter through { }
    chain forward {
        type filter hook forward priority filter;
        iifname blue icmp type echo-request counter name through
    }
}
end
must in_ns router nft -f "$T/count"
through() {
    in_ns router nft list counter inet c through | sed -n 's/.*packets \([0-9]*\) .*/\1/p'
}
must in_ns router sysctl -qw net.ipv4.conf.blue.rp_filter=0
must ping_lost blue 10.0.0.2 -I 203.0.113.1
is "$(through)" 1 'without the filter a packet by the wrong way passes'
must in_ns router sysctl -qw net.ipv4.conf.blue.rp_filter=1
must ping_lost blue 10.0.0.2 -I 203.0.113.1
is "$(through)" 1 'with a strict filter it does not'
ok 'one by the right way passes' ping_from blue 10.0.0.1
