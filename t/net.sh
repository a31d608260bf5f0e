# shellcheck shell=sh
# Networks for tests, on top of lib.sh: namespaces, cables, servers, and probes of servers.
#
#   . "${0%/*}/../net.sh"
#   skip_unless_net
#   plan 1
#   ns_add client server
#   veth_pair client eth0 192.0.2.1/24 server eth0 192.0.2.2/24
#   serve server tcp 80 hello
#   is "$(probe client tcp 192.0.2.2 80)" 'hello 192.0.2.1' 'the server sees the client'
#
# Nothing here touches the network of the VM itself, because several tests may run in it one by one.

# shellcheck source=t/lib.sh
. "${0%/*}/../lib.sh"

net_prefix=orca$$-
net_names=

# skip_unless_net [TOOL…]: needs iproute2 (busybox's `ip` has no namespaces), veth, and the tools.
skip_unless_net() {
    skip_unless_tool ip "$@"
    skip_unless 'no iproute2 in this image (busybox has no "ip netns")' ip netns list
    skip_unless_module veth
}

# skip_unless_probe [TOOL…]: also needs the tools of serve and probe.
skip_unless_probe() { skip_unless_net socat ss "$@"; }

# ns_add NAME…: namespaces with loopback up, removed at the end. Their real names have the PID.
ns_add() {
    for net_name; do
        must ip netns add "$net_prefix$net_name"
        net_names="$net_names $net_prefix$net_name"
        must ip -n "$net_prefix$net_name" link set lo up
    done
}

# in_ns NS CMD…: runs the program CMD (not a function) in the namespace.
in_ns() {
    net_name=$net_prefix$1
    shift
    ip netns exec "$net_name" "$@"
}

# ip_in NS: runs `ip` commands from stdin, one a line. The test ends if one fails.
ip_in() {
    cat >"$T/.batch"
    must ip -n "$net_prefix$1" -batch "$T/.batch"
}

# veth_pair NS1 IF1 ADDRESS1 NS2 IF2 ADDRESS2: a cable with both ends up; `-` for no address.
veth_pair() {
    must ip -n "$net_prefix$1" link add "$2" type veth peer name "$5" netns "$net_prefix$4"
    net_end "$1" "$2" "$3"
    net_end "$4" "$5" "$6"
}

net_end() {
    case $3 in
        -) echo "link set $2 up" ;;
        *:*) printf 'addr add %s dev %s nodad\nlink set %s up\n' "$3" "$2" "$2" ;;
        *) printf 'addr add %s dev %s\nlink set %s up\n' "$3" "$2" "$2" ;;
    esac >"$T/.end"
    ip_in "$1" <"$T/.end"
}

# start_in NS LOG CMD…: start of lib.sh, in the namespace.
start_in() {
    net_name=$net_prefix$1 net_log=$2
    shift 2
    start "$net_log" ip netns exec "$net_name" "$@"
}

# listening NS tcp|udp PORT: succeeds if there is a socket. For retry.
listening() {
    in_ns "$1" ss -Hln "--$2" "sport = :$3" | grep -q .
}

# serve NS tcp|udp PORT TEXT: answers every client `TEXT ADDRESS`, with the address that it sees.
serve() {
    case $2 in
        tcp) net_address=TCP4-LISTEN:$3,fork,reuseaddr ;;
        udp) net_address=UDP4-LISTEN:$3,fork,reuseaddr,shut-null ;;
    esac
    start_in "$1" "serve.$2.$3" socat "$net_address" "SYSTEM:echo $4 \$SOCAT_PEERADDR"
    must retry 10 listening "$1" "$2" "$3"
}

# probe NS tcp|udp HOST PORT [SECONDS]: prints the server's answer, or `refused`, `unreachable`, or
# `silence` if nothing comes back in time. To expect silence, 0.5 s are enough for TCP and 1 s for
# UDP: the kernel answers a connect before the server wakes up, and a connected server gets more
# time.
probe() {
    net_wait=$((10 * lib_factor))
    case $2 in
        tcp) in_ns "$1" socat -t "$net_wait" - "TCP4:$3:$4,connect-timeout=${5:-$net_wait}" ;;
        udp) echo | in_ns "$1" socat -t "${5:-$net_wait}" - "UDP4:$3:$4,null-eof" ;;
    esac </dev/null >"$T/.probe" 2>&1
    case $(cat "$T/.probe") in
        *refused*) echo refused ;;
        *unreachable* | *'No route'* | *prohibited*) echo unreachable ;;
        '' | *'timed out'*) echo silence ;;
        *) cat "$T/.probe" ;;
    esac
}

# ping_from NS HOST [OPTION…]: one echo is answered in time.
ping_from() {
    net_from=$1 net_host=$2
    shift 2
    in_ns "$net_from" ping -n -c 1 -W "$(scaled 5)" "$@" "$net_host"
}

# ping_lost NS HOST [OPTION…]: one echo is sent and not answered. Fails if it cannot be sent.
ping_lost() {
    net_from=$1 net_host=$2
    shift 2
    in_ns "$net_from" ping -n -c 1 -W 0.4 "$@" "$net_host"
    [ $? -eq 1 ]
}

net_down() {
    for net_name in $net_names; do ip netns del "$net_name"; done
}
at_exit net_down
