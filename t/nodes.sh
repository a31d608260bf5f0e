# shellcheck shell=sh
# Tests on several machines, on top of lib.sh: network cards, servers, and probes. The header names
# the machines and their wires: `# orca: nodes=client:a,router:a+b,server:b`. The test runs on the
# first one. The command `on NODE CMD…` comes with orca.
#
# Unlike net.sh, this changes the network of the machines themselves, which only this test uses.

# shellcheck source=t/lib.sh
. "${0%/*}/../lib.sh"

# skip_unless_nodes [TOOL…]: needs several machines, and ip and the tools in their image.
skip_unless_nodes() {
    [ -n "${ORCA_NODES:-}" ] || skip_all 'needs the several machines that orca makes'
    skip_unless_tool ip "$@"
    [ -e /sys/class/net/eth0 ] ||
        skip_all 'this kernel has no driver for network cards (virtio_net)'
}

# address NODE CARD ADDRESS…: gives the card these addresses and sets it up.
address() {
    node_name=$1 node_card=$2
    shift 2
    {
        for node_address; do
            case $node_address in
                *:*) echo "addr add $node_address dev $node_card nodad" ;;
                *) echo "addr add $node_address dev $node_card" ;;
            esac
        done
        echo "link set $node_card up"
    } >"$T/.address"
    on "$node_name" ip -batch - <"$T/.address" >"$T/.out" 2>&1 && return
    diag "preparation failed on $node_name:" "$(cat "$T/.out")"
    exit 1
}

# start_on NODE LOG CMD…: start of lib.sh, on the node.
start_on() {
    node_name=$1 node_log=$2
    shift 2
    start "$node_log" on "$node_name" "$@"
}

# listening_on NODE tcp|udp PORT: succeeds if there is a socket. For retry.
listening_on() {
    on "$1" ss -Hln "--$2" "sport = :$3" | grep -q .
}

# serve_on NODE PORT TEXT: answers every client `TEXT ADDRESS`, with the address that it sees. TCP.
serve_on() {
    start_on "$1" "serve.$2" socat "TCP4-LISTEN:$2,fork,reuseaddr" "SYSTEM:echo $3 \$SOCAT_PEERADDR"
    must retry 20 listening_on "$1" tcp "$2"
}

# probe_from NODE HOST PORT [SECONDS]: prints the server's answer, or `refused`, `unreachable`, or
# `silence` if nothing comes back in time.
probe_from() {
    node_wait=$((10 * lib_factor))
    on "$1" socat -t "$node_wait" - "TCP4:$2:$3,connect-timeout=${4:-$node_wait}" \
        </dev/null >"$T/.probe" 2>&1
    case $(cat "$T/.probe") in
        *refused*) echo refused ;;
        *unreachable* | *'No route'* | *prohibited*) echo unreachable ;;
        '' | *'timed out'*) echo silence ;;
        *) cat "$T/.probe" ;;
    esac
}
