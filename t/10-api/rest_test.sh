#!/bin/sh
# A REST service of items: create, read, change, delete, and every kind of refusal.

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
is "$(code empty)/$(content empty)" 200/ 'the list of items is there, and empty'
is "$(code made)" 201 'POST makes an item'
is "$(header made Location)" /cgi-bin/items/1 'and says where it is'
is "$(code read) $(content read)" '200 first item' 'it can be read'
is "$(code changed)" 204 'and changed'
is "$(content reread)" 'second thoughts' 'and the change is kept'
is "$(cat "$T/data/1")" 'second thoughts' 'the service has what was sent'
is "$(content echo)" 'GET who=me&n=2 192.0.2.1 seen' 'query, address and headers reach the service'

# A body larger than any buffer on the way arrives unchanged.
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
is "$(code large) $(header large Location)" '201 /cgi-bin/items/2' 'a large body is accepted'
is "$(code back)" 200 'and sent back'
tail -c 300000 "$T/back" >"$T/returned"
ok 'unchanged' cmp "$T/upload" "$T/returned"

is "$(code deleted)" 204 'an item can be deleted'
is "$(code gone)" 404 'and is gone'
is "$(code twice)" 404 'and cannot be deleted twice'
is "$(content left)" 1 'the other is still there'

is "$(code name)" 404 'an impossible name is 404'
is "$(code clear) $(header clear Allow)" '405 GET, POST' \
    'the list cannot be deleted; the answer names what is allowed'
is "$(code put)" 405 'nor can an item be put'
is "$(header put Allow)" 'GET, POST, DELETE' 'the answer names what is allowed'
is "$(cat "$T/data/1")" 'second thoughts' 'the item is unchanged'
is "$(code broken)" 500 'a fault of the service is a 500'
