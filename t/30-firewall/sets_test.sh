#!/bin/sh
# Sets: single members, intervals, members that expire, pairs, and members that packets add.

# shellcheck source=t/30-firewall/fw.sh
. "${0%/*}/fw.sh"
skip_unless_fw nft
plan 19
pair
ip_in client <<'end'
addr add 192.0.2.10/24 dev eth0
addr add 192.0.2.20/24 dev eth0
addr add 192.0.2.29/24 dev eth0
addr add 192.0.2.30/24 dev eth0
end

# reaches SOURCE: an echo from this address is answered. blocked SOURCE: it is not.
reaches() { ping_from client 192.0.2.2 -I "$1"; }
blocked() { ping_lost client 192.0.2.2 -I "$1"; }

rules server <<'end'
table inet t {
    set few { type ipv4_addr; elements = { 192.0.2.10 } }
    set range {
        type ipv4_addr; flags interval
        elements = { 192.0.2.16/29, 192.0.2.25-192.0.2.29 }
    }
    set short { type ipv4_addr; flags timeout; }
    set pairs { type ipv4_addr . icmp_type; }
    set seen { type ipv4_addr; size 10; flags dynamic, timeout; timeout 1h; }
    chain input {
        type filter hook input priority filter; policy accept;
        icmp type echo-request update @seen { ip saddr counter }
        ip saddr @few drop
        ip saddr @range drop
        ip saddr @short drop
        ip saddr . icmp type @pairs drop
    }
}
end
ok 'an address in no set passes' reaches 192.0.2.1
ok 'a member of a set does not' blocked 192.0.2.10
ok 'nor does an address inside a prefix' blocked 192.0.2.20
ok 'nor the last of a range' blocked 192.0.2.29
ok 'the address after it passes' reaches 192.0.2.30

nft_in server delete element inet t few '{ 192.0.2.10 }'
ok 'an address removed from a set passes' reaches 192.0.2.10
nft_in server add element inet t few '{ 192.0.2.1 }'
ok 'an address added to a set does not' blocked 192.0.2.1
nft_in server flush set inet t few
ok 'an empty set blocks no address' reaches 192.0.2.1

nft_in server add element inet t short '{ 192.0.2.1 timeout 1h }'
ok 'a member with a timeout is blocked' blocked 192.0.2.1
like "$(in_ns server nft get element inet t short '{ 192.0.2.1 }')" 'expires (1h|59m)' \
    'and its time runs'
nft_in server 'flush set inet t short; add element inet t short { 192.0.2.1 timeout 2s }'
over() { ! ping_lost client 192.0.2.2; }
ok 'after its timeout it passes' retry 20 over
fails 'and is not in the set' in_ns server nft get element inet t short '{ 192.0.2.1 }'

nft_in server add element inet t pairs '{ 192.0.2.1 . echo-request, 192.0.2.10 . echo-reply }'
ok 'a pair matches as a whole' blocked 192.0.2.1
ok 'not by half' reaches 192.0.2.10

seen=$(in_ns server nft list set inet t seen)
like "$seen" '192.0.2.30 counter packets 1 ' 'packets put their senders into a set'
like "$seen" '192.0.2.20 counter packets 1 ' 'the senders of dropped packets as well'
unlike "$seen" '192.0.2.2 ' 'and no other address'

fails 'a range that overlaps is refused' \
    in_ns server nft add element inet t range '{ 192.0.2.20-192.0.2.40 }'
fails 'so is a member of another type' in_ns server nft add element inet t few '{ 2001:db8::1 }'
