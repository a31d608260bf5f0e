#!/bin/sh
# DHCP options: what each client is told besides its address, and what it did not ask for.

# shellcheck source=t/20-dhcp/dhcp.sh
. "${0%/*}/dhcp.sh"
skip_unless_dhcp
plan 13
dhcp_network
dhcp_server <<'end'
dhcp-range=198.51.100.100,198.51.100.150,255.255.255.0,1h
dhcp-option=option:router,198.51.100.254
dhcp-option=option:dns-server,198.51.100.2,198.51.100.3
dhcp-option=option:ntp-server,198.51.100.4
dhcp-option=option:mtu,1400
dhcp-option=121,203.0.113.0/24,198.51.100.253
domain=example.test
dhcp-vendorclass=set:phone,telephone
dhcp-option=tag:phone,option:router,198.51.100.252
dhcp-boot=loader.bin
dhcp-mac=set:known,02:00:00:00:01:*
dhcp-option=tag:known,9,198.51.100.5
end

ask 02:00:00:00:00:01 -O ntpsrv -O mtu -O staticroutes -O lprsrv
is "$(told router)" 198.51.100.254 'the router'
is "$(told dns)" '198.51.100.2 198.51.100.3' 'the name servers, in order'
is "$(told domain)" example.test 'the domain'
is "$(told ntpsrv)" 198.51.100.4 'the time server'
is "$(told mtu)" 1400 'the MTU'
is "$(told staticroutes)" '203.0.113.0/24 198.51.100.253' 'a route'
is "$(told boot_file)" loader.bin 'the file to boot'
is "$(told broadcast)" 198.51.100.255 'the broadcast address, which nobody configured'
is "$(told lprsrv)" '' 'not the option of other clients'

ask 02:00:00:00:01:09 -O lprsrv
is "$(told lprsrv)" 198.51.100.5 'a MAC that matches is told that option'
is "$(told mtu)" '' 'and not what it did not ask for'

ask 02:00:00:00:00:01 -V telephone
is "$(told router)" 198.51.100.252 'a telephone has another router'
like "$(cat "$T/dnsmasq.log")" 'tags: .*phone' 'because the server saw its vendor class'
