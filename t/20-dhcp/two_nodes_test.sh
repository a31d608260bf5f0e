#!/bin/sh
# DHCP between two machines: a client gets an address from a server over nothing but a wire.
# orca: nodes=server,client timeout=240s tags=nodes

# shellcheck source=t/nodes.sh
. "${0%/*}/../nodes.sh"
skip_unless_nodes dnsmasq udhcpc ping
plan 13

address server eth0 198.51.100.1/24
cat >"$T/dnsmasq.conf" <<'end'
dhcp-range=198.51.100.100,198.51.100.120,255.255.255.0,30m
dhcp-option=option:router,198.51.100.1
dhcp-option=option:dns-server,198.51.100.53
dhcp-option=option:domain-name,wire.example
end

# udhcpc runs this: it records what the client is told, as `name=value`, and sets the address.
on client sh -c 'cat >/tmp/script && chmod 755 /tmp/script && ip link set eth0 up' <<'end'
#!/bin/sh
set >/tmp/lease
echo "$1" >>/tmp/events
[ "$1" != bound ] || ip addr add "$ip/$mask" dev eth0
end
# ask [OPTION…]: the client asks until it has a lease, $tries times.
ask() {
    on client udhcpc -f -q -n -i eth0 -s /tmp/script -t "$tries" -T 1 -A 0 "$@" \
        >"$T/udhcpc.log" 2>&1
}
# told NAME: what the client was told last.
told() { on client sed -n "s/^$1='\(.*\)'\$/\1/p" /tmp/lease; }

is "$(on client ip -4 -o addr show dev eth0)" '' 'the client begins without an address'
tries=2
fails 'without a server there is no lease' ask
like "$(on client cat /tmp/events)" '^leasefail' 'as the client says'

start dnsmasq.log dnsmasq -k -C "$T/dnsmasq.conf" --user=root --port=0 --interface=eth0 --no-ping \
    --bind-interfaces --pid-file= --log-facility=- --log-dhcp --dhcp-leasefile="$T/leases"
must retry 10 listening_on server udp 67
tries=$((10 * lib_factor))
ok 'with a server there is one' ask
ip=$(told ip)
like "$ip" '^198[.]51[.]100[.]1([01][0-9]|20)$' 'an address in the range'
is "$(told router)" 198.51.100.1 'the router that the server was told to name'
is "$(told dns)" 198.51.100.53 'the name server'
is "$(told domain)" wire.example 'and the domain'
mac=$(on client cat /sys/class/net/eth0/address)
is "$(sed -n "s/^[0-9]* $mac \([^ ]*\) .*/\1/p" "$T/leases")" "$ip" \
    "the server's lease file has it, for the client's card"
like "$(cat "$T/dnsmasq.log")" "DHCPACK\(eth0\) $ip $mac" 'and its log has the exchange'
ok 'the client reaches the server from its address' \
    on client ping -n -c 1 -W "$(scaled 5)" 198.51.100.1
ok 'and is reached from it' ping -n -c 1 -W "$(scaled 5)" "$ip"
id=/proc/sys/kernel/random/boot_id
isnt "$(cat $id)$(hostname)" "$(on client cat $id)$(on client hostname)" 'they are two machines'
