#!/bin/sh
# Many clients at once: none waits for another or gets another's answer; a dead server refuses.

# shellcheck source=t/10-api/server.sh
. "${0%/*}/server.sh"
skip_unless_http
plan 8

# /cgi-bin/meet answers once three clients are in it: served one at a time, none would return.
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

# each LOG URL: three clients, each with its number at the end of the URL; waits for all.
each() {
    clients=
    for n in 1 2 3; do
        start_in client "$1.$n" curl -s -m "$(scaled 30)" -d "from $n" -w '\n%{http_code}\n' "$2$n"
        clients="$clients $pid"
    done
    # shellcheck disable=SC2086 # a list of numbers
    wait $clients
}

# A client that connects and says nothing does not delay the others.
start_in client mute.log busybox nc 192.0.2.2 80
each meet 'http://192.0.2.2/cgi-bin/meet?'
for n in 1 2 3; do like "$(cat "$T/meet.$n")" "^$n of 3$" "client $n meets the others"; done

# Four posts from each client make twelve items, and no number is given twice.
each post 'http://192.0.2.2/cgi-bin/items?[1-4]&'
is "$(cat "$T"/post.* | grep -c '^201$')" 12 'twelve posts are twelve times 201'
items() { (cd "$T/data" && for item in *; do cat "$item" && echo; done); }
is "$(items | sort | uniq -c | tr -s ' ')" ' 4 from 1
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
