#!/bin/sh
# The project in the guest: readable, writable in an overlay, and no write reaches the host.

# shellcheck source=t/lib.sh
. "${0%/*}/../lib.sh"

entry=$(grep ' /mnt/glacic ' /proc/mounts | tail -n 1)
skip_unless 'the share has no overlay here (--share)' \
    test "$(echo "$entry" | cut -d ' ' -f 3)" = overlay
lower=$(echo "$entry" | sed -n 's/.*[ ,]lowerdir=\([^, ]*\).*/\1/p')
mine=t/01-sanity/share_test.sh
here=/mnt/glacic/orca-share-test.$$
plan 15

like "$(grep " $lower " /proc/mounts)" "^[^ ]+ $lower 9p ro," \
    'the lower layer is the host, over 9p, read-only'
like "$entry" "upperdir=/" 'it has an upper layer'
like "$(df "${lower%/*}/upper" | tail -n 1)" '^(tmpfs|/dev/[^ ]+) ' \
    'which is in memory or on a disk of the machine'
is "$(head -n 1 "/mnt/glacic/$mine")" '#!/bin/sh' 'a file of the host can be read'
ok 'with the same content in both layers' cmp "/mnt/glacic/$mine" "$lower/$mine"

at_exit "rm -rf $here"
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
