#!/bin/sh
# Reloading is all or nothing: a broken ruleset changes nothing, and a good one leaves no gap.

# shellcheck source=t/30-firewall/fw.sh
. "${0%/*}/fw.sh"
skip_unless_fw nft
plan 12
pair
serve server tcp 80 web
serve server tcp 81 other

cat >"$T/good" <<'end'
flush ruleset
table inet t {
    counter blocked { }
    set open { type inet_service; elements = { 80 } }
    chain input {
        type filter hook input priority filter; policy accept;
        ct state established accept
        tcp dport 81 counter name blocked drop
        icmp type echo-request ip saddr 192.0.2.1 icmp id 7 drop
        tcp dport @open accept
    }
}
end
must in_ns server nft -f "$T/good"
before=$(in_ns server nft -s list ruleset)

# Its last rule names a set that does not exist. By then the rules above would have been added.
sed 's/tcp dport 81.*drop/tcp dport 80 drop/; s/@open/@nowhere/' "$T/good" >"$T/broken"
fails 'a ruleset with a fault in its last line is refused' in_ns server nft -f "$T/broken"
is "$(in_ns server nft -s list ruleset)" "$before" 'the old one is still in force, to the letter'
is "$(probe client tcp 192.0.2.2 80)" 'web 192.0.2.1' 'what it accepts passes'
is "$(probe client tcp 192.0.2.2 81 0.5)" silence 'what it drops does not'
echo 'table inet t { chain input { tcp dport 80' >"$T/cut"
fails 'a ruleset that is cut off is refused' in_ns server nft -f "$T/cut"
# The kernel refuses this one, not the parser: the set is in use.
printf 'add rule inet t input tcp dport 80 drop\ndelete set inet t open\n' >"$T/busy"
fails 'so is one that the kernel refuses' in_ns server nft -f "$T/busy"
is "$(probe client tcp 192.0.2.2 80)" 'web 192.0.2.1' 'and its first half has no effect either'

sed 's/dport 81/dport 80/' "$T/good" >"$T/other"
ok 'a ruleset can be checked without loading it' in_ns server nft -c -f "$T/other"
is "$(in_ns server nft -s list ruleset)" "$before" 'nothing has changed'

# While the rules are replaced again and again, echoes with the id that they drop keep coming. None
# may slip through.
start_in client flood ping -n -q -e 7 -i 0.005 -c 2000 192.0.2.2
flood=$pid
n=0
while [ $n -lt 10 ]; do
    must in_ns server nft -f "$T/good"
    n=$((n + 1))
done
kill -INT "$flood"
wait "$flood"
like "$(cat "$T/flood")" '^[0-9]{2,} packets transmitted, 0 received' \
    'ten reloads, and no packet slips through'
must in_ns server nft -f "$T/other"
is "$(probe client tcp 192.0.2.2 80 0.5)" silence 'a new ruleset is in force at once'
is "$(probe client tcp 192.0.2.2 81)" 'other 192.0.2.1' 'and the old one is not'
