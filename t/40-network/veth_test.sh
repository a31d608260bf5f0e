#!/bin/sh
# A cable between two namespaces: packets arrive, are counted, and stop when it is pulled.

# shellcheck source=t/net.sh
. "${0%/*}/../net.sh"
skip_unless_net ping
plan 17
ns_add one two three
veth_pair one eth0 192.0.2.1/24 two eth0 192.0.2.2/24

# counted NS COUNTER: a counter of eth0, from the kernel's own files.
counted() { in_ns "$1" cat "/sys/class/net/eth0/statistics/$2"; }
carrier() { in_ns "$1" cat /sys/class/net/eth0/carrier; }

is "$(carrier one)$(carrier two)" 11 'both ends have a carrier'
ok 'one reaches two' ping_from one 192.0.2.2
ok 'two reaches one' ping_from two 192.0.2.1
ok 'an address that nobody has is not reached' ping_lost one 192.0.2.3
mac=$(in_ns two cat /sys/class/net/eth0/address)
like "$(ip -n "${net_prefix}one" neigh show 192.0.2.2)" "lladdr $mac" \
    'one knows the hardware address of two'
unlike "$(ip -n "${net_prefix}one" neigh show 192.0.2.3; echo end)" lladdr \
    'and none for the address that nobody has'

# Nothing else is on the cable and ARP is done, so that ten packets count as ten.
in_ns one ping -n -q -c 1 192.0.2.2 >/dev/null
must ip -n "${net_prefix}one" neigh replace 192.0.2.2 lladdr "$mac" dev eth0 nud permanent
own=$(in_ns one cat /sys/class/net/eth0/address)
must ip -n "${net_prefix}two" neigh replace 192.0.2.1 lladdr "$own" dev eth0 nud permanent
sent=$(counted one tx_packets) received=$(counted two rx_packets) bytes=$(counted two rx_bytes)
must in_ns one ping -n -q -c 10 -i 0.02 -s 100 192.0.2.2
at_least $(($(counted one tx_packets) - sent)) 10 'ten are sent'
at_least $(($(counted two rx_packets) - received)) 10 'ten arrive'
at_least $(($(counted two rx_bytes) - bytes)) 1420 'of 142 bytes each'
is "$(counted two rx_errors)" 0 'without an error'

# A third namespace sees nothing of it.
is "$(in_ns three cat /proc/net/dev | grep -c eth0)" 0 'a third namespace has no such cable'
fails 'and cannot send' in_ns three ping -n -c 1 -W 1 192.0.2.2

must ip -n "${net_prefix}two" link set eth0 down
is "$(carrier one)" 0 'with one end down the other has no carrier'
ok 'nothing arrives' ping_lost one 192.0.2.2
must ip -n "${net_prefix}two" link set eth0 up
ok 'with the end up again packets arrive' retry 10 ping_from one 192.0.2.2

must ip -n "${net_prefix}one" link del eth0
fails 'with one end deleted the other is gone' ip -n "${net_prefix}two" link show eth0
ok 'each namespace keeps its loopback' ping_from two 127.0.0.1
