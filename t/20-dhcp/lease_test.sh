#!/bin/sh
# A lease: from the range, the same for one client, different for another, and it works.

# shellcheck source=t/20-dhcp/dhcp.sh
. "${0%/*}/dhcp.sh"
skip_unless_dhcp
plan 15
dhcp_network

one=02:00:00:00:00:01 two=02:00:00:00:00:02
ask_in_vain $one
is "$ip" '' 'without a server there is no lease'
like "$(cat "$T/events")" '^leasefail' 'and the client knows'

dhcp_server <<'end'
dhcp-range=198.51.100.100,198.51.100.101,255.255.255.0,30m
end
ask $one
first=$ip
like "$first" '^198[.]51[.]100[.]10[01]$' 'a lease is in the range'
is "$(told subnet)" 255.255.255.0 'with the mask'
is "$(told lease)" 1800 'for as long as configured'
is "$(told serverid)" 198.51.100.1 'from the server'
is "$(leased $one)" "$first" 'which has it in its lease file'
ok 'the address reaches the server' ping_from client 198.51.100.1
ok 'and can be reached' ping_from server "$first"

ask $one
is "$ip" "$first" 'a client that comes back gets the same'
ask $two
like "$ip" '^198[.]51[.]100[.]10[01]$' 'another client is served too'
isnt "$ip" "$first" 'with an address of its own'
is "$(leased $two)" "$ip" 'which is in the lease file'

ask $one -r 198.51.100.200
is "$ip" "$first" 'a wish for an address outside the range is not granted'
is "$(grep -c . "$T/leases")" 2 'the lease file has both'
