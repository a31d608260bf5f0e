#!/bin/sh
# Reservations: an address for one MAC or client id and for nobody else, and a MAC that gets nothing.

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

# Two others want what is left of the range, in which one address is kept for 0b: one of them gets nothing.
ask 02:00:00:00:00:01
is "$ip" 198.51.100.101 'somebody else gets the free one of the range'
ask_in_vain 02:00:00:00:00:02
is "$ip" '' 'and nobody the reserved one'
like "$(grep 02:00:00:00:00:02 "$T/dnsmasq.log")" 'no address available' 'though it is free'
ask 02:00:00:00:00:0b
is "$ip" 198.51.100.100 'but whose it is'
is "$(leased 02:00:00:00:00:0b)" 198.51.100.100 'as the book says'

ask 02:00:00:00:00:0c -x 0x3d:746f776572
is "$ip" 198.51.100.11 'a reservation by client id, whatever the MAC'
ask 02:00:00:00:00:0a -r 198.51.100.101
is "$ip" 198.51.100.10 'a wish does not beat a reservation'

ask_in_vain 02:00:00:00:00:0d
is "$ip" '' 'who is to be ignored gets nothing'
like "$(grep 02:00:00:00:00:0d "$T/dnsmasq.log")" 'ignored' 'though it was heard'
is "$(leased 02:00:00:00:00:0d)" '' 'and is not in the book'
