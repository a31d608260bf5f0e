//! Kernel modules that make the guest's kernel complain, or worse.

/// Loads a module whose first instructions are replaced by the machine code in the first argument.
/// That alone makes the kernel complain: code that it wants to patch is no longer there.
pub const KO: &str = r#"ko() {
  perl -e 'local $/; open F, "<", $ARGV[0] or die; $_ = <F>; s/~Module signature appended~\n\z//;
    my ($at, $n, $names) = (unpack("x40 Q", $_), unpack("x60 S2", $_));
    my $b = $_; my @h = map { [unpack "L2 Q4", substr $b, $at + 64 * $_, 64] } 0 .. $n - 1;
    for my $i (0 .. $n - 1) {
      my $name = unpack "Z*", substr $b, $h[$names][4] + $h[$i][0], 64;
      substr($b, $h[$i][4], length($ARGV[1]) / 2) = pack "H*", $ARGV[1] if $name eq ".init.text";
      substr($b, $at + 64 * $i + 4, 4) = pack "L", 1 if $name eq ".rela.init.text";
    }
    print $b' "$(find /lib/modules -name dummy.ko)" "$1" >/tmp/patched.ko
  rmmod dummy 2>/dev/null
  insmod /tmp/patched.ko
}
"#;
