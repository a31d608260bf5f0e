# shellcheck shell=sh
# An HTTP server at 192.0.2.2:80 in the namespace `server`, and a namespace `client`: busybox httpd
# with CGI in shell.

# shellcheck source=t/net.sh
. "${0%/*}/../net.sh"

skip_unless_http() {
    skip_unless_net ss curl busybox
    skip_unless 'no httpd in this busybox' sh -c 'busybox --list | grep -qx httpd'
}

# serve_http [OPTION…]: serves $T/www, with the items at /cgi-bin/items, until the test ends.
serve_http() {
    mkdir -p "$T/www/cgi-bin" "$T/data"
    must cp "${0%/*}/items.cgi" "$T/www/cgi-bin/items"
    must chmod 755 "$T/www/cgi-bin/items"
    must chmod 755 "$T" # httpd tells a denied file from a missing one
    ns_add client server
    veth_pair client eth0 192.0.2.1/24 server eth0 192.0.2.2/24
    start_in server httpd.log env "DATA=$T/data" busybox httpd -f -p 192.0.2.2:80 -h "$T/www" "$@"
    must retry 10 listening server tcp 80
}

# send: sends requests from stdin in order, by one curl. A line has a name for the reply, a path,
# and perhaps a line of curl's configuration. The reply is in $T/NAME, head and body.
send() {
    next=
    while read -r reply path option; do
        printf '%s\n' $next "url = http://192.0.2.2$path" "output = $T/$reply" "$option" \
            include silent path-as-is "max-time = $(scaled 20)"
        next=next
    done >"$T/requests"
    must in_ns client curl -K "$T/requests"
}

# code, header and content of the reply NAME.
code() {
    read -r _ code _ <"$T/$1"
    echo "$code"
}
header() { sed -n "s/\r\$//; /^\$/q; s/^$2: *//p" "$T/$1"; }
content() { sed '1,/^\r*$/d' "$T/$1"; }
