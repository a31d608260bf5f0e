#!/bin/sh
# Capabilities: root without one cannot use its right, and others with one can use just that.

# shellcheck source=t/50-security/users.sh
. "${0%/*}/users.sh"
skip_unless_setpriv capsh setcap getcap socat
skip_unless_net ping
plan 21
ns_add net
touch "$D/file"

ok 'root can give a file away' chown $nobody "$D/file"
fails 'without chown it cannot' as_root_without chown chown 0 "$D/file"
is "$(stat -c %u "$D/file")" $nobody 'the file still has its owner'
chmod 000 "$D/file"
ok 'root can read what nobody may' cat "$D/file"
fails 'without dac_override and dac_read_search it cannot' \
    setpriv --bounding-set=-dac_override,-dac_read_search \
    --inh-caps=-dac_override,-dac_read_search cat "$D/file"

ok 'root can change networks' in_ns net ip link add extra type veth
fails 'without net_admin it cannot' \
    in_ns net setpriv --bounding-set=-net_admin --inh-caps=-net_admin ip link del extra
# A copy of ping, because the original has its capability as a file attribute.
must cp "$(command -v ping)" "$D/ping"
ok 'root can send raw packets' in_ns net "$D/ping" -c 1 127.0.0.1
fails 'without net_raw it cannot' \
    in_ns net setpriv --bounding-set=-net_raw --inh-caps=-net_raw "$D/ping" -c 1 127.0.0.1
fails 'without sys_time it cannot set the clock' as_root_without sys_time date -s 2030-01-01
fails 'without sys_admin it cannot mount' as_root_without sys_admin mount -t tmpfs none "$T"
start sleeper setpriv --reuid=$nobody --regid=$nobody --clear-groups sleep 600
# Root can signal the process while it is still root's, so wait until it is not.
theirs() { [ "$(stat -c %u "/proc/$pid")" = $nobody ]; }
must retry 20 theirs
fails 'without kill it cannot signal others' as_root_without kill sh -c "kill -0 $pid"
ok 'with kill it can' sh -c "kill -0 $pid"

left=$(capsh --decode="$(as_root_without sys_time sed -n 's/^CapEff:.//p' /proc/self/status)")
unlike "$left" cap_sys_time 'root without sys_time does not have it'
like "$left" cap_sys_admin 'but has the others'
is "$(as_nobody sed -n 's/^CapEff:.//p' /proc/self/status)" 0000000000000000 \
    'the user nobody has none'

# A program file with a capability.
must cp /bin/chown "$D/chown"
chmod 644 "$D/file"
must chown $nobody "$D/file"
fails 'the user nobody cannot give its file away' as_nobody "$D/chown" 0 "$D/file"
must setcap cap_chown+ep "$D/chown"
ok 'with a program that has the capability it can' as_nobody "$D/chown" 0 "$D/file"
must chown $nobody "$D/file"
must setcap -r "$D/chown"
fails 'without the capability of the program it cannot' as_nobody "$D/chown" 0 "$D/file"

# A capability that is kept across exec: a low port for an ordinary user.
fails 'the user nobody cannot open a low port' \
    in_ns net setpriv --reuid=$nobody --regid=$nobody --clear-groups \
    timeout 5 socat -u TCP4-LISTEN:80 -
start_in net low setpriv --reuid=$nobody --regid=$nobody --clear-groups \
    --inh-caps=+net_bind_service --ambient-caps=+net_bind_service socat -u TCP4-LISTEN:80 -
ok 'with net_bind_service it can' retry 20 listening net tcp 80
