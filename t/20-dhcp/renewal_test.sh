#!/bin/sh
# A lease over time: renewed early, refused after a change of network, given back in the end.

# shellcheck source=t/20-dhcp/dhcp.sh
. "${0%/*}/dhcp.sh"
skip_unless_dhcp
plan 12
dhcp_network
dhcp_server <<'end'
dhcp-range=198.51.100.100,198.51.100.100,255.255.255.0,10m
end

# happened EVENT [TIMES]: the client has had this event at least so many times (1).
happened() { [ "$(grep -c "^$1 " "$T/events")" -ge "${2:-1}" ]; }
one=02:00:00:00:00:01 two=02:00:00:00:00:02
must ip -n "${net_prefix}client" link set eth0 address $one

start_in client udhcpc.log udhcpc -f -i eth0 -s "$T/script" -t 20 -T 1 -A 1 -R
client=$pid
ok 'a client that stays gets a lease' retry 20 happened bound
is "$(leased $one)" 198.51.100.100 'which is in the lease file'

ends=$(sed -n 's/ .*//p' "$T/leases")
later() { [ "$(sed -n 's/ .*//p' "$T/leases")" -gt "$ends" ]; }
sleep 1
kill -USR1 "$client"
ok 'it renews' retry 20 happened renew
ok 'the lease file has a later end' retry 10 later
is "$(told ip)" 198.51.100.100 'the address stays'
unlike "$(sed '1,/DHCPACK/d' "$T/dnsmasq.log")" DHCPDISCOVER 'without starting over'

# The network is renumbered: the old lease is refused, and the client takes a new address.
stop "$server"
rm "$T/leases"
dhcp_server <<'end'
dhcp-authoritative
dhcp-range=198.51.100.200,198.51.100.200,255.255.255.0,10m
end
kill -USR1 "$client"
ok 'after a change of range it has to start over' retry 30 happened bound 2
is "$(leased $one)" 198.51.100.200 'and is in the new range'
ok 'because its lease was refused' grep -q DHCPNAK "$T/dnsmasq.log"

# The range is full: the next client waits until the first gives its address back.
kill -TERM "$client"
released() { grep -q 'DHCPRELEASE' "$T/dnsmasq.log"; }
ok 'a client that ends gives its address back' retry 20 released
is "$(leased $one)" '' 'it is no longer in the lease file'
ask $two
is "$ip" 198.51.100.200 'the next client gets it'
