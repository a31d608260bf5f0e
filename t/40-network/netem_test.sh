#!/bin/sh
# A bad line: delay, loss, duplicates, corruption and a limited rate.

# shellcheck source=t/net.sh
. "${0%/*}/../net.sh"
skip_unless_probe ping tc
skip_unless_module sch_netem sch_tbf
plan 11
ns_add client server
veth_pair client eth0 192.0.2.1/24 server eth0 192.0.2.2/24

line() { must ip netns exec "${net_prefix}client" tc qdisc replace dev eth0 root "$@"; }
# round_trip: the shortest time of three echoes, in whole milliseconds.
round_trip() {
    in_ns client ping -n -q -c 3 -i 0.05 -W "$(scaled 10)" 192.0.2.2 |
        sed -n 's/^rtt [^=]*= \([0-9]*\).*/\1/p'
}
# count WHAT ARGUMENT…: the number before WHAT in ping's summary.
count() {
    what=$1
    shift
    in_ns client ping -n -q -W 0.5 "$@" 192.0.2.2 | sed -n "s/.* +*\([0-9]*\) $what.*/\1/p"
}

at_most "$(round_trip)" 99 'a good line takes less than 100 ms'
line netem delay 200ms
at_least "$(round_trip)" 200 'one with a delay of 200 ms at least that'
must ip netns exec "${net_prefix}server" tc qdisc replace dev eth0 root netem delay 150ms
at_least "$(round_trip)" 350 'the delay of both ends adds up'
must ip netns exec "${net_prefix}server" tc qdisc del dev eth0 root

line netem loss 100%
is "$(count received -c 3 -i 0.02)" 0 'a line that loses everything'
line netem loss 30%
some=$(count received -c 100 -i 0.005)
at_least "$some" 40 'one that loses 30 of 100 lets many through'
at_most "$some" 95 'and not all'
line netem duplicate 100%
at_least "$(count duplicates -c 5 -i 0.05)" 4 'a line that duplicates every packet'
line netem corrupt 100%
# A packet whose damage is in the sender's hardware address still arrives.
at_most "$(count received -c 20 -i 0.01)" 10 'most damaged packets do not arrive'

# 50,000 bytes at 400 kbit/s, less the 5,000 of the bucket, take 0.9 s or more.
line tbf rate 400kbit burst 5000 latency 10s
head -c 50000 /dev/zero >"$T/sent"
start_in server received socat -u TCP4-LISTEN:9,reuseaddr -
sink=$pid
must retry 10 listening server tcp 9
began=$(lib_now)
must in_ns client socat -u "OPEN:$T/sent" TCP4:192.0.2.2:9
wait "$sink"
at_least $(($(lib_now) - began)) 80 'a rate of 400 kbit/s is kept'
ok 'and nothing is lost by it' cmp "$T/sent" "$T/received"

must ip netns exec "${net_prefix}client" tc qdisc del dev eth0 root
at_most "$(round_trip)" 99 'afterwards the line is good again'
