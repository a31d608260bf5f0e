#!/bin/sh
# Reservations: an address for one MAC or client id only, and a MAC that gets nothing.

# shellcheck source=t/20-dhcp/dhcp.sh
. "${0%/*}/dhcp.sh"
skip_unless_dhcp
plan 13
dhcp_network
dhcp_server <<'end'
dhcp-range=198.51.100.100,198.51.100.101,255.255.255.0,1h
dhcp-host=02:00:00:00:00:0a,198.51.100.10,printer,45m
dhcp-host=02:00:00:00:00:0b,198.51.100.100
dhcp-host=id:tower,198.51.100.11
dhcp-host=02:00:00:00:00:0d,ignore
end

ask 02:00:00:00:00:0a -O hostname
is "$ip" 198.51.100.10 'a reservation outside the range'
is "$(told hostname)" printer 'with a name'
is "$(told lease)" 2700 'and a time of its own'

# Two other clients want the rest of the range. One address is reserved for 0b, so one is left.
ask 02:00:00:00:00:01
is "$ip" 198.51.100.101 'another client gets the free address of the range'
ask_in_vain 02:00:00:00:00:02
is "$ip" '' 'and nobody gets the reserved one'
like "$(grep 02:00:00:00:00:02 "$T/dnsmasq.log")" 'no address available' 'though it is free'
ask 02:00:00:00:00:0b
is "$ip" 198.51.100.100 'its owner gets it'
is "$(leased 02:00:00:00:00:0b)" 198.51.100.100 'as the lease file says'

ask 02:00:00:00:00:0c -x 0x3d:746f776572
is "$ip" 198.51.100.11 'a reservation by client id, whatever the MAC'
ask 02:00:00:00:00:0a -r 198.51.100.101
is "$ip" 198.51.100.10 'a reservation comes before a wish'

ask_in_vain 02:00:00:00:00:0d
is "$ip" '' 'a client to be ignored gets nothing'
like "$(grep 02:00:00:00:00:0d "$T/dnsmasq.log")" 'ignored' 'though the server heard it'
is "$(leased 02:00:00:00:00:0d)" '' 'and is not in the lease file'
