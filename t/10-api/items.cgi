#!/bin/sh
# The service under test: items, which are files in $DATA.
#   GET|POST /items   GET|POST|DELETE /items/N   any /items/echo?…   any /items/broken
set -u

# answer STATUS [HEADER…]: prints the head of the reply. The body is what is printed afterwards.
answer() {
    printf 'Status: %s\r\n' "$1"
    shift
    [ $# -eq 0 ] || printf '%s\r\n' "$@"
    printf '\r\n'
}

body() { head -c "${CONTENT_LENGTH:-0}"; }
text='Content-Type: text/plain'

# Makes the file $1 unless it is there: only one of two clients gets the number.
claim() { (set -C && : >"$1") 2>/dev/null; }

shelf() {
    case $REQUEST_METHOD in
        GET) answer '200 OK' "$text" && ls "$DATA" ;;
        POST)
            n=1
            until claim "$DATA/$n"; do n=$((n + 1)); done
            body >"$DATA/$n"
            answer '201 Created' "Location: /cgi-bin/items/$n"
            ;;
        *) answer '405 Method Not Allowed' 'Allow: GET, POST' ;;
    esac
}

item() {
    case $REQUEST_METHOD in
        GET) answer '200 OK' 'Content-Type: application/octet-stream' && cat "$1" ;;
        POST) body >"$1" && answer '204 No Content' ;;
        DELETE) rm "$1" && answer '204 No Content' ;;
        *) answer '405 Method Not Allowed' 'Allow: GET, POST, DELETE' ;;
    esac
}

name=${PATH_INFO:-}
name=${name#/}
case $name in
    '') shelf ;;
    echo)
        answer '200 OK' "$text"
        echo "$REQUEST_METHOD ${QUERY_STRING:-} ${REMOTE_ADDR:-} ${HTTP_X_TEST:-}"
        ;;
    broken) answer '500 Internal Server Error' ;;
    *[!0-9]*) answer '404 Not Found' ;;
    *) if [ -e "$DATA/$name" ]; then item "$DATA/$name"; else answer '404 Not Found'; fi ;;
esac
