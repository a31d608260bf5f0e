#!/bin/sh
# The project in the guest: readable and writable, and no write reaches the host. As a disk it is an
# ordinary file system; over 9p it is an overlay.

# shellcheck source=t/lib.sh
. "${0%/*}/../lib.sh"

entry=$(grep ' /mnt/glacic ' /proc/mounts | tail -n 1)
kind=$(echo "$entry" | cut -d ' ' -f 3)
mine=t/01-sanity/share_test.sh
here=/mnt/glacic/orca-share-test.$$
at_exit "rm -rf $here"

if [ "$kind" = ext4 ]; then
    plan 13
    like "$entry" '^/dev/vd[a-z] .* rw,' 'it is a disk, writable'
    is "$(head -n 1 "/mnt/glacic/$mine")" '#!/bin/sh' 'a file of the project can be read'
    fails 'there is no folder that is not of the project' test -e /mnt/glacic/lost+found
    ok 'a file of the project can be changed' sh -c "echo '# changed' >>/mnt/glacic/$mine"
    must mkdir -p "$here/a"
    ok 'a folder of the project can be renamed' mv /mnt/glacic/t/01-sanity "$here/sanity"
    ok 'and back' mv "$here/sanity" /mnt/glacic/t/01-sanity
    must sh -c "echo one >$here/x"
    ok 'a file can have two names' ln "$here/x" "$here/y"
    must sh -c "echo two >>$here/y"
    is "$(tail -n 1 "$here/x")" two 'which are one file'
    is "$(stat -c %h "$here/x")" 2 'and count as two'
    ok 'written past the cache' dd if=/dev/zero of="$here/direct" bs=4096 count=4 oflag=direct
    ok 'a fifo can be made' mkfifo "$here/fifo"
    must mkdir "$here/low" "$here/up" "$here/work" "$here/over"
    at_exit "umount $here/over"
    ok 'an overlay can have its upper layer here' mount -t overlay overlay \
        -o "lowerdir=$here/low,upperdir=$here/up,workdir=$here/work" "$here/over"
    ok 'and is written to' sh -c "echo new >$here/over/file && test -e $here/up/file"
    exit
fi

skip_unless 'the share is neither a disk nor an overlay here (--share)' test "$kind" = overlay
lower=$(echo "$entry" | sed -n 's/.*[ ,]lowerdir=\([^, ]*\).*/\1/p')
plan 15

like "$(grep " $lower " /proc/mounts)" "^[^ ]+ $lower 9p ro," \
    'the lower layer is the host, over 9p, read-only'
like "$entry" "upperdir=/" 'it has an upper layer'
like "$(df "${lower%/*}/upper" | tail -n 1)" '^(tmpfs|/dev/[^ ]+) ' \
    'which is in memory or on a disk of the machine'
is "$(head -n 1 "/mnt/glacic/$mine")" '#!/bin/sh' 'a file of the host can be read'
ok 'with the same content in both layers' cmp "/mnt/glacic/$mine" "$lower/$mine"

must mkdir "$here"
ok 'a new file can be written' sh -c "echo new >$here/file"
is "$(cat "$here/file")" new 'and read again'
fails 'the host does not get it' test -e "$lower/${here##*/}"

# A write to a file of the host goes to a copy in the overlay; the file below keeps its content.
must cp "/mnt/glacic/$mine" "$T/kept"
at_exit "cp $T/kept /mnt/glacic/$mine"
ok 'a file of the host can be changed' sh -c "echo '# changed' >>/mnt/glacic/$mine"
is "$(tail -n 1 "/mnt/glacic/$mine")" '# changed' 'the change is there'
ok 'but not on the host' cmp "$T/kept" "$lower/$mine"
ok 'it can be removed' rm "/mnt/glacic/$mine"
ok 'the host still has it' cmp "$T/kept" "$lower/$mine"

# Root may remount it writable, but QEMU exports it read-only and has the last word.
at_exit "mount -o remount,ro $lower"
mount -o remount,rw "$lower" 2>/dev/null
fails 'even root, with the mount made writable, cannot write' touch "$lower/orca-share-test.$$"
fails 'nor remove' rm -f "$lower/$mine"
