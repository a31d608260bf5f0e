#!/bin/sh
# iptables on top of nf_tables: its rules act on packets, count them, and can be saved and restored.

# shellcheck source=t/30-firewall/fw.sh
. "${0%/*}/fw.sh"
skip_unless_fw nft iptables ip6tables iptables-save iptables-restore
plan 15
routed
ip_in inside <<'end'
addr add 2001:db8::2/64 dev eth0 nodad
end
ip_in fw <<'end'
addr add 2001:db8::1/64 dev in nodad
end
serve outside tcp 80 outer
serve fw tcp 22 shell

ipt() { must in_ns fw iptables -w "$@"; }
is "$(probe inside tcp 192.0.2.2 80 0.5)" silence 'without rules no answer comes back'
ipt -t nat -A POSTROUTING -o out -j MASQUERADE
is "$(probe inside tcp 192.0.2.2 80)" 'outer 192.0.2.1' 'MASQUERADE'
ipt -t nat -A PREROUTING -i in -p tcp --dport 2222 -j REDIRECT --to-ports 22
is "$(probe inside tcp 10.0.0.1 2222)" 'shell 10.0.0.2' 'REDIRECT'

ipt -A INPUT -p tcp --dport 22 -m conntrack --ctstate NEW -m comment --comment 'no shell' \
    -j REJECT --reject-with tcp-reset
is "$(probe inside tcp 10.0.0.1 22)" refused 'REJECT'
ipt -I INPUT -s 10.0.0.0/24 -p icmp -j DROP
ok 'DROP' ping_lost inside 10.0.0.1
ok 'another address family is not touched' ping_from inside 2001:db8::1
must in_ns fw ip6tables -w -A INPUT -p ipv6-icmp --icmpv6-type echo-request -j DROP
ok 'it has its own rules' ping_lost inside 2001:db8::1

counts=$(in_ns fw iptables -w -nvxL INPUT)
like "$counts" '^ *1 +84 DROP +.*10\.0\.0\.0/24' 'one packet was dropped, and counted'
like "$counts" '^ *1 +[0-9]+ REJECT .*no shell' 'one was rejected'
like "$(in_ns fw nft list ruleset 2>&1)" 'tcp dport 22 ct state new .*reject with tcp reset' \
    'nft sees the same rules'

must in_ns fw iptables-save -f "$T/saved"
ipt -F INPUT
ok 'after a flush nothing is dropped' ping_from inside 10.0.0.1
must in_ns fw iptables-restore "$T/saved"
ok 'after a restore it is dropped again' ping_lost inside 10.0.0.1
printf '*filter\n:INPUT ACCEPT\n-F INPUT\n-A INPUT -j NOWHERE\nCOMMIT\n' >"$T/broken"
fails 'a broken file is refused' in_ns fw iptables-restore "$T/broken"
ok 'and has changed nothing' ping_lost inside 10.0.0.1
fails 'a rule that is not there cannot be deleted' \
    in_ns fw iptables -w -D INPUT -p udp --dport 99 -j DROP
