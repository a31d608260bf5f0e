# shellcheck shell=sh
# A firewall with real traffic: rules, counters, and the two networks that most tests need.

# shellcheck source=t/net.sh
. "${0%/*}/../net.sh"

skip_unless_fw() {
    skip_unless_probe ping "$@"
    skip_unless_module nf_tables
}

# pair: client 192.0.2.1 and server 192.0.2.2 on one cable; the rules are the server's.
pair() {
    ns_add client server
    veth_pair client eth0 192.0.2.1/24 server eth0 192.0.2.2/24
}

# routed: inside 10.0.0.2; fw 10.0.0.1, 192.0.2.1; outside 192.0.2.2, with no route to inside.
routed() {
    ns_add inside fw outside
    veth_pair inside eth0 10.0.0.2/24 fw in 10.0.0.1/24
    veth_pair fw out 192.0.2.1/24 outside eth0 192.0.2.2/24
    ip_in inside <<'end'
route add default via 10.0.0.1
end
    must in_ns fw sysctl -qw net.ipv4.ip_forward=1
}

# rules NS: replaces the whole ruleset of the namespace by the one from stdin.
rules() {
    { echo flush ruleset && cat; } >"$T/rules"
    must in_ns "$1" nft -f "$T/rules"
}

# nft_in NS COMMAND…: one change of the ruleset. It has to succeed.
nft_in() {
    net_fw=$1
    shift
    must in_ns "$net_fw" nft "$@"
}

# packets NS NAME: how many packets the counter NAME of table `t` has counted.
packets() { in_ns "$1" nft list counter inet t "$2" | sed -n 's/.*packets \([0-9]*\) .*/\1/p'; }
