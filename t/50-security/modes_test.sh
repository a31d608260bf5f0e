#!/bin/sh
# File modes: who may read, remove and run; set-user-ID, set-group-ID, sticky, mount options.

# shellcheck source=t/50-security/users.sh
. "${0%/*}/users.sh"
skip_unless_users stat
# busybox's `id` drops the rights that set-user-ID gives it.
honest=yes
case $(readlink -f "$(command -v id)") in *busybox*) honest= ;; esac
plan 22

echo text >"$D/file"
chmod 600 "$D/file"
fails '600: others cannot read' as_nobody cat "$D/file"
chmod 604 "$D/file"
ok '604: they can' as_nobody cat "$D/file"
fails 'but not write' as_nobody sh -c "echo more >>$D/file"
chgrp $nobody "$D/file"
fails '604 with their group: they cannot read, the group comes first' as_nobody cat "$D/file"
chown $nobody "$D/file"
chmod 044 "$D/file"
fails '044 of their own: they cannot read, the owner comes first' as_nobody cat "$D/file"
ok 'but can change the mode' as_nobody chmod 400 "$D/file"
fails 'and cannot give it away' as_nobody chown 0 "$D/file"

mkdir "$D/folder"
echo x >"$D/folder/file"
chmod 711 "$D/folder"
ok '711: a file whose name is known can be read' as_nobody cat "$D/folder/file"
fails 'the names cannot be listed' as_nobody ls "$D/folder"
fails 'and the file cannot be removed' as_nobody rm -f "$D/folder/file"
chmod 777 "$D/folder"
ok '777: a file can be removed, whoever owns it' as_nobody rm -f "$D/folder/file"
echo x >"$D/folder/file"
chmod 1777 "$D/folder"
fails 'sticky: a file of others cannot be removed' as_nobody rm -f "$D/folder/file"
ok 'only files of their own' as_nobody sh -c "echo x >$D/folder/own && rm $D/folder/own"
is "$(stat -c %a /tmp)" 1777 '/tmp is sticky and open to all'

mkdir "$D/group"
chgrp 4321 "$D/group"
chmod 2777 "$D/group"
as_nobody mkdir "$D/group/new"
is "$(stat -c %g "$D/group/new")" 4321 'set-group-ID on a folder: new entries have its group'
must cp "$(command -v id)" "$D/id"
chmod 4755 "$D/id"
if [ "$honest" ]; then
    is "$(as_nobody "$D/id" -u)" 0 'set-user-ID: a program runs as its owner'
else
    skip 'no id that keeps what set-user-ID gives it'
fi
as_nobody sh -c "cat $D/id >$D/folder/id && chmod 4755 $D/folder/id"
is "$(as_nobody "$D/folder/id" -u)" $nobody 'which is the user who made the copy'
chmod 2755 "$D/id"
chgrp 4321 "$D/id"
is "$(as_nobody "$D/id" -g)" $nobody 'a change of the group takes the set-group-ID away'

mkdir "$D/mnt"
must mount -t tmpfs -o nosuid none "$D/mnt"
at_exit "umount $D/mnt"
must cp "$D/id" "$D/mnt/id"
chmod 4755 "$D/mnt/id"
is "$(as_nobody "$D/mnt/id" -u)" $nobody 'nosuid: set-user-ID has no effect'
must mount -o remount,noexec "$D/mnt"
exits 126 'noexec: a program does not run' sh -c "$D/mnt/id"
must mount -o remount,ro "$D/mnt"
fails 'ro: nothing can be written' sh -c "echo x >$D/mnt/new"
is "$(cd "$D" && umask 077 && echo x >private && stat -c %a private)" 600 \
    'umask 077: a new file is private'
