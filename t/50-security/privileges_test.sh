#!/bin/sh
# no_new_privs: neither a program nor its children can gain rights by running another.

# shellcheck source=t/50-security/users.sh
. "${0%/*}/users.sh"
skip_unless_setpriv setcap
plan 9

must cp "$(command -v id)" "$D/id"
chmod 4755 "$D/id"
must cp "$(command -v chown)" "$D/chown"
must setcap cap_chown+ep "$D/chown"
touch "$D/file"
nnp() { as_nobody setpriv --no-new-privs "$@"; }

is "$(as_nobody "$D/id" -u)" 0 'a set-user-ID program is root'
is "$(nnp "$D/id" -u)" $nobody 'with no_new_privs it runs as its caller'
is "$(nnp sh -c "$D/id -u")" $nobody 'through a shell as well'
is "$(nnp sed -n 's/^NoNewPrivs:.//p' /proc/self/status)" 1 'the kernel says so'
is "$(as_nobody sed -n 's/^NoNewPrivs:.//p' /proc/self/status)" 0 'and 0 without it'

must chown $nobody "$D/file"
fails 'a capability of a program file is not gained' nnp "$D/chown" 0 "$D/file"
is "$(stat -c %u "$D/file")" $nobody 'and the file keeps its owner'
ok 'without no_new_privs it is' as_nobody "$D/chown" 0 "$D/file"
is "$(stat -c %u "$D/file")" 0 'and the file changes its owner'
