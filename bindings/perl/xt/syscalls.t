use strict;
use warnings;
use lib qw(t/lib xt/lib);
use File::Temp;
use Test::More;
use Daemon;

# Perl adds no system call to the library's: accept4, recvfrom, sendto, close. Counted with strace.

my $PROGRAM = <<'PROGRAM';
use strict; use warnings; use FCGIPM; use FCGIPM::ProcManager;
my $socket = FCGIPM::OpenSocket($ENV{FCGI_SOCKET_PATH}, 100);
my $request = FCGIPM::Request(\*STDIN, \*STDOUT, \*STDERR, \%ENV, $socket, FCGIPM::FAIL_ACCEPT_ON_INTR);
my $pm = FCGIPM::ProcManager->new({ n_processes => 1 });
$pm->pm_manage;
while ($request->Accept >= 0) {
    $pm->pm_pre_dispatch;
    my $line = <STDIN>;
    print "Content-Type: text/plain\r\n\r\n";
    print 'worker ', $ENV{N}, "\n" for 1 .. 20;
    $pm->pm_post_dispatch;
}
PROGRAM

my $REQUESTS = 50;
my @PARAMS = map { ("NAME_$_" => "value $_") } 1 .. 28;

# The worker's calls between the first request and the last.
sub calls {
    my ($ask) = @_;
    my $trace = File::Temp->new;
    # The check for disconnected clients follows slow requests, and under strace all are slow.
    my $daemon = Daemon->start(text => $PROGRAM, environment => { FCGIPM_SKIP_DISCONNECTED => 'no' });
    my $worker = $daemon->wait_for(qr/server \(pid (\d+)\): initialized/);
    my $strace = open(my $says, '-|', "exec strace -p $worker -o $trace 2>&1") or die "strace: $!";
    my $attached = <$says>;
    like($attached, qr/attached/, 'strace is attached') or return;
    $ask->($daemon);
    $daemon->stop;
    1 while <$says>;
    close $says;
    open my $lines, '<', "$trace" or die;
    my @names = map { /\A(\w+)\(/ ? $1 : () } <$lines>;
    # One of a worker's first requests has another one, when its guardian has started.
    my ($guarded) = grep { $names[$_] eq 'prctl' } 0 .. $#names;
    splice @names, $guarded, 1 if defined $guarded;
    return \@names;
}

sub between {
    my ($first, $names) = @_;
    my @at = grep { $names->[$_] eq $first } 0 .. $#$names;
    my %count;
    $count{$_}++ for @$names[ $at[2] .. $at[-2] - 1 ];
    my $rounds = $#at - 3;
    return { map { $_ => $count{$_} / $rounds } keys %count };
}

# The first request keeps the worker busy until all others are complete in the queue: a worker that
# is faster than its client waits for bytes, which takes another call.
my $names = calls(sub {
    my ($daemon) = @_;
    my @clients = map { FastCGIClient->new($daemon->dir . '/socket') } 1 .. $REQUESTS;
    my @bytes = map { $clients[0]->request_bytes({ params => [ @PARAMS, N => $_ ] }) } 1 .. $REQUESTS;
    my $rest = substr $bytes[0], -8, 8, '';
    $clients[$_]->send_bytes($bytes[$_]) for 0 .. $#clients;
    $clients[0]->send_bytes($rest);
    $_->response for @clients;
});
is_deeply(between(accept4 => $names), { accept4 => 1, recvfrom => 1, sendto => 1, close => 1 }, 'four system calls per request') if $names;

$names = calls(sub {
    my ($daemon) = @_;
    my $client = FastCGIClient->new($daemon->dir . '/socket');
    $client->call({ params => [ @PARAMS, N => $_ ], keep => 1 }) for 1 .. $REQUESTS;
});
if ($names) {
    my $count = between(sendto => $names);
    my $sum = 0;
    $sum += $_ for values %$count;
    cmp_ok($sum, '<=', 3, 'three on a keep-alive connection') or diag(explain($count));
}

done_testing;
