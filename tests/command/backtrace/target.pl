# What fcgipm backtrace looks at. The test has the numbers of these lines.
use strict; use warnings; use FCGIPM::XS; use Socket; $| = 1;
my %work = (
    system => sub { print "ready\n"; system 'exec sleep 1000' },
    loop   => sub { print "ready\n"; my $n = 0; while (1) { $n++ } },
    regex  => sub { print "ready\n"; my $text = 'x' x 5000; $text =~ /x*x*x*x*[yz]/ },
    socket => sub { socketpair my $ours, my $its, AF_UNIX, SOCK_STREAM, 0; print "ready\n"; sysread $ours, my $byte, 1 },
    sort   => sub { my @sorted = sort { print "ready\n"; sleep 1000; $a <=> $b } 2, 1 },
    eval   => sub { eval { print "ready\n"; sleep 1000 } },
    string => sub { eval "\n\nprint qq{ready\\n}; sleep 1000" },
    deep   => sub { deep(5000) },
    require => sub { require $ARGV[1] },
    destroy => sub { my $object = bless [], 'Closing'; undef $object },
    bare   => sub { print "ready\n"; sleep 1000 },
);

sub deep { my ($depth) = @_; no warnings 'recursion'; $depth ? deep($depth - 1) : do { print "ready\n"; sleep 1000 } }
sub Closing::DESTROY { print "ready\n"; sleep 1000 }

package Shop::Cart;

sub total
{
    my ($what) = @_;
    return $work{$what}->();
}

package main;

Shop::Cart::total($ARGV[0]);
