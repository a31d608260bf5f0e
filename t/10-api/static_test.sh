#!/bin/sh
# Files over HTTP: whole, in part, not again if unchanged; and refused if missing or forbidden.

# shellcheck source=t/10-api/server.sh
. "${0%/*}/server.sh"
skip_unless_http
plan 19

mkdir -p "$T/www/private" "$T/www/folder"
echo 'index of nothing' >"$T/www/index.html"
echo '{"a": 1}' >"$T/www/data.json"
echo 'for members' >"$T/www/private/index.html"
cat >"$T/httpd.conf" <<'end'
.json:application/json
/private:member:sesame
D:192.0.2.9
end
serve_http -c "$T/httpd.conf" -r members
ip_in client <<'end'
addr add 192.0.2.9/24 dev eth0
end

send <<'end'
index /
part / range = 6-7
head / head
json /data.json
missing /missing
up /../secret
delete / request = DELETE
folder /folder
private /private/
wrong /private/ user = member:wrong
right /private/ user = member:sesame
denied / interface = 192.0.2.9
end

is "$(code index)" 200 'the index is there'
is "$(content index)" 'index of nothing' 'with its content'
is "$(header index Content-Length)" 17 'and its length'
is "$(header index Content-type)" text/html 'it is HTML'
is "$(code part) $(content part)" '206 of' 'a range gets a part of it'
is "$(code head) $(header head Content-Length)" '200 17' 'HEAD tells the length'
is "$(content head)" '' 'without the content'
is "$(header json Content-type)" application/json 'a type from the configuration'

is "$(code missing)" 404 'a missing file is 404'
is "$(code up)" 400 'a path with .. is refused'
is "$(code delete)" 501 'a file cannot be deleted'
ok 'and is still there' test -s "$T/www/index.html"
is "$(code folder) $(header folder Location)" '302 /folder/' \
    'a folder is redirected to its name with a slash'

is "$(code private)" 401 'a private folder asks for a password'
like "$(header private WWW-Authenticate)" '^Basic realm="members"' 'and says of which kind'
is "$(code wrong)" 401 'a wrong password is refused'
is "$(code right) $(content right)" '200 for members' 'the right one is accepted'
is "$(code denied)" 403 'an address on the list is turned away'

send <<end
again / header = "If-None-Match: $(header index ETag | sed 's/"/\\"/g')"
end
is "$(code again)" 304 'a client that has the file already does not get it again'
