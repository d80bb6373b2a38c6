use strict;
use warnings;
use lib qw(t/lib xt/lib);
use Digest::SHA ();
use Test::More;
use Daemon;

# The example daemon, page by page.

my $daemon = Daemon->start(file => 'examples/daemon.fcgi', environment => { FCGIPM_N_PROCESSES => 2 });

sub get {
    my ($uri, %request) = @_;
    my ($path, $query) = split /\?/, $uri, 2;
    my $body = $request{stdin} // '';
    my $response = $daemon->ask(
        params => [
            REQUEST_METHOD => $request{stdin} ? 'POST' : 'GET', REQUEST_URI => $uri, DOCUMENT_URI => $path,
            QUERY_STRING   => $query // '', CONTENT_LENGTH => length $body, SERVER_PROTOCOL => 'HTTP/1.1', @{ $request{params} || [] },
        ],
        stdin => $body,
    );
    @$response{qw(head body)} = split /\r\n\r\n/, $response->{stdout}, 2;
    return $response;
}

my ($worker) = get('/')->{body} =~ /\Aworker (\d+)\nrequest \d+\n\z/;
isnt($worker, $daemon->pid, '/ is answered by a worker');
like(get('/env?a=b', params => [ X => 'y' ])->{body}, qr/^QUERY_STRING=a=b\n.*^X=y\n/ms, '/env has the environment');
unlike(get('/env')->{body}, qr/^X=/m, "/env has nothing from another request");
for my $length (1, 8_192, 1024 * 1024 + 1) {
    my $body = join '', map { chr $_ % 256 } 1 .. $length;
    my $hash = Digest::SHA::sha256_hex($body);
    my $echo = get('/echo', stdin => $body);
    ok($echo->{body} eq $body, "/echo returns $length bytes");
    like($echo->{head}, qr/^X-sha256: $hash\r?$/mi, 'and their hash');
    is(get('/hash', stdin => $body)->{body}, "$hash $length\n", '/hash');
}
is(get('/echo')->{body}, '', '/echo of nothing');
is(length get("/bytes?n=$_")->{body}, $_, "/bytes?n=$_") for 0, 1, 65_536, 65_537, 3_000_000;
is(scalar(() = get('/headers?n=200')->{head} =~ /^X-header-/mg), 200, '/headers');
is(get('/stderr?msg=to%20the%20log')->{stderr}, "to the log\n", '/stderr');
is(get('/sleep?ms=1')->{body}, "awake\n", '/sleep');
like(get('/status?code=418')->{head}, qr/^Status: 418/m, '/status');
like(get('/nothing')->{head}, qr/^Status: 404/m, 'an unknown page');
{
    my $response = get('/die');
    is($response->{body}, "before the end\n", '/die: what was printed before arrives');
    is($response->{stderr}, "asked to die\n", 'the message is on STDERR');
    ok($response->{ended}, 'the request is ended');
    $response = get('/exit');
    is($response->{body}, "before the exit\n", '/exit: what was printed before arrives');
    ok($response->{ended}, 'the request is ended');
}
like(get('/')->{body}, qr/worker/, 'workers that have exited are replaced');
is($daemon->stop, 0, 'TERM stops it');
like($daemon->log, qr/dying: safe exit from signal TERM\n\z/, 'the last log line reports it');

# With FAIL_ACCEPT_ON_INTR, SIGSTOP and SIGCONT do not end Accept.
$daemon = Daemon->start(file => 'examples/daemon.fcgi', environment => { FCGIPM_N_PROCESSES => 1 });
($worker) = get('/')->{body} =~ /\Aworker (\d+)/;
for (1 .. 20) {
    kill STOP => $worker;
    my $state = '';
    while ($state ne 'T') {
        open my $stat, '<', "/proc/$worker/stat" or die "stat: $!";
        ($state) = <$stat> =~ /\) (\w)/;
    }
    kill CONT => $worker;
    like(get('/')->{body}, qr/\Aworker $worker\n/, 'a worker that was stopped and continued serves');
}
is($daemon->stop, 0, 'TERM stops it');

done_testing;
