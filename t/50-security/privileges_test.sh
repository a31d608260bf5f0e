#!/bin/sh
# no_new_privs: what a program would gain by running another it does not, for ever and for all its children.

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
is "$(nnp "$D/id" -u)" $nobody 'with no_new_privs it is who called it'
is "$(nnp sh -c "$D/id -u")" $nobody 'through a shell as well'
is "$(nnp sed -n 's/^NoNewPrivs:.//p' /proc/self/status)" 1 'the kernel says so'
is "$(as_nobody sed -n 's/^NoNewPrivs:.//p' /proc/self/status)" 0 'and without it not'

must chown $nobody "$D/file"
fails 'a capability of a file is not had' nnp "$D/chown" 0 "$D/file"
is "$(stat -c %u "$D/file")" $nobody 'and does nothing'
ok 'without it, it is' as_nobody "$D/chown" 0 "$D/file"
is "$(stat -c %u "$D/file")" 0 'and does'
