#!/bin/sh
# Configures Debian packages of an architecture whose programs cannot run here. mmdebstrap runs it
# as a hook at two stages.
#
# usage: MMDEBSTRAP_HOOK=setup|extract sh scripts/image/foreign.sh TREE
#
# Packages are unpacked, and none of their scripts runs. This does what the scripts would have done,
# as far as tests can notice: the accounts, the links of Debian's alternatives, and the files that
# are copied from /usr/share. The guest's dpkg database is empty. On a host of the guest's own
# architecture packages are installed as usual.
set -eu
tree=$1

if [ "$MMDEBSTRAP_HOOK" = setup ]; then
  # Debian 12's packages come in the old layout and expect to be unpacked into the new one.
  for dir in bin sbin lib; do
    mkdir -p "$tree/usr/$dir"
    ln -s "usr/$dir" "$tree/$dir"
  done
  exit 0
fi

# alternative LINK PROGRAM: makes LINK, by way of /etc/alternatives, if the program is there.
alternative() {
  [ -e "$tree$2" ] || return 0
  ln -sf "$2" "$tree/etc/alternatives/${1##*/}"
  ln -sf "/etc/alternatives/${1##*/}" "$tree$1"
}

alternative /usr/bin/awk /usr/bin/mawk
alternative /usr/bin/nawk /usr/bin/mawk
alternative /usr/bin/nc /usr/bin/nc.openbsd
alternative /usr/bin/netcat /usr/bin/nc.openbsd
alternative /usr/bin/pager /usr/bin/more
alternative /usr/bin/which /usr/bin/which.debianutils
for family in ip ip6 arp eb; do
  for what in '' -save -restore; do
    alternative "/usr/sbin/${family}tables$what" "/usr/sbin/${family}tables-nft$what"
  done
done

# account NAME UID GROUP GID HOME: adds what is missing.
account() {
  grep -q "^$1:" "$tree/etc/passwd" ||
    echo "$1:x:$2:$4:$1:$5:/usr/sbin/nologin" >>"$tree/etc/passwd"
  grep -q "^$3:" "$tree/etc/group" || echo "$3:x:$4:" >>"$tree/etc/group"
}

umask 022
sed 's/:\*:/:x:/' "$tree/usr/share/base-passwd/passwd.master" >"$tree/etc/passwd"
sed 's/:\*:/:x:/' "$tree/usr/share/base-passwd/group.master" >"$tree/etc/group"
account _apt 42 nogroup 65534 /nonexistent
account dnsmasq 999 nogroup 65534 /var/lib/misc
account tcpdump 100 tcpdump 101 /nonexistent
sed 's/:.*/:*:19676:0:99999:7:::/' "$tree/etc/passwd" >"$tree/etc/shadow" # nobody can log in
sed 's/:.*/:*::/' "$tree/etc/group" >"$tree/etc/gshadow"
chmod 640 "$tree/etc/shadow" "$tree/etc/gshadow"
chgrp 42 "$tree/etc/shadow" "$tree/etc/gshadow"
cp "$tree/usr/share/base-files/profile" "$tree/etc/profile"
cp "$tree/usr/share/base-files/dot.profile" "$tree/root/.profile"
cp "$tree/usr/share/base-files/dot.bashrc" "$tree/root/.bashrc"
cp "$tree/usr/share/libc-bin/nsswitch.conf" "$tree/etc/nsswitch.conf" 2>/dev/null ||
  printf '%s\n' 'passwd: files' 'group: files' 'shadow: files' 'hosts: files dns' \
    'protocols: files' 'services: files' >"$tree/etc/nsswitch.conf"
printf '/bin/sh\n/bin/bash\n/bin/dash\n' >"$tree/etc/shells"
ln -sf /usr/share/zoneinfo/Etc/UTC "$tree/etc/localtime"
for dir in media mnt opt srv run/lock var/mail var/opt; do
  mkdir -p "$tree/$dir"
done
chmod 1777 "$tree/run/lock"
