# Runs a program under a seccomp filter: perl filter.pl kill|deny|strict SYSCALL CMD…
#
# kill: SYSCALL ends the process by SIGSYS. deny: it fails with EPERM. strict: the old mode, which
# allows only read, write and exit; SYSCALL is made at once and CMD never runs. With PRIVILEGED=1
# no_new_privs is not set.
use strict;
use warnings;

my %numbers = (
    x86_64  => { prctl => 157, uname => 63, getppid => 110, mkdir => 83, exit => 60 },
    aarch64 => { prctl => 167, uname => 160, getppid => 173, mkdir => 34, exit => 93 },
);
chomp(my $machine = `uname -m`);
my $number = $numbers{$machine} or die "no system call numbers for $machine\n";
my ($what, $name, @command) = @ARGV;
my ($PR_SET_SECCOMP, $PR_SET_NO_NEW_PRIVS, $MODE_STRICT, $MODE_FILTER) = (22, 38, 1, 2);

if ($what eq 'strict') {
    syscall($number->{prctl}, $PR_SET_SECCOMP, $MODE_STRICT, 0, 0, 0) == 0 or die "strict: $!\n";
    syscall($number->{$name}, 7);
    syscall($number->{exit}, 8);
}

# struct sock_filter: code, jump if true, jump if false, operand.
my $returned = { kill => 0x80000000, deny => 0x00050001 }->{$what};
my $allow = 0x7fff0000;
my $program = join '', map { pack 'S C C L', @$_ }
    [0x20, 0, 0, 0], [0x15, 0, 1, $number->{$name}], [0x06, 0, 0, $returned], [0x06, 0, 0, $allow];
syscall($number->{prctl}, $PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) unless $ENV{PRIVILEGED};
my $filter = pack 'S x6 P', 4, $program;
syscall($number->{prctl}, $PR_SET_SECCOMP, $MODE_FILTER, $filter, 0, 0) == 0 or die "filter: $!\n";
exec { $command[0] } @command or die "$command[0]: $!\n";
