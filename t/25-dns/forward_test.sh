#!/bin/sh
# Forwarding: a question goes only to the server of its domain, and the answer comes back.

# (The records have public addresses: those for documentation count as private, and are held back.)

# shellcheck source=t/25-dns/dns.sh
. "${0%/*}/dns.sh"
skip_unless_dns
plan 17
ns_add client relay far corp
veth_pair client eth0 192.0.2.1/24 relay eth0 192.0.2.53/24
veth_pair relay far 198.51.100.1/24 far eth0 198.51.100.2/24
veth_pair relay corp 203.0.113.1/24 corp eth0 203.0.113.2/24

dns_server far 198.51.100.2 <<'end'
host-record=www.far.test,5.0.0.80,2a00::80
host-record=inside.far.test,10.1.2.3
host-record=lost.far.test,5.0.0.99
host-record=db.corp.test,5.0.0.66
local=/far.test/
end
far=$pid
dns_server corp 203.0.113.2 <<'end'
host-record=db.corp.test,5.0.0.33
end
dns_server relay 192.0.2.53 <<'end'
server=198.51.100.2
server=/corp.test/203.0.113.2
local=/home.test/
host-record=printer.home.test,192.0.2.9
stop-dns-rebind
bogus-nxdomain=5.0.0.99
cache-size=0
end

ask 192.0.2.53 <<'end'
www.far.test A
www.far.test AAAA
none.far.test A
db.corp.test A
printer.home.test A
other.home.test A
inside.far.test A
lost.far.test A
end
is "$(said www.far.test A)" 'NOERROR 5.0.0.80' 'an A record from far'
is "$(said www.far.test AAAA)" 'NOERROR 2a00::80' 'an AAAA record from far'
is "$(said none.far.test A)" NXDOMAIN 'and the answer that there is none'
is "$(said db.corp.test A)" 'NOERROR 5.0.0.33' 'a domain with a server of its own'
is "$(said printer.home.test A)" 'NOERROR 192.0.2.9' 'a record of the relay itself'
is "$(said other.home.test A)" NXDOMAIN 'and one that it does not have'
is "$(said inside.far.test A)" NOERROR 'a private address from outside is held back'
is "$(said lost.far.test A)" NXDOMAIN 'an address that stands for no such name becomes NXDOMAIN'

is "$(asked far www.far.test)" 2 'far was asked'
is "$(asked far db.corp.test)" 0 'but not about the other domain'
is "$(asked corp db.corp.test)" 1 'the server of that domain was'
is "$(asked corp www.far.test)" 0 'and about nothing else'
is "$(asked far other.home.test)" 0 'far was not asked about home.test'
like "$(cat "$T/far.log")" 'www.far.test from 198.51.100.1$' 'far sees the relay, not the client'

# Far ends: its questions get no answer, and those of the others still do.
stop "$far"
ask 192.0.2.53 +tries=1 +time=1 <<'end'
www.far.test A
end
unlike "$(said www.far.test A) or none" NOERROR 'without far there is no answer from far'
ask 192.0.2.53 <<'end'
db.corp.test A
printer.home.test A
end
is "$(said db.corp.test A)" 'NOERROR 5.0.0.33' 'the other domain still has one'
is "$(said printer.home.test A)" 'NOERROR 192.0.2.9' 'nor are the records of the relay'
