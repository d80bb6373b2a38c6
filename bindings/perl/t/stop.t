use strict;
use warnings;
use lib 't/lib';
use POSIX ();
use Test::More;
use Compat qw(free_address);
use Daemon;
use FastCGIClient;

# A stop answers the requests in the listen queue, and removes the socket file.

my $program = <<'END';
use strict;
use warnings;
use FCGIPM;
use FCGIPM::ProcManager;
my $gate_name = $ENV{GATE};    # requests replace %ENV
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
        ok(!-e $daemon->address, "$what: the socket file is removed") if !$address;
        syswrite $gate, 'xx';
        my @answers = map { $_->response->{stdout} } @paused;
        is(scalar(grep { /answered \/pause\z/ } @answers), 2, "$what: accepted requests are answered");
        my $number = 0;
        my @wrong = grep { my $wanted = ++$number; $_->response->{stdout} !~ m{answered /$wanted\z} } @waiting;
        is(scalar @wrong, 0, "$what: requests in the queue are answered");
        is($daemon->ended, 0, "$what: the manager exits with status 0");
    }
}

{
    my $first = Daemon->start(text => $program, address => '', environment => { FLAGS => 0 });
    $first->wait_for(qr/^FastCGI: server .*initialized/) for 1, 2;
    my $second = Daemon->start(text => $program, address => $first->address, environment => { FLAGS => 0 });
    isnt($second->ended, 0, 'a second program cannot open the same address');
    my $pid = $first->pid;
    like($second->log, qr/in use by process $pid \(/, 'the error names the process that has it');
    like($first->ask(params => [ PATH_INFO => '/' ])->{stdout}, qr{answered /\z}, 'the first one continues to serve');
    is($first->stop, 0, 'TERM stops it with status 0');
}

done_testing;
