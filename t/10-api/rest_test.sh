#!/bin/sh
# A service of items over HTTP: made, read, changed, deleted, and every way to be told no.

# shellcheck source=t/10-api/server.sh
. "${0%/*}/server.sh"
skip_unless_http
plan 21
serve_http -r items

send <<'end'
empty /cgi-bin/items
made /cgi-bin/items data = "first item"
read /cgi-bin/items/1
changed /cgi-bin/items/1 data = "second thoughts"
reread /cgi-bin/items/1
echo /cgi-bin/items/echo?who=me&n=2 header = "X-Test: seen"
end
is "$(code empty)/$(content empty)" 200/ 'the shelf is there, and empty'
is "$(code made)" 201 'POST makes an item'
is "$(header made Location)" /cgi-bin/items/1 'and says where'
is "$(code read) $(content read)" '200 first item' 'it can be read'
is "$(code changed)" 204 'and changed'
is "$(content reread)" 'second thoughts' 'for good'
is "$(cat "$T/data/1")" 'second thoughts' 'the service has what was sent'
is "$(content echo)" 'GET who=me&n=2 192.0.2.1 seen' 'query, address and headers reach the service'

# A body larger than any buffer on the way comes through unharmed.
head -c 300000 /dev/urandom >"$T/upload"
send <<end
large /cgi-bin/items data-binary = @$T/upload
back /cgi-bin/items/2
deleted /cgi-bin/items/2 request = DELETE
gone /cgi-bin/items/2
twice /cgi-bin/items/2 request = DELETE
left /cgi-bin/items
name /cgi-bin/items/7up
clear /cgi-bin/items request = DELETE
put /cgi-bin/items/1 request = PUT
broken /cgi-bin/items/broken
end
is "$(code large) $(header large Location)" '201 /cgi-bin/items/2' 'a large body is taken'
is "$(code back)" 200 'and given'
tail -c 300000 "$T/back" >"$T/returned"
ok 'as it was' cmp "$T/upload" "$T/returned"

is "$(code deleted)" 204 'an item can be deleted'
is "$(code gone)" 404 'and is gone'
is "$(code twice)" 404 'once'
is "$(content left)" 1 'the other is still there'

is "$(code name)" 404 'a name that cannot be'
is "$(code clear) $(header clear Allow)" '405 GET, POST' 'the shelf cannot be deleted, and says what can be done'
is "$(code put)" 405 'nor can an item be put'
is "$(header put Allow)" 'GET, POST, DELETE' 'but that it can be posted to'
is "$(cat "$T/data/1")" 'second thoughts' 'it is as it was'
is "$(code broken)" 500 'a fault of the service is a 500'
