#!/bin/sh
# A range of two addresses and three clients: the third gets none until there is a third address.

# shellcheck source=t/20-dhcp/dhcp.sh
. "${0%/*}/dhcp.sh"
skip_unless_dhcp
plan 8
dhcp_network
dhcp_server <<'end'
dhcp-range=198.51.100.100,198.51.100.101,255.255.255.0,1h
end

ask 02:00:00:00:00:01
first=$ip
isnt "$first" '' 'the first gets an address'
ask 02:00:00:00:00:02
second=$ip
isnt "$second" "$first" 'the second gets another'
ask_in_vain 02:00:00:00:00:03
is "$ip" '' 'the third gets none'
like "$(grep 02:00:00:00:00:03 "$T/dnsmasq.log")" 'no address available' 'because none is left'
is "$(sort -k 2 "$T/leases" | cut -d ' ' -f 2,3)" "02:00:00:00:00:01 $first
02:00:00:00:00:02 $second" 'the two keep theirs'

ask 02:00:00:00:00:01
is "$ip" "$first" 'a client with a lease still gets its address'

# The server starts again with the same lease file and one more address.
stop "$server"
dhcp_server <<'end'
dhcp-range=198.51.100.100,198.51.100.102,255.255.255.0,1h
end
ask 02:00:00:00:00:03
is "$ip" 198.51.100.102 'the third gets the address that was added'
ask 02:00:00:00:00:02
is "$ip" "$second" 'the others still keep theirs'
