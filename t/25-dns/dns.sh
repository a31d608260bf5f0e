# shellcheck shell=sh
# DNS servers (dnsmasq) in namespaces, and a client that asks many questions at once.

# shellcheck source=t/net.sh
. "${0%/*}/../net.sh"

skip_unless_dns() { skip_unless_net dnsmasq dig ss; }

# dns_server NS ADDRESS: starts a server with lines of configuration from stdin. It asks only
# servers that they name. Its log is $T/NS.log, its PID $pid.
dns_server() {
    cat >"$T/$1.conf"
    start_in "$1" "$1.log" dnsmasq -k -C "$T/$1.conf" --user=root --listen-address="$2" \
        --bind-interfaces --no-hosts --no-resolv --pid-file= --log-facility=- --log-queries
    must retry 10 listening "$1" udp 53
}

# ask SERVER [OPTION…]: asks the questions from stdin, `name type` a line. `said` prints answers.
ask() {
    cat >"$T/questions"
    server=$1
    shift
    in_ns client dig "@$server" +tries=2 "+time=$(scaled 5)" +noall +question +answer +comments \
        "$@" -f "$T/questions" |
        awk '
            function flush() {
                if (question) print question, status answers
                question = answers = ""
            }
            /->>HEADER<<-/ { flush(); status = $6; sub(",", "", status) }
            /no servers could be reached|timed out/ { silent = 1 }
            /^;[^; ]/ { question = substr($1, 2) " " $3 }
            /^[^;]/ {
                ttl[$1] = $2
                $1 = $2 = $3 = $4 = ""
                sub("^ +", "")
                answers = answers " " $0
            }
            END {
                flush()
                if (silent) print "no answer"
                for (name in ttl) print "ttl", name, ttl[name]
            }
        ' >"$T/answers"
}

# said NAME TYPE: the status and the answers, in order.
said() { sed -n "s/^$1[.]* $2 //p" "$T/answers"; }

# ttl NAME: how long its last answer may be kept, in seconds.
ttl() { sed -n "s/^ttl $1[.]* //p" "$T/answers"; }

# asked NS NAME: how often the server in NS was asked for the name.
asked() { grep -c "query\[[A-Z]*\] $2 from" "$T/$1.log"; }
