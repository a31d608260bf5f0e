# shellcheck shell=sh
# Another user, and a folder that every user can reach, on a file system that honours set-user-ID.

# shellcheck source=t/net.sh
. "${0%/*}/../net.sh"

nobody=65534

skip_unless_users() {
    skip_unless_tool setpriv "$@"
    skip_unless "this setpriv changes no user" setpriv --reuid=0 true
}

# as_nobody CMD…: without a privilege, without a group.
as_nobody() { setpriv --reuid=$nobody --regid=$nobody --clear-groups "$@"; }

# as_root_without CAP CMD…: root in all but this one capability.
as_root_without() {
    users_cap=$1
    shift
    setpriv --bounding-set="-$users_cap" --inh-caps="-$users_cap" "$@"
}

D=$(mktemp -d /var/tmp/orca-test.XXXXXX) || exit 2
chmod 755 "$D"
at_exit "rm -rf $D"
