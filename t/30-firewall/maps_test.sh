#!/bin/sh
# Maps: a verdict by port, a target by port, and a mark by address, each found by one look-up.

# shellcheck source=t/30-firewall/fw.sh
. "${0%/*}/fw.sh"
skip_unless_fw nft
plan 12
pair
ip_in client <<'end'
addr add 192.0.2.10/24 dev eth0
end
serve server tcp 80 web
serve server tcp 81 other

rules server <<'end'
table inet t {
    counter quiet { }
    counter marked { }
    counter tens { }
    map verdicts {
        type inet_service : verdict
        elements = { 80 : accept, 81 : jump silent, 82 : goto rejected }
    }
    map targets {
        type inet_service : inet_service
        elements = { 8000 : 80, 8001 : 81 }
    }
    chain silent { counter name quiet drop; }
    chain rejected { reject with tcp reset; }
    chain input {
        type filter hook input priority filter; policy drop;
        ct state established accept
        meta mark 7 counter name marked
        meta mark 10 counter name tens
        tcp dport vmap @verdicts
        ip protocol icmp accept
    }
    chain pre {
        type nat hook prerouting priority dstnat;
        meta l4proto tcp redirect to :tcp dport map @targets
    }
    chain marks {
        type filter hook prerouting priority mangle;
        meta mark set ip saddr map { 192.0.2.1 : 7, 192.0.2.10 : 10 }
    }
}
end
is "$(probe client tcp 192.0.2.2 80)" 'web 192.0.2.1' 'a port whose verdict is accept'
is "$(probe client tcp 192.0.2.2 81 0.5)" silence 'one that jumps to a chain that drops'
at_least "$(packets server quiet)" 1 'which counted it'
is "$(probe client tcp 192.0.2.2 82)" refused 'one that goes to a chain that rejects'
is "$(probe client tcp 192.0.2.2 83 0.5)" silence 'one without a verdict meets the policy'
is "$(probe client tcp 192.0.2.2 8000)" 'web 192.0.2.1' 'a port that leads to another'
is "$(probe client tcp 192.0.2.2 8001 0.5)" silence 'whose verdict holds'

at_least "$(packets server marked)" 1 'packets are marked by their sender'
is "$(packets server tens)" 0 'each with its own mark'
must ping_from client 192.0.2.2 -I 192.0.2.10
is "$(packets server tens)" 1 'another sender, another mark'

nft_in server 'delete element inet t verdicts { 81 : jump silent }
    add element inet t verdicts { 81 : accept }'
is "$(probe client tcp 192.0.2.2 81)" 'other 192.0.2.1' 'a verdict can change'
nft_in server delete element inet t targets '{ 8000 : 80 }'
is "$(probe client tcp 192.0.2.2 8000 0.5)" silence 'a target can go'
