use strict;
use warnings;
use lib qw(t/lib xt/lib);
use List::Util qw(min);
use Test::More;
use Compat;
use Workers;

# A million requests. A leak of one byte per request would be noticed.

my $PROGRAM = <<'PROGRAM';
use strict; use warnings; use FCGI; use FCGI::ProcManager;
my $socket = FCGI::OpenSocket($ENV{FCGI_SOCKET_PATH}, 100);
my $environment = $ENV{MEMORY_TEST} eq 'hash' ? {} : \%ENV;
my $request = FCGI::Request(\*STDIN, \*STDOUT, \*STDERR, $environment, $socket);
my $pm = FCGI::ProcManager->new({ n_processes => 2 });
$pm->pm_manage;
my ($count, $kept) = 0;
while ($request->Accept >= 0) {
    $pm->pm_pre_dispatch;
    $count++;
    $kept = \$environment->{QUERY_STRING};
    $environment->{ADDED} = $count;
    $environment->{REQUEST_URI} =~ /\//g;
    my $bytes = 0;
    if    ($count % 3 == 0) { $bytes += length while defined($_ = <STDIN>) }
    elsif ($count % 3 == 1) { $bytes += length for <STDIN> }
    else                    { read STDIN, my $body, 9_000; $bytes += length $body }
    print "Content-Type: text/plain\r\n\r\n";
    print "read $bytes ", $count % 5 ? 'bytes' : "\x{e9}\n";
    printf "%d\n", $_ for 1 .. 3;
    eval { die { count => $count } };
    print STDERR "logged\n" if $count % 1_000 == 0;
    $pm->pm_post_dispatch;
}
PROGRAM

sub private_memory {
    my ($pid) = @_;
    open my $file, '<', "/proc/$pid/smaps_rollup" or die "memory of $pid: $!";
    my $total = 0;
    /^Private_\w+:\s+(\d+) kB/ and $total += $1 for readline $file;
    return $total;
}

sub load {
    my ($daemon, $requests) = @_;
    my ($line) = grep { /^requests=/ } qx(@{[ fcgipm() ]} load @{[ $daemon->address ]} -n $requests -c 6 --body 100 --expect 'read 100');
    like($line, qr/^requests=$requests ok=$requests lost=0 /, "$requests requests are answered");
    return;
}

for my $environment (qw(ENV hash)) {
    my $daemon = compat(text => $PROGRAM, environment => { MEMORY_TEST => $environment });
    $daemon->wait_for(qr/initialized/) for 1 .. 2;
    load($daemon, 50_000);
    my @workers = map { $_->{pid} } @{ status($daemon)->{workers} };
    my @memory = { map { $_ => private_memory($_) } @workers };
    for my $half (1, 2) {
        load($daemon, 225_000);
        push @memory, { map { $_ => private_memory($_) } @workers };
    }
    is_deeply([ sort map { $_->{pid} } @{ status($daemon)->{workers} } ], [ sort @workers ], "$environment: the same workers serve");
    for my $pid (@workers) {
        my @more = map { $memory[$_]{$pid} - $memory[ $_ - 1 ]{$pid} } 1, 2;
        note("@more KiB more");
        # The heap grows once or never, in steps of 128 KiB or more. A leak of a byte per request
        # shows in both halves.
        cmp_ok(min(@more), '<', 50, 'memory does not grow');
    }
    is($daemon->stop, 0, 'TERM stops it');
}

done_testing;
