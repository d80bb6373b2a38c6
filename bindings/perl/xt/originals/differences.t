use strict;
use warnings;
use lib qw(t/lib xt/lib);
use Socket qw(SHUT_WR);
use Test::More;
use Compat;
use Program;
use SameProgram;

# The differences that the documentation of FCGIPM::Compat lists, if no other test shows both sides;
# and programs without a difference.

my $HEAD = "use strict; use warnings; use FCGI; use FCGI::ProcManager;\n";
# The number of each worker, in the order of their start.
my $NUMBER = 'open my $count, ">>", "count"; syswrite $count, "x"; my $number = -s "count"; ';

sub managed {
    my ($subs, @rest) = @_;
    return "$HEAD$IDLE\n{ package Mine; our \@ISA = 'FCGI::ProcManager'; $subs }\n"
        . "my \$pm = Mine->new({ n_processes => 1 }); \$pm->pm_manage;\n@rest";
}

# On the original and on Compat.
sub both {
    my ($text, @requests) = @_;
    my $outcomes = SameProgram::outcomes(ways => ['compat'], text => $text, requests => [@requests]);
    return @$outcomes{qw(original compat)};
}

sub lines { return [ lines_of_log($_[0]{stderr} =~ s/ at \S+ line \d+//gr) ] }

sub same_log {
    my ($name, $contains, $text) = @_;
    my ($original, $ours) = both($text);
    is_deeply([ lines($ours), $ours->{status} ], [ lines($original), $original->{status} ], "no difference: $name") or diag(explain([ $original, $ours ]));
    like($original->{stderr}, $contains, "$name: the program prints what it should");
    return;
}

# Requests.

{
    my $text = $HEAD . 'my $request = FCGI::Request(); $request->Accept; print "parent "; '
        . 'if (!fork) { print "child" x 3; exit } wait; print "end"; $request->Finish;';
    my ($original, $ours) = both($text, {});
    like($original->{responses}[0]{stdout}, qr/child/, 'a child that exits: on the original it answers');
    is($ours->{responses}[0]{stdout}, 'parent end', 'here it does not touch the connection');
}
{
    my $text = $HEAD . 'open my $own, ">&", \*STDOUT or die; my $request = FCGI::Request(); $request->Accept; '
        . 'for (1, 2) { $! = 0; my $n = read STDIN, my $bytes, 100; syswrite $own, defined $n ? "$n\n" : $! ? "undef, errno\n" : "undef\n" } $request->Finish;';
    my ($original, $ours) = both($text, sub {
        my ($socket) = @_;
        my $client = FastCGIClient->new($socket);
        $client->send_bytes(substr $client->request_bytes({ stdin => 'three' }), 0, -10);
        shutdown $client->socket, SHUT_WR;
        return $client->response;
    });
    my ($first, $second) = split /\n/, $original->{stdout};
    is_deeply([ $first, $second ], [ 3, 0 ], 'a truncated input: on the original it ends normally');
    is($ours->{stdout}, "3\nundef, errno\n", 'here the read fails');
}
{
    my $text = $HEAD . '$SIG{USR1} = sub { syswrite STDERR, "handler\n"; POSIX::_exit(0) }; use POSIX ();'
        . 'my $request = FCGI::Request(\*STDIN, \*STDOUT, \*STDERR, {}, 0, 0); while ($request->Accept >= 0) { print "served"; $request->Finish }';
    my $signal = sub { my ($socket, $pid) = @_; my $response = FastCGIClient->ask($socket); Program::wait_until_idle($pid); kill USR1 => $pid; return $response };
    # The original returns from accept only with a request.
    my $original = Program::run(text => $text, requests => [ $signal, {} ]);
    is($original->{responses}[1]{stdout} // '', '', 'without FAIL_ACCEPT_ON_INTR: the original runs the handler after the next request has arrived, and loses that');
    is($original->{status}, 0, 'the original exits only then');
    my $ours = Program::run(text => $text, requests => [$signal], environment => { PERL5OPT => '-MFCGIPM::Compat' });
    is($ours->{stderr} . $ours->{status}, "handler\n0", 'here the handler runs while Accept waits');
}

{
    my $text = $HEAD . 'open my $own, ">&", \*STDERR or die; my $request = FCGI::Request(); while ($request->Accept >= 0) { open my $accepted, ">", "accepted" or die; local $/; my $body = <STDIN>; syswrite $own, "ran $body\n"; print "answer"; last if $body eq "last" }';
    # Two requests wait behind one that takes longer than two ticks of the kernel's clock; the
    # client of one of them disconnects.
    my ($original, $ours) = both($text, sub {
        my ($socket) = @_;
        my @clients = map { FastCGIClient->new($socket) } 1 .. 3;
        my $bytes = $clients[0]->request_bytes({ stdin => 'first' });
        $clients[0]->send_bytes(substr $bytes, 0, -8);
        $clients[$_]->send_bytes($clients[$_]->request_bytes({ stdin => qw(first dropped last)[$_] })) for 1, 2;
        close $clients[1]->socket;
        my $accepted = $socket =~ s/socket\z/accepted/r;
        select undef, undef, undef, 0.001 until -e $accepted;
        # This pause is not synchronisation: the length of the request matters.
        select undef, undef, undef, 0.05;
        $clients[0]->send_bytes(substr $bytes, -8);
        return map { $_->response->{stdout} } @clients[ 0, 2 ];
    });
    is_deeply($_->{responses}, [ 'answer', 'answer' ], 'the other requests are answered') for $original, $ours;
    is($original->{stderr}, "ran first\nran dropped\nran last\n", 'a client that has disconnected: the original runs its request');
    is($ours->{stderr} =~ s/^fcgipm: .*\n//gmr, "ran first\nran last\n", 'here the request is not run');
    like($ours->{stderr}, qr/a request was not run: its client had disconnected/, 'and that is logged');
}

{
    my $text = $HEAD . 'my $request = FCGI::Request(); my $number = 0; while ($request->Accept >= 0) { kill TERM => $$ if <STDIN> && !$number++; print "served" }';
    # The second request is in the queue when the signal arrives.
    my ($original, $ours) = both($text, sub {
        my ($socket) = @_;
        my @clients = map { FastCGIClient->new($socket) } 1, 2;
        my $bytes = $clients[0]->request_bytes({ stdin => 'x' });
        $clients[0]->send_bytes(substr $bytes, 0, -17);
        $clients[1]->send_bytes($bytes);
        $clients[0]->send_bytes(substr $bytes, -17);
        return map { $_->response->{stdout} } @clients;
    });
    is_deeply($original->{responses}, [ 'served', '' ], 'after TERM the original serves no other request');
    is_deeply($ours->{responses}, [ 'served', 'served' ], 'here requests in the queue are served');
}
{
    my $text = $HEAD . 'BEGIN { $^W = 1 } my $request = FCGI::Request(); $request->Accept; printf "%s|%d\n", undef, "x"; $request->Finish;';
    my ($original, $ours) = both($text, {});
    like($original->{responses}[0]{stderr}, qr/uninitialized value.*isn't numeric/s, 'printf under -w: the original warns about bad arguments');
    is($_->{responses}[0]{stdout}, "|0\n", 'both print') for $original, $ours;
    is($ours->{responses}[0]{stderr}, '', 'no warning here');
}

# The manager.

{
    # One worker, which is busy until the manager stops; another request waits in the queue.
    my $text = managed('', 'my $request = FCGI::Request(); while ($request->Accept >= 0) { my $line = <STDIN> // ""; if ($line eq "stop") { '
        . 'idle(getppid); kill TERM => getppid; select undef, undef, undef, 0.01 until `cat stderr` =~ /sending TERM/ } print "served"; $pm->pm_post_dispatch }');
    my ($original, $ours) = both($text, sub {
        my ($socket) = @_;
        my @clients = map { FastCGIClient->new($socket) } 1, 2;
        my $bytes = $clients[0]->request_bytes({ stdin => 'stop' });
        $clients[0]->send_bytes(substr $bytes, 0, -20);
        $clients[1]->send_bytes($clients[1]->request_bytes({}));
        $clients[0]->send_bytes(substr $bytes, -20);
        return map { $_->response->{stdout} } @clients;
    });
    is_deeply($original->{responses}, [ 'served', '' ], 'a stop: the original does not answer the request in the queue');
    is_deeply($ours->{responses}, [ 'served', 'served' ], 'here it is answered');
}
{
    # RLIMIT_NPROC applies to the user nobody, but not to root.
    my $text = $HEAD . 'system "prlimit", "--nproc=0:0", "--pid", $$ and die "prlimit: $?"; require POSIX; POSIX::setuid((getpwnam "nobody")[2]) or die "setuid: $!"; '
        . 'my $pm = FCGI::ProcManager->new({ n_processes => 1 }); $pm->pm_manage; die "not reached";';
    my $original = Program::run(text => $text, requests => []);
    like($original->{stderr}, qr/fork: Resource temporarily unavailable/, 'a failed fork: the original exits');
    is($original->{status}, 256, 'with status 1');
    my $daemon = compat(text => $text);
    $daemon->wait_for(qr/fork.*Resource temporarily unavailable/i);
    is($daemon->stop, 0, 'here the manager tries again until TERM');
}
for my $compat (0, 1) {
    my $daemon = Daemon->start(
        environment => $compat ? compat_environment() : {},
        text => $HEAD . 'my $request = FCGI::Request(); my $pm = FCGI::ProcManager->new({ n_processes => 2 }); $pm->pm_manage;'
            . 'while ($request->Accept >= 0) { $pm->pm_pre_dispatch; print "worker"; $pm->pm_post_dispatch }',
    );
    my @workers = map { $daemon->wait_for(qr/server \(pid (\d+)\): initialized/) } 1, 2;
    Program::wait_until_idle($_) for @workers, $daemon->pid;
    $daemon->signal('HUP');
    if ($compat) {
        $daemon->wait_for(qr/reload done/);
        unlike($daemon->log, qr/sending TERM to PIDs/, 'HUP: here workers are replaced one after another');
    }
    else {
        like($daemon->wait_for(qr/sending TERM to PIDs, ([\d ]+)/), qr/\A(?:$workers[0] $workers[1]|$workers[1] $workers[0])\z/, 'HUP: the original sends TERM to all workers');
        $daemon->wait_for(qr/server .*initialized/) for 1, 2;
        Program::wait_until_idle($_) for $daemon->log =~ /server \(pid (\d+)\): initialized/g, $daemon->pid;
    }
    is($daemon->stop, 0, 'TERM stops it');
}
{
    my ($original, $ours) = both(managed('sub sig_handler { my ($self, $name) = @_; print STDERR "called\n"; $self->SUPER::sig_handler($name) }',
        '$pm->pm_pre_dispatch; print STDERR "before\n"; kill TERM => $$; print STDERR "after\n"; print STDERR "asked\n" if $pm->pm_received_signal("TERM"); idle(getppid); kill KILL => getppid; exit'));
    s/^FastCGI: .*\n//mg for $original->{stderr}, $ours->{stderr};
    like($original->{stderr}, qr/^before\ncalled\nafter\nasked$/m, 'sig_handler: on the original called when the signal arrives');
    like($ours->{stderr}, qr/^before\nafter\ncalled\nasked$/m, 'here called when the program asks');
}
{
    my $text = $HEAD . 'use FCGI::ProcManager::MaxRequests; my $request = FCGI::Request(); '
        . 'my $pm = FCGI::ProcManager::MaxRequests->new({ n_processes => 1, max_requests => 1 }); $pm->pm_manage; '
        . 'while ($request->Accept >= 0) { $pm->pm_pre_dispatch; print "page"; $pm->pm_post_dispatch }';
    for my $compat (0, 1) {
        my $daemon = Daemon->start(environment => $compat ? compat_environment() : {}, text => $text);
        my @workers = $daemon->wait_for(qr/server \(pid (\d+)\): initialized/);
        my $said = $daemon->ask->{stderr};
        if ($compat) { is($said, '', '"safe exit": here it is not sent to the client') }
        else         { like($said, qr/safe exit after max_requests/, '"safe exit": the original sends it to the client') }
        push @workers, $daemon->wait_for(qr/server \(pid (\d+)\): initialized/);
        $daemon->wait_for(qr/server \(pid $workers[0]\) exited/) if $daemon->log !~ /server \(pid $workers[0]\) exited/;
        Program::wait_until_idle($_) for $daemon->pid, $workers[1];
        is($daemon->stop, 0, 'TERM stops it');
    }
}
{
    my $reap = 'sub pm_wait { my ($self) = @_; my $pid = waitpid -1, 0; return if $pid < 0; delete $self->{PIDS}{$pid}; print STDERR "reaped ", $? >> 8, "\n"; return $pid }';
    my ($original, $ours) = both(managed($reap, $NUMBER, 'exit 3 if $number == 1;', $STOP));
    is_deeply([ $original->{stderr} =~ /^reaped \d+|exited with status \d+/mg ], [ 'reaped 3', 'reaped 0' ], 'a pm_wait that reaps: on the original it sees every exit');
    is_deeply([ $ours->{stderr} =~ /^reaped \d+|exited with status \d+/mg ], [ 'reaped 3', 'exited with status 0' ], 'here the last exits are logged');
    is($_->{status}, 0, 'both stop') for $original, $ours;
}
{
    my $text = "$HEAD$IDLE" . 'my $pm = FCGI::ProcManager->new({ n_processes => 1 }); $SIG{ALRM} = sub { $pm->n_processes(2); print STDERR "now two\n" };'
        . '$pm->pm_manage; $SIG{ALRM} = "DEFAULT";' . $NUMBER . 'open my $log, "<", "stderr"; '
        . 'if ($number == 1) { idle(getppid); kill ALRM => getppid; select undef, undef, undef, 0.01 until `cat stderr` =~ /now two/; idle(getppid); print STDERR "first goes\n"; WAIT exit }'
        . 'if ($number == 3) { ' . $STOP . ' } select undef, undef, undef, 5 while !$pm->pm_received_signal("TERM"); $pm->pm_post_dispatch;';
    my $original = Program::run(text => $text =~ s/WAIT//r, requests => []);
    like($original->{stderr}, qr/now two\n(?!.*started.*first goes).*first goes\n.*exited with.*started.*started/s, 'n_processes at run time: the original applies it when a worker has exited');
    my $ours = Program::run(text => $text =~ s/WAIT/select undef, undef, undef, 0.01 until -s "count" >= 2;/r, requests => [], environment => { PERL5OPT => '-MFCGIPM::Compat' });
    like($ours->{stderr}, qr/now two\n.*started.*exited with/s, 'here it is applied immediately');
}
{
    my $text = $HEAD . 'my $pm = FCGI::ProcManager->new({ n_processes => 1, pid_fname => "/no/such/pid" }); $pm->pm_manage; kill KILL => getppid; exit;';
    my ($original, $ours) = both($text);
    like($original->{stderr}, qr/open: \/no\/such\/pid: .*\n(?:.*\n)*.*server \(pid N\): initialized/, 'a pid file that cannot be written: the original continues');
    like($ours->{stderr}, qr/\A[^\n]*\/no\/such\/pid/, 'here it is an error');
    unlike($ours->{stderr}, qr/started/, 'before anything is forked');
}
{
    my $text = managed('sub sig_manager { $_[0]->pm_exit("exiting") }', 'open my $own, ">&", \*STDOUT or die; my $request = FCGI::Request(); '
        . 'while ($request->Accept >= 0) { my $manager = getppid; idle($manager); kill TERM => $manager; select undef, undef, undef, 0.01 while getppid == $manager; print "answered" }');
    my ($original, $ours) = both($text, {});
    is($original->{responses}[0]{stdout}, '', 'pm_exit in a manager: the original kills the workers');
    is($ours->{responses}[0]{stdout}, 'answered', 'here they finish their requests');
}
{
    my $text = $HEAD . 'FCGI::OpenSocket("own", 5); '
        . 'my ($manager, $pm) = ($$, FCGI::ProcManager->new({ n_processes => 1 })); END { print STDERR -S "own" ? "left\n" : "removed\n" if $$ == $manager } $pm->pm_manage;' . $IDLE . $STOP;
    my ($original, $ours) = both($text);
    like($original->{stderr}, qr/^left$/m, 'the socket file: the original leaves it');
    like($ours->{stderr}, qr/^removed$/m, 'here it is removed');
}

# No differences.

same_log('a handler of INT in the manager and in its worker', qr/^mine INT\nmine INT$/m,
    $HEAD . $IDLE . '$SIG{INT} = sub { print STDERR "mine INT\n" }; my $pm = FCGI::ProcManager->new({ n_processes => 1 }); $pm->pm_manage; '
    . 'idle(getppid); kill INT => getppid; select undef, undef, undef, 0.01 until `cat stderr` =~ /mine INT/; kill INT => $$; ' . $STOP);
same_log('a pm_wait that dies', qr/^caught in pm_wait in the manager$/m,
    $HEAD . q({ package Mine; our @ISA = 'FCGI::ProcManager'; sub pm_wait { my ($self) = @_; $self->SUPER::pm_wait; die "in pm_wait\n" } } )
    . 'my ($manager, $pm) = ($$, Mine->new({ n_processes => 1 })); eval { $pm->pm_manage; 1 } or do { chomp $@; print STDERR "caught $@ in the ", $$ == $manager ? "manager\n" : "worker\n"; exit 7 }; exit 3;');
same_log('_set_signal_handler', qr/^got CONT$/m,
    managed('sub managing_init { my ($self) = @_; $self->SUPER::managing_init; $self->_set_signal_handler($_, 0) for qw(USR2 CONT); eval { $self->_set_signal_handler("NONE", 0) }; print STDERR $@ } '
    . 'sub sig_manager { my ($self, $name) = @_; $self->SUPER::sig_manager($name); print STDERR "got $name\n" }',
    'for my $name (qw(USR2 CONT)) { idle(getppid); kill $name => getppid; select undef, undef, undef, 0.01 until `cat stderr` =~ /got $name/ }', $STOP));

done_testing;
