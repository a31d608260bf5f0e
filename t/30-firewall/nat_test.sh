#!/bin/sh
# Address translation as the server sees it: masquerade, source NAT, forwarding, redirection.

# shellcheck source=t/30-firewall/fw.sh
. "${0%/*}/fw.sh"
skip_unless_fw nft conntrack
plan 15
routed
ip_in fw <<'end'
addr add 192.0.2.9/24 dev out
end
serve outside tcp 80 outer
serve outside udp 53 name
serve inside tcp 80 inner

is "$(probe inside tcp 192.0.2.2 80 0.5)" silence 'without translation no answer finds its way'
rules fw <<'end'
table inet t {
    chain post {
        type nat hook postrouting priority srcnat;
        oifname out masquerade
    }
}
end
is "$(probe inside tcp 192.0.2.2 80)" 'outer 192.0.2.1' 'masquerade: the server sees the firewall'
is "$(probe inside udp 192.0.2.2 53)" 'name 192.0.2.1' 'UDP the same'
ok 'and echoes come back' ping_from inside 192.0.2.2
like "$(in_ns fw conntrack -L -p tcp --dport 80 2>&1)" \
    'src=10.0.0.2 dst=192.0.2.2 .*src=192.0.2.2 dst=192.0.2.1' 'the table has both directions'
is "$(probe fw tcp 192.0.2.2 80)" 'outer 192.0.2.1' 'the firewall itself needs no translation'

rules fw <<'end'
table inet t {
    chain post {
        type nat hook postrouting priority srcnat;
        oifname out meta l4proto tcp snat ip to 192.0.2.9:40000-40010
        oifname out masquerade
    }
    chain pre {
        type nat hook prerouting priority dstnat;
        iifname out tcp dport 8080 dnat ip to 10.0.0.2:80
        iifname in tcp dport 8081 redirect to :8000
    }
}
end
is "$(probe inside tcp 192.0.2.2 80)" 'outer 192.0.2.9' 'a chosen source address'
like "$(in_ns fw conntrack -L -p tcp --reply-dst 192.0.2.9 2>&1)" ' dport=400(0[0-9]|10) ' \
    'with a port of the chosen range'
is "$(probe inside udp 192.0.2.2 53)" 'name 192.0.2.1' 'UDP is still masqueraded'

is "$(probe outside tcp 192.0.2.1 8080)" 'inner 192.0.2.2' \
    'a forwarded port leads inside, the sender unchanged'
is "$(probe outside tcp 192.0.2.1 8081)" refused 'another port does not'
is "$(probe outside tcp 192.0.2.1 80)" refused 'nor does the port that it leads to'

serve fw tcp 8000 proxy
is "$(probe inside tcp 192.0.2.2 8081)" 'proxy 10.0.0.2' 'a redirected port ends at the firewall'
is "$(probe outside tcp 192.0.2.1 8081)" refused 'but only from the inside'

rules fw <<'end'
end
is "$(probe outside tcp 192.0.2.1 8080)" refused 'without the rules the port leads nowhere'
