#!/bin/sh
# Records of every kind, in both directions, and the answer if there is none.

# shellcheck source=t/25-dns/dns.sh
. "${0%/*}/dns.sh"
skip_unless_dns
plan 19
ns_add client server
veth_pair client eth0 192.0.2.1/24 server eth0 192.0.2.53/24
dns_server server 192.0.2.53 <<'end'
local=/example.test/
host-record=www.example.test,198.51.100.10,2001:db8::10
host-record=four.example.test,198.51.100.11
address=/many.example.test/198.51.100.20
address=/many.example.test/198.51.100.21
cname=alias.example.test,www.example.test
txt-record=example.test,"v=spf1 -all"
srv-host=_ldap._tcp.example.test,www.example.test,389,10,20
mx-host=example.test,www.example.test,5
ptr-record=_http._tcp.example.test,web._http._tcp.example.test
caa-record=example.test,0,issue,ca.example.test
naptr-record=example.test,10,20,s,sip,,_sip._udp.example.test
address=/wild.example.test/198.51.100.30
address=/blocked.test/
end

ask 192.0.2.53 <<'end'
www.example.test A
www.example.test AAAA
www.example.test TXT
WWW.Example.TEST A
many.example.test A
alias.example.test A
example.test TXT
_ldap._tcp.example.test SRV
example.test MX
10.100.51.198.in-addr.arpa PTR
_http._tcp.example.test PTR
example.test CAA
any.thing.wild.example.test A
missing.example.test A
four.example.test AAAA
blocked.test A
elsewhere.invalid A
end
is "$(said www.example.test A)" 'NOERROR 198.51.100.10' 'A'
is "$(said www.example.test AAAA)" 'NOERROR 2001:db8::10' 'AAAA'
is "$(said WWW.Example.TEST A)" 'NOERROR 198.51.100.10' 'case does not matter'
like "$(said many.example.test A)" \
    '^NOERROR (198.51.100.20 198.51.100.21|198.51.100.21 198.51.100.20)$' 'two A records'
is "$(said alias.example.test A)" 'NOERROR www.example.test. 198.51.100.10' \
    'CNAME, and what it leads to'
is "$(said example.test TXT)" 'NOERROR "v=spf1 -all"' 'TXT'
is "$(said _ldap._tcp.example.test SRV)" 'NOERROR 10 20 389 www.example.test.' 'SRV'
is "$(said example.test MX)" 'NOERROR 5 www.example.test.' 'MX'
is "$(said 10.100.51.198.in-addr.arpa PTR)" 'NOERROR www.example.test.' 'PTR, back from the address'
is "$(said _http._tcp.example.test PTR)" 'NOERROR web._http._tcp.example.test.' 'PTR of a service'
is "$(said example.test CAA)" 'NOERROR 0 issue "ca.example.test"' 'CAA'
is "$(said any.thing.wild.example.test A)" 'NOERROR 198.51.100.30' 'all names below a wildcard'
is "$(said missing.example.test A)" NXDOMAIN 'no such name'
is "$(said four.example.test AAAA)" NOERROR 'a name without the type asked for is no NXDOMAIN'
is "$(said www.example.test TXT)" NOERROR 'nor is a name without a text'
is "$(said blocked.test A)" NXDOMAIN 'a blocked domain does not exist'
is "$(said elsewhere.invalid A)" REFUSED 'a name without a server to ask is refused'

ask 192.0.2.53 +tcp -x 2001:db8::10 <<'end'
www.example.test A
end
is "$(said www.example.test A)" 'NOERROR 198.51.100.10' 'over TCP the same'
like "$(cat "$T/server.log")" 'query\[A\] www.example.test from 192.0.2.1' \
    'the server saw who asked'
