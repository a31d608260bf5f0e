# shellcheck shell=sh
# Another user, and a folder $D for every user, on a file system that honours set-user-ID.

# shellcheck source=t/net.sh
. "${0%/*}/../net.sh"

nobody=65534

# as_nobody CMD…: as the user nobody, with no privilege and no other group. busybox's setpriv cannot
# change the user; its su can.
if setpriv --reuid=0 true 2>/dev/null; then
    as_nobody() { setpriv --reuid=$nobody --regid=$nobody --clear-groups "$@"; }
else
    # shellcheck disable=SC2016 # for nobody's shell
    as_nobody() { su -s /bin/sh -- nobody -c 'exec "$@"' sh "$@"; }
fi

skip_unless_users() {
    skip_unless_tool "$@"
    skip_unless 'no way to be another user in this image' as_nobody true
}

# skip_unless_setpriv [TOOL…]: also needs util-linux's setpriv, which sets everything else.
skip_unless_setpriv() {
    skip_unless_tool setpriv
    skip_unless 'this setpriv changes no user' setpriv --reuid=0 true
    skip_unless_users "$@"
}

# as_root_without CAP CMD…: as root without this capability.
as_root_without() {
    users_cap=$1
    shift
    setpriv --bounding-set="-$users_cap" --inh-caps="-$users_cap" "$@"
}

D=$(mktemp -d /var/tmp/orca-test.XXXXXX) || exit 2
chmod 755 "$D"
at_exit "rm -rf $D"
