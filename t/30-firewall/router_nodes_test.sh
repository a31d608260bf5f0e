#!/bin/sh
# A router between two networks, on three machines and two wires: only what it forwards arrives.
# orca: nodes=client:inside,router:inside+outside,server:outside timeout=300s tags=nodes

# shellcheck source=t/nodes.sh
. "${0%/*}/../nodes.sh"
skip_unless_nodes nft socat ss ping
skip_unless_module nf_tables
plan 16

address client eth0 10.0.0.2/24
address router eth0 10.0.0.1/24
address router eth1 192.0.2.1/24
address server eth0 192.0.2.2/24
must ip route add default via 10.0.0.1
must on router sysctl -qw net.ipv4.ip_forward=0

# rules: replaces the router's whole ruleset by the one from stdin.
rules() {
    { echo flush ruleset && cat; } >"$T/rules"
    on router nft -f - <"$T/rules" >"$T/.out" 2>&1 && return
    diag "no rules: $(cat "$T/.out")"
    exit 1
}
# packets NAME: how many packets the router's counter NAME has counted.
packets() { on router nft list counter inet t "$1" | sed -n 's/.*packets \([0-9]*\) .*/\1/p'; }
serve_on server 80 web
serve_on server 22 shell

ok 'the client reaches the router' ping -n -c 1 -W "$(scaled 5)" 10.0.0.1
is "$(probe_from client 192.0.2.2 80 1)" silence \
    'a router that does not forward lets nothing through'
must on router sysctl -qw net.ipv4.ip_forward=1
is "$(probe_from client 192.0.2.2 80 1)" silence \
    'one that does is not enough: the server has no route back'
must on server ip route add 10.0.0.0/24 via 192.0.2.1
is "$(probe_from client 192.0.2.2 80)" 'web 10.0.0.2' 'with a route back the client is served'
is "$(probe_from client 192.0.2.2 22)" 'shell 10.0.0.2' 'on any port'

rules <<'end'
table inet t {
    counter passed { }
    counter dropped { }
    chain forward {
        type filter hook forward priority filter; policy drop;
        ct state established,related accept
        iifname eth0 oifname eth1 tcp dport 80 counter name passed accept
        counter name dropped
    }
}
end
is "$(probe_from client 192.0.2.2 80)" 'web 10.0.0.2' 'what the rules forward arrives'
is "$(packets passed)" 1 'by the rule, which has seen the connection once'
is "$(packets dropped)" 0 'and nothing was dropped for it'
is "$(probe_from client 192.0.2.2 22 1)" silence 'what they do not forward does not'
at_least "$(packets dropped)" 1 'the router dropped it'
is "$(probe_from server 10.0.0.2 80 1)" silence 'nothing comes in from outside'
at_least "$(packets dropped)" 2 'which the router dropped as well'
ok 'the router itself reaches the server' on router ping -n -c 1 -W "$(scaled 5)" 192.0.2.2

# Behind the router's address: the server needs no route back.
must on server ip route del 10.0.0.0/24
is "$(probe_from client 192.0.2.2 80 1)" silence 'without the route back there is silence again'
rules <<'end'
table ip t {
    counter hidden { }
    chain postrouting {
        type nat hook postrouting priority srcnat;
        oifname eth1 ip saddr 10.0.0.0/24 counter name hidden masquerade
    }
}
end
is "$(probe_from client 192.0.2.2 80)" 'web 192.0.2.1' \
    'behind the address of the router the client is served'
packets() { on router nft list counter ip t "$1" | sed -n 's/.*packets \([0-9]*\) .*/\1/p'; }
at_least "$(packets hidden)" 1 'by the rule'
