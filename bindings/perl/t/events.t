use strict;
use warnings;
use lib 't/lib';
use POSIX ();
use Socket ();
use Test::More;
use FCGIPM::ProcManager;
use Workers;

# Events call the methods that a subclass overrides, and options reach the library.

my $TELLING = <<'TELLING';
{
    package Telling;
    our @ISA = 'FCGIPM::ProcManager';
    sub pm_notify   { my ($self, $message) = @_; print STDERR "NOTIFY $message\n" }
    sub pm_warn     { my ($self, $message) = @_; print STDERR "WARN $message\n" }
    sub sig_manager { my ($self, $name) = @_; print STDERR "SIGNAL $name\n"; $self->SUPER::sig_manager($name) }
}
$SIG{__WARN__} = sub { print STDERR "PERL WARNS @_" };
TELLING

{
    my $dir = File::Temp->newdir;
    my $daemon = daemon(
        class => 'Telling',
        before => $TELLING,
        options => 'n_processes => 1, slow_request => 0.5, request_timeout => 0.8, request_timeout_grace => 0.1, max_requests => 2, start_timeout => 20',
        page => '1 while $_[0]',
        loop => "die qq{broken on purpose\\n} if -e '$dir/broken';\n" . <<'LOOP',
while ($request->Accept >= 0) { print "Content-Type: text/plain\r\n\r\nworker $$ "; page($ENV{ASK} // ''); $pm->pm_post_dispatch }
LOOP
        environment => { FCGIPM_DIE_TIMEOUT => 7 },
    );
    $daemon->wait_for(qr/^WARN FCGIPM_DIE_TIMEOUT=7 overrides die_timeout=60 set by the program$/);
    my $worker = worker_of($daemon->ask);
    my @asked = (params => [ ASK => 'loop', REQUEST_METHOD => 'GET', REQUEST_URI => '/loop' ]);
    $daemon->ask(@asked);
    $daemon->wait_for(qr{^WARN slow request: worker \(pid $worker\) for \S+: GET /loop$});
    $daemon->wait_for(qr{^WARN request timed out: worker \(pid $worker\) after \S+: GET /loop$});
    $daemon->wait_for(qr{^WARN killing worker \(pid $worker\): it did not finish its request within 100ms of the notice: GET /loop$});
    $daemon->wait_for(qr/^WARN emergency: no worker is ready$/);
    $daemon->wait_for(qr/^NOTIFY a worker is ready again$/);
    pass('a request that exceeds request_timeout');
    ($worker) = map { worker_of($daemon->ask) } 1 .. 2;
    $daemon->wait_for(qr/^NOTIFY recycling worker \(pid $worker\): it has reached max_requests$/);
    $daemon->wait_for(qr/^NOTIFY server \(pid $worker\) exited with status 0$/);
    pass('a recycled worker');
    $daemon->signal('TTIN');
    $daemon->wait_for(qr/^SIGNAL TTIN$/);
    $daemon->wait_for(qr/^NOTIFY number of workers set to 2$/);
    pass('another number of workers');
    open my $file, '>', "$dir/broken" or die $!;
    $daemon->signal('HUP');
    $daemon->wait_for(qr/^SIGNAL HUP$/);
    $daemon->wait_for(qr/^NOTIFY reload begun$/);
    $daemon->wait_for(qr/^WARN reload failed, the old workers continue: worker .* last lines on standard error: .*broken on purpose$/);
    unlink "$dir/broken" or die $!;
    pass('a reload that fails');
    $daemon->signal('HUP');
    $daemon->wait_for(qr/^NOTIFY reload done$/);
    pass('a reload that succeeds');
    is($daemon->stop, 0, 'TERM stops it');
    like($daemon->log, qr/^NOTIFY sending TERM to PIDs, \d+(?: \d+)+$/m, 'the stop is reported');
    unlike($daemon->log, qr/PERL WARNS/, 'without a warning from perl');
}

{
    my $daemon = daemon(options => "n_processes => 1, max_requests => 100, own => 'kept', idle_timeout => 5", loop => <<'LOOP', environment => { FCGIPM_MAX_REQUESTS => 200, FCGIPM_MAX_MEMORY => '1g' });
while ($request->Accept >= 0) { print join " ", map { "$_=" . $pm->pm_parameter($_) } qw(max_requests max_memory idle_timeout own) }
LOOP
    my $says = $daemon->ask->{stdout};
    like($says, qr/max_requests=200 max_memory=\S+ idle_timeout=5 own=kept\z/, 'a worker sees the effective options');
    $daemon->stop;
}

# While a subclass's own pm_wait waits, HUP sends TERM to the workers by their pids, but not to a pid
# that is no longer a child.
{
    socketpair my $here, my $there, Socket::AF_UNIX(), Socket::SOCK_STREAM(), 0 or die "socketpair: $!";
    my $pid = fork // die "fork: $!";
    if (!$pid) {
        my $grandchild = fork // die "fork: $!";
        close $here;
        if ($grandchild) { syswrite $there, "$grandchild\n"; close $there; sleep 1 while 1 }
        sysread $there, my $byte, 1;
        syswrite $there, "alive\n";
        POSIX::_exit(0);
    }
    close $there;
    chomp(my $grandchild = readline $here);
    my $manager = FCGIPM::ProcManager->new({ log => 'none' });
    $manager->{PIDS} = { map { $_ => { pid => $_ } } $pid, $grandchild };
    $manager->{is_waiting} = 1;
    $manager->sig_manager('HUP');
    waitpid $pid, 0;
    is($? & 127, POSIX::SIGTERM(), 'a worker receives TERM');
    local $SIG{PIPE} = 'IGNORE';
    syswrite $here, '?';
    is(scalar readline $here, "alive\n", 'no other process does');
}

done_testing;
