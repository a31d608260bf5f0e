#!/bin/sh
# Names as programs see them: the guest's resolver, a search list, and names of DHCP clients.

# shellcheck source=t/25-dns/dns.sh
. "${0%/*}/dns.sh"
skip_unless_dns
skip_unless_tool getent udhcpc ping
plan 9
ns_add client server
veth_pair client eth0 192.0.2.1/24 server eth0 192.0.2.53/24
dns_server server 192.0.2.53 <<'end'
domain=example.test
local=/example.test/
expand-hosts
host-record=www.example.test,192.0.2.53
host-record=six.example.test,2001:db8::6
dhcp-range=192.0.2.100,192.0.2.110,255.255.255.0,1h
dhcp-authoritative
no-ping
end

# `ip netns exec` mounts these files over those in /etc for the namespace.
etc=/etc/netns/${net_prefix}client
at_exit "rm -rf $etc"
must mkdir -p "$etc"
echo 'hosts: files dns' >"$etc/nsswitch.conf"
printf 'nameserver 192.0.2.53\nsearch example.test\n' >"$etc/resolv.conf"
printf '127.0.0.1 localhost\n192.0.2.77 filed\n' >"$etc/hosts"

first() { in_ns client getent "$@" | { read -r one two _ && echo "$one $two"; }; }
like "$(first hosts www.example.test)" '^192.0.2.53 +www.example.test' 'a name becomes an address'
like "$(first hosts www)" '^192.0.2.53 +www.example.test' 'a short one too, by the search list'
like "$(first hosts six)" '^2001:db8::6 ' 'or one of IPv6'
like "$(first hosts 192.0.2.53)" 'www.example.test' 'an address becomes a name'
is "$(first ahostsv4 filed)" '192.0.2.77 STREAM' '/etc/hosts comes first'
is "$(asked server filed.example.test)" 0 'and the server is not asked'
exits 2 'a name that is not there' in_ns client getent hosts missing.example.test
ok 'ping takes a name' ping_from client www

# A second host gets its address by DHCP and says its name, which then leads to it.
must in_ns client udhcpc -f -q -n -i eth0 -s /bin/true -t $((10 * lib_factor)) -T 1 -A 0 \
    -x hostname:newcomer
like "$(first hosts newcomer)" '^192.0.2.1[01][0-9] +newcomer.example.test' \
    'a host with a lease has a name'
