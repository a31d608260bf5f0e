#!/bin/sh
# Connection states: established answers, related errors, and new or invalid packets dropped.

# shellcheck source=t/30-firewall/fw.sh
. "${0%/*}/fw.sh"
skip_unless_fw nft conntrack
plan 17
routed
ip_in outside <<'end'
route add 10.0.0.0/24 via 192.0.2.1
end
serve inside tcp 80 inner
serve outside tcp 80 outer

# gate RULE: from inside everything passes; from outside answers pass, and what RULE accepts.
gate() {
    rules fw <<end
table inet t {
    counter new { }
    counter invalid { }
    counter established { }
    counter related { }
    chain forward {
        type filter hook forward priority filter; policy drop;
        ct state invalid counter name invalid drop
        ct state established counter name established accept
        $1
        iifname in accept
        ct state new counter name new
    }
}
end
}

gate 'ct state related counter name related accept'
is "$(probe inside tcp 192.0.2.2 80)" 'outer 10.0.0.2' 'a connection from inside gets its answer'
at_least "$(packets fw established)" 2 'the answer is established'
is "$(packets fw new)" 0 'nothing new has come from outside'
is "$(probe outside tcp 10.0.0.2 80 0.5)" silence 'a connection from outside gets none'
at_least "$(packets fw new)" 1 'its packet was new'
ok 'an echo comes back' ping_from inside 192.0.2.2
ok 'but none from outside is let in' ping_lost outside 10.0.0.2

is "$(packets fw related)" 0 'so far nothing was related'
is "$(probe inside udp 192.0.2.2 9)" refused 'an error about a packet comes back'
is "$(packets fw related)" 1 'because the error is related to the packet'
gate ''
is "$(probe inside udp 192.0.2.2 9 1)" silence 'but not where related packets are not accepted'

# A connection that lasts: it is in the table, invalid once the table has forgotten it, and picked
# up again where that is allowed.
must in_ns fw sysctl -qw net.netfilter.nf_conntrack_tcp_loose=0
start_in outside echo.log socat TCP4-LISTEN:7,reuseaddr EXEC:cat
must retry 10 listening outside tcp 7
must mkfifo "$T/say"
start_in inside heard socat "OPEN:$T/say,rdonly!!STDOUT" TCP4:192.0.2.2:7
exec 3>"$T/say"
heard() { grep -q "$1" "$T/heard"; }

echo one >&3
ok 'a line comes back through a connection' retry 20 heard one
like "$(in_ns fw conntrack -L -p tcp --dport 7 2>&1)" \
    'ESTABLISHED src=10.0.0.2 dst=192.0.2.2 .*ASSURED' 'which is in the table'
is "$(packets fw invalid)" 0 'nothing was invalid so far'
must in_ns fw conntrack -D -p tcp --dport 7
echo two >&3
invalid() { [ "$(packets fw invalid)" -gt 0 ]; }
ok 'a forgotten connection is invalid' retry 20 invalid
fails 'and does not get through' heard two
must in_ns fw sysctl -qw net.netfilter.nf_conntrack_tcp_loose=1
ok 'a connection that may be picked up again goes on' retry 30 heard two
