# shellcheck shell=sh
# A DHCP server (dnsmasq, 198.51.100.1) in the namespace `server`; udhcpc in `client`.

# shellcheck source=t/net.sh
. "${0%/*}/../net.sh"

skip_unless_dhcp() {
    skip_unless_net dnsmasq udhcpc ping
    skip_unless 'this kernel has no packet sockets' modprobe -q af_packet
}

dhcp_network() {
    ns_add server client
    veth_pair server eth0 198.51.100.1/24 client eth0 -
    # udhcpc runs this: it records what the client is told, as `name=value`, and sets the address.
    cat >"$T/script" <<end
#!/bin/sh
set >"$T/lease"
echo "\$1 \${ip:-}" >>"$T/events"
case \$1 in
    bound | renew)
        printf 'addr flush dev eth0\naddr add %s/%s dev eth0\n' "\$ip" "\$mask" | ip -batch -
        ;;
esac
end
    chmod 755 "$T/script"
    : >"$T/events"
}

# dhcp_server: starts it with lines of configuration from stdin. Its PID is $server.
dhcp_server() {
    cat >"$T/dnsmasq.conf"
    # no-ping: otherwise it spends three seconds on finding out whether an address is free.
    start_in server dnsmasq.log dnsmasq -k -C "$T/dnsmasq.conf" --user=root --port=0 \
        --interface=eth0 --no-ping --bind-interfaces --pid-file= --log-facility=- --log-dhcp \
        --dhcp-leasefile="$T/leases"
    # shellcheck disable=SC2034 # for the test
    server=$pid
    must retry 10 listening server udp 67
}

# ask MAC [OPTION…]: the client with this MAC asks until it has a lease. $ip is its address.
ask() { ask_times $((10 * lib_factor)) "$@"; }

# ask_in_vain MAC [OPTION…]: the same for a client that must get nothing; it asks only twice.
ask_in_vain() { ask_times 2 "$@"; }

ask_times() {
    times=$1 mac=$2
    shift 2
    : >"$T/lease"
    must ip -n "${net_prefix}client" link set eth0 address "$mac"
    in_ns client udhcpc -f -q -n -i eth0 -s "$T/script" -t "$times" -T 1 -A 0 "$@" \
        >"$T/udhcpc.log" 2>&1
    # shellcheck disable=SC2034 # for the test
    ip=$(told ip)
}

# told NAME: what the client was told last. NAME is ip, subnet, router, dns, ntpsrv, lease…
told() { sed -n "s/^$1='\(.*\)'\$/\1/p" "$T/lease"; }

# leased MAC: the address that the server's lease file has for it.
leased() { sed -n "s/^[0-9]* $1 \([^ ]*\) .*/\1/p" "$T/leases"; }
