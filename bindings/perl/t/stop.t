use strict;
use warnings;
use lib 't/lib';
use IO::Socket::INET;
use POSIX ();
use Test::More;
use Daemon;
use FastCGIClient;

# A stop answers what waits in the listen queue, and leaves no socket file behind.

my $program = <<'END';
use strict;
use warnings;
use FCGIPM;
use FCGIPM::ProcManager;
my $gate_name = $ENV{GATE};    # a request has an environment of its own
my $socket = FCGIPM::OpenSocket($ENV{FCGI_SOCKET_PATH}, 100);
$socket >= 0 or die FCGIPM::last_error(), "\n";
my $request = FCGIPM::Request(\*STDIN, \*STDOUT, \*STDERR, \%ENV, $socket, $ENV{FLAGS});
my $manager = FCGIPM::ProcManager->new({ n_processes => 2 });
$manager->pm_manage;
while ($request->Accept >= 0) {
    $manager->pm_pre_dispatch;
    if ($ENV{PATH_INFO} eq '/pause') {
        # With FAIL_ACCEPT_ON_INTR signals interrupt the program's own calls, too.
        my $gate;
        until (open $gate, '<', $gate_name) { $!{EINTR} or die "$gate_name: $!" }
        until (defined sysread $gate, my $byte, 1) { $!{EINTR} or die "$gate_name: $!" }
    }
    print "Content-Type: text/plain\r\n\r\nanswered $ENV{PATH_INFO}";
    $manager->pm_post_dispatch;
}
END

sub free_address {
    my $socket = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 1) or die "listen: $!";
    return '127.0.0.1:' . $socket->sockport;
}

sub asked {
    my ($address, $path) = @_;
    my $client = FastCGIClient->new($address);
    $client->send_bytes($client->request_bytes({ params => [ PATH_INFO => $path ] }));
    return $client;
}

for my $flags (0, 1) {
    for my $address ('', free_address()) {
        my $what = ($address ? 'TCP' : 'unix') . ", flags $flags";
        my $folder = File::Temp->newdir;
        POSIX::mkfifo("$folder/gate", 0600) or die "mkfifo: $!";
        my $daemon = Daemon->start(
            text => $program, address => $address, environment => { GATE => "$folder/gate", FLAGS => $flags },
        );
        $daemon->wait_for(qr/^FastCGI: server .*initialized/) for 1, 2;
        my @paused = map { asked($daemon->address, '/pause') } 1, 2;
        open my $gate, '>', "$folder/gate" or die "$folder/gate: $!";
        my @waiting = map { asked($daemon->address, "/$_") } 1 .. 50;
        $daemon->signal('TERM');
        $daemon->wait_for(qr/TERM/);
        ok(!-e $daemon->address, "$what: the socket file is gone") if !$address;
        syswrite $gate, 'xx';
        my @answers = map { $_->response->{stdout} } @paused;
        is(scalar(grep { /answered \/pause\z/ } @answers), 2, "$what: what was accepted is answered");
        my $number = 0;
        my @wrong = grep { my $wanted = ++$number; $_->response->{stdout} !~ m{answered /$wanted\z} } @waiting;
        is(scalar @wrong, 0, "$what: what waited in the queue is, too");
        is($daemon->ended, 0, "$what: and it ends with status 0");
    }
}

{
    my $first = Daemon->start(text => $program, address => '', environment => { FLAGS => 0 });
    $first->wait_for(qr/^FastCGI: server .*initialized/) for 1, 2;
    my $second = Daemon->start(text => $program, address => $first->address, environment => { FLAGS => 0 });
    isnt($second->ended, 0, 'a second one on the same address is refused');
    my $pid = $first->pid;
    like($second->log, qr/in use by process $pid \(/, 'and the error names the first');
    like($first->ask(params => [ PATH_INFO => '/' ])->{stdout}, qr{answered /\z}, 'which goes on');
    is($first->stop, 0, 'and stops as ever');
}

done_testing;
