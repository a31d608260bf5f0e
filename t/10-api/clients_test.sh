#!/bin/sh
# Many clients at once: nobody waits for another, nobody gets another's answer, and a dead server is seen to be dead.

# shellcheck source=t/10-api/server.sh
. "${0%/*}/server.sh"
skip_unless_http
plan 8

# /cgi-bin/meet answers when three clients are in it: served one at a time none ever would be.
mkdir -p "$T/www/cgi-bin" "$T/met"
cat >"$T/www/cgi-bin/meet" <<end
#!/bin/sh
cd "$T/met"
: >"\$QUERY_STRING"
i=0
set -- *
until [ \$# -ge 3 ] || [ \$i -ge 100 ]; do i=\$((i + 1)); sleep 0.2; set -- *; done
printf 'Content-Type: text/plain\r\n\r\n%s of %s\n' "\$QUERY_STRING" \$#
end
chmod 755 "$T/www/cgi-bin/meet"
echo fine >"$T/www/index.html"
serve_http -r clients

# each LOG URL: three clients, whose number ends the URL, until all have ended.
each() {
    clients=
    for n in 1 2 3; do
        start_in client "$1.$n" curl -s -m "$(scaled 30)" -d "from $n" -w '\n%{http_code}\n' "$2$n"
        clients="$clients $pid"
    done
    # shellcheck disable=SC2086 # a list of numbers
    wait $clients
}

# One that connects and says nothing holds up nobody.
start_in client mute.log busybox nc 192.0.2.2 80
each meet 'http://192.0.2.2/cgi-bin/meet?'
for n in 1 2 3; do like "$(cat "$T/meet.$n")" "^$n of 3$" "client $n meets the others"; done

# Four posts from each: twelve items, no number given twice.
each post 'http://192.0.2.2/cgi-bin/items?[1-4]&'
is "$(cat "$T"/post.* | grep -c '^201$')" 12 'twelve posts are twelve times 201'
is "$(cd "$T/data" && for item in *; do cat "$item" && echo; done | sort | uniq -c | tr -s ' ')" ' 4 from 1
 4 from 2
 4 from 3' 'and twelve items, four of each client'

send <<'end'
index /
end
is "$(content index)" fine 'the server still serves'
exits 28 'an answer that does not come is a timeout' \
    in_ns client curl -s -m 1 -X POST -H 'Content-Length: 9' http://192.0.2.2/cgi-bin/items
for pid in $(ip netns pids "${net_prefix}server"); do kill "$pid"; done
gone() { ! listening server tcp 80; }
must retry 10 gone
exits 7 'a server that is gone refuses' in_ns client curl -s -m "$(scaled 10)" http://192.0.2.2/
