#!/bin/sh
# Verdicts on arriving packets: accept, drop, and every kind of reject, as the sender sees them.

# shellcheck source=t/30-firewall/fw.sh
. "${0%/*}/fw.sh"
skip_unless_fw nft
plan 17
pair
serve server tcp 80 web
serve server udp 53 name

# verdict VERDICT: the only rule, for ports 53 and 80 of TCP and UDP, with a counter.
verdict() {
    rules server <<end
table inet t {
    counter hits { }
    chain input {
        type filter hook input priority filter; policy accept;
        meta l4proto { tcp, udp } th dport { 53, 80 } counter name hits $1
    }
}
end
}

is "$(probe client tcp 192.0.2.2 80)" 'web 192.0.2.1' 'no rules: TCP passes'
is "$(probe client udp 192.0.2.2 53)" 'name 192.0.2.1' 'and UDP'

verdict drop
is "$(probe client tcp 192.0.2.2 80 0.5)" silence 'drop: silence for TCP'
is "$(probe client udp 192.0.2.2 53 1)" silence 'and for UDP'
at_least "$(packets server hits)" 2 'both were dropped by the rule'
ok 'a packet that it does not match passes' ping_from client 192.0.2.2

verdict reject
is "$(probe client tcp 192.0.2.2 80)" refused 'reject: refused at once'
is "$(probe client udp 192.0.2.2 53)" refused 'UDP as well'
verdict 'reject with icmpx admin-prohibited'
is "$(probe client tcp 192.0.2.2 80)" unreachable 'reject as prohibited: unreachable'
rules server <<'end'
table inet t {
    counter hits { }
    chain input {
        type filter hook input priority filter; policy accept;
        tcp dport 80 counter name hits reject with tcp reset
    }
    chain output {
        type filter hook output priority filter; policy accept;
        ip protocol icmp drop
    }
}
end
is "$(probe client tcp 192.0.2.2 80)" refused 'a reset refuses without ICMP'
is "$(packets server hits)" 1 'with one packet'

verdict accept
is "$(probe client tcp 192.0.2.2 80)" 'web 192.0.2.1' 'accept: it passes again'
at_least "$(packets server hits)" 3 'through the rule'

# The policy drops what no rule accepts. Of two rules that match, the first decides.
rules server <<'end'
table inet t {
    counter hits { }
    chain input {
        type filter hook input priority filter; policy drop;
        tcp dport 80 ip saddr 192.0.2.1 accept
        tcp dport 80 counter name hits drop
    }
}
end
is "$(probe client tcp 192.0.2.2 80)" 'web 192.0.2.1' 'the first rule that matches decides'
is "$(packets server hits)" 0 'the second is not reached'
is "$(probe client udp 192.0.2.2 53 1)" silence 'a policy of drop drops the rest'
ok 'and pings' ping_lost client 192.0.2.2
