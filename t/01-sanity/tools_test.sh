#!/bin/sh
# The tools that the suites use: each one runs and is the expected program.

# shellcheck source=t/lib.sh
. "${0%/*}/../lib.sh"
plan 16

# tool PATTERN CMD…: what CMD prints, on either output, matches. Skips if the tool is missing.
tool() {
    pattern=$1
    shift
    if command -v "$1" >/dev/null; then
        like "$("$@" 2>&1 </dev/null)" "$pattern" "$1 runs"
    else
        skip "no $1 in this image"
    fi
}

tool 'BusyBox v' busybox
tool 'BusyBox|coreutils' ls --help
tool 'BusyBox|ps .options.' ps --help
tool 'BusyBox|modprobe .options.' modprobe --help
tool 'iproute2|BusyBox' ip -V
tool '^nftables v' nft --version
tool '^iptables v.*nf_tables' iptables --version
tool '^Dnsmasq version' dnsmasq --version
tool 'udhcpc' udhcpc --help
tool '^curl ' curl --version
tool '^DiG ' dig -v
tool 'ping' ping -V
tool '^tcpdump version' tcpdump --version
tool 'conntrack' conntrack --version
tool 'socat version' socat -V
tool 'Current:' capsh --print
