use strict;
use warnings;
use lib 't/lib';
use Test::More;
use File::Temp ();
use IO::Socket::UNIX;
use Daemon;
use Tested;
use Workers qw(worker_of);

# Sockets of a service manager. A shell has its part: it makes descriptor 3 the socket, and executes
# the program.

my $PASS = 'exec 3<&0 0</dev/null; LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=app NOTIFY_SOCKET=/nonexistent; '
    . 'export LISTEN_PID LISTEN_FDS LISTEN_FDNAMES NOTIFY_SOCKET; exec "$0" "$@"';

my $REQUEST = 'FCGIPM::Request(\*STDIN, \*STDOUT, \*STDERR, \%ENV';

my $LOOP = <<'LOOP';
$pm->pm_manage;
while ($request->Accept >= 0) {
    $pm->pm_pre_dispatch;
    my @variables = grep { /^(?:LISTEN_|NOTIFY_|FDSTORE|WATCHDOG_)/ } keys %ENV, map { /^(\w+)=/ } `env`;
    print "worker $$ fastcgi=", $request->IsFastCGI, " variables=@variables.";
    $pm->pm_post_dispatch;
}
LOOP

sub daemon {
    my ($begin) = @_;
    my $dir  = File::Temp->newdir;
    my $file = "$dir/program.pl";
    open my $program, '>', $file or die "$file: $!";
    print {$program} "use strict; use warnings; use FCGIPM; use FCGIPM::ProcManager;\n$begin;\n",
        "my \$pm = FCGIPM::ProcManager->new({ n_processes => 2 });\n", $LOOP;
    close $program or die "$file: $!";
    my $daemon = Daemon->start(
        command     => [ 'sh', '-c', $PASS, $^X, Tested::switches(), $file ],
        in          => '.',
        listener    => IO::Socket::UNIX->new(Local => "$dir/socket", Listen => 100),
        environment => { ADDRESS => "$dir/socket" },
    );
    $daemon->{program} = $dir;
    return $daemon;
}

for my $case (
    [ 'the default socket',  'my $request = FCGIPM::Request()' ],
    [ 'the address of a socket', "my \$request = $REQUEST, FCGIPM::OpenSocket(\$ENV{ADDRESS}, 5))" ],
    [ 'the name of a socket', "my \$request = $REQUEST, FCGIPM::OpenSocket('fd:app', 5))" ],
    )
{
    my ($what, $begin) = @$case;
    my $daemon = daemon($begin);
    my $text = $daemon->ask->{stdout};
    like($text, qr/fastcgi=1 variables=\.$/, "$what: a socket that was passed serves, and the worker has no variables of the service manager");
    is($daemon->stop, 0, "$what: TERM stops it");
    ok(-S $daemon->address, "$what: the socket is the service manager's");
}

done_testing;
