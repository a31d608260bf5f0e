#!/bin/sh
# Counters, rate limits and quotas: counts are exact, and no more than the limit passes.

# shellcheck source=t/30-firewall/fw.sh
. "${0%/*}/fw.sh"
skip_unless_fw nft
plan 14
pair
ip_in client <<'end'
addr add 192.0.2.10/24 dev eth0
end

# answered N SOURCE: how many of N echoes in quick succession are answered.
answered() {
    in_ns client ping -n -q -c "$1" -i 0.02 -W 0.5 -s 56 -I "$2" 192.0.2.2 |
        sed -n 's/.* \([0-9]*\) received.*/\1/p'
}

# An hourly rate does not refill while the test runs, so only the burst counts.
rules server <<'end'
table inet t {
    counter came { }
    counter over { }
    counter replies { }
    set senders { type ipv4_addr; flags dynamic; }
    quota few { over 840 bytes }
    chain input {
        type filter hook input priority filter; policy accept;
        icmp type echo-request counter name came
        jump limits
    }
    chain limits { }
    chain output {
        type filter hook output priority filter; policy accept;
        icmp type echo-reply counter name replies
    }
}
end
is "$(answered 7 192.0.2.1)" 7 'seven echoes, unlimited'
is "$(packets server came)" 7 'seven counted'
is "$(packets server replies)" 7 'seven answers counted'
like "$(in_ns server nft list counter inet t came)" 'bytes 588' 'of 84 bytes each'
nft_in server reset counter inet t came
is "$(packets server came)" 0 'a counter can be reset'

nft_in server add rule inet t limits icmp type echo-request \
    limit rate over 1/hour burst 5 packets counter name over drop
is "$(answered 12 192.0.2.1)" 5 'a burst of five lets five of twelve through'
is "$(packets server over)" 7 'and drops seven'
is "$(packets server came)" 12 'of twelve that came'
is "$(answered 2 192.0.2.10)" 0 'the limit is for all senders together'

nft_in server 'flush chain inet t limits
    add rule inet t limits icmp type echo-request \
        add @senders { ip saddr limit rate over 1/hour burst 3 packets } drop'
is "$(answered 5 192.0.2.1)" 3 'a limit for each sender: three for this one'
is "$(answered 5 192.0.2.10)" 3 'and three for that one'

nft_in server 'flush chain inet t limits
    add rule inet t limits icmp type echo-request quota name few drop'
is "$(answered 12 192.0.2.1)" 10 'a quota of 840 bytes is ten echoes'
is "$(answered 2 192.0.2.1)" 0 'and then it is used up'
nft_in server reset quota inet t few
is "$(answered 2 192.0.2.1)" 2 'until it is reset'
