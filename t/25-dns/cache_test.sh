#!/bin/sh
# The cache: one upstream question however many clients ask, as long as the record lives.

# shellcheck source=t/25-dns/dns.sh
. "${0%/*}/dns.sh"
skip_unless_dns
plan 18
ns_add client relay far
veth_pair client eth0 192.0.2.1/24 relay eth0 192.0.2.53/24
veth_pair relay far 198.51.100.1/24 far eth0 198.51.100.2/24
dns_server far 198.51.100.2 <<'end'
host-record=long.far.test,198.51.100.80,3600
host-record=short.far.test,198.51.100.81,1
local=/far.test/
auth-ttl=600
end
far=$pid
dns_server relay 192.0.2.53 <<'end'
server=198.51.100.2
neg-ttl=300
end
relay=$pid

ask 192.0.2.53 <<'end'
long.far.test A
long.far.test A
long.far.test A
none.far.test A
none.far.test A
short.far.test A
end
is "$(said long.far.test A | sort -u)" 'NOERROR 198.51.100.80' 'a question is answered'
is "$(said long.far.test A | grep -c .)" 3 'three times, if asked three times'
is "$(asked far long.far.test)" 1 'far was asked once'
is "$(asked relay long.far.test)" 3 'the relay three times'
is "$(said none.far.test A | sort -u)" NXDOMAIN 'the answer that there is no record'
is "$(asked far none.far.test)" 1 'is cached too'
is "$(said short.far.test A)" 'NOERROR 198.51.100.81' 'a record that lives for a second'

ttl=$(ttl long.far.test)
at_most "$ttl" 3600 'a cached record has its time to live'
sleep 2
ask 192.0.2.53 <<'end'
long.far.test A
short.far.test A
end
at_most "$(ttl long.far.test)" $((ttl - 1)) 'and it goes down'
is "$(asked far short.far.test)" 2 'an expired record is asked for again'
is "$(asked far long.far.test)" 1 'a live one is not'

# The server counts as well.
ask 192.0.2.53 -c CH <<'end'
hits.bind TXT
misses.bind TXT
end
like "$(said hits.bind TXT)" '^NOERROR "[1-9]' 'the server counts its hits'
like "$(said misses.bind TXT)" '^NOERROR "[1-9]' 'and its misses'

stop "$far"
ask 192.0.2.53 +tries=1 <<'end'
long.far.test A
end
is "$(said long.far.test A)" 'NOERROR 198.51.100.80' 'far is dead, but the answer is cached'

kill -HUP "$relay"
cleared() { grep -q 'cleared cache' "$T/relay.log"; }
ok 'the cache can be cleared' retry 10 cleared
ask 192.0.2.53 +tries=1 +time=1 <<'end'
long.far.test A
end
unlike "$(said long.far.test A) or none" NOERROR 'after that there is no answer'

dns_server far 198.51.100.2 <<'end'
host-record=long.far.test,198.51.100.82,3600
end
ask 192.0.2.53 <<'end'
long.far.test A
end
is "$(said long.far.test A)" 'NOERROR 198.51.100.82' 'until far is back, with a new record'
is "$(asked far long.far.test)" 1 'which far was asked for'
