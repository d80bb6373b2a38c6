use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Daemon;
use Workers qw(worker_of);

my $HEAD = <<'HEAD';
use strict; use warnings; use FCGIPM; use FCGIPM::ProcManager;
my $socket = FCGIPM::OpenSocket($ENV{FCGI_SOCKET_PATH}, 100);
my $request = FCGIPM::Request(\*STDIN, \*STDOUT, \*STDERR, \%ENV, $socket);
HEAD
my $LOOP = <<'LOOP';
while ($request->Accept >= 0) {
    $pm->pm_pre_dispatch;
    my $body = <STDIN>;
    print "worker $$ ", $ENV{ASK} // '', $body // '';
    $pm->pm_post_dispatch;
}
print STDERR "after the loop\n";
LOOP

sub daemon {
    my ($middle, %with) = @_;
    return Daemon->start(text => $HEAD . $middle . ($with{loop} // $LOOP), environment => $with{environment});
}

my $ONE = 'my $pm = FCGIPM::ProcManager->new({ n_processes => 1 }); $pm->pm_manage; ';

{
    my $daemon = daemon($ONE);
    my $old = worker_of($daemon->ask);
    $daemon->signal('HUP');
    # Until it has exited, the old worker may accept another request.
    $daemon->wait_for(qr/server \(pid $old\) exited with status 0/);
    $daemon->wait_for(qr/reload done/);
    my $new = worker_of($daemon->ask);
    isnt($new, $old, 'HUP replaces the workers');
    is($daemon->stop, 0, 'TERM stops it');
    like($daemon->log, qr/dying: safe exit from signal TERM\n\z/, 'the last log line reports it');
}
{
    my $daemon = daemon($ONE);
    # A request that is incomplete when the reload begins.
    my $client = FastCGIClient->new($daemon->dir . '/socket');
    my $bytes  = $client->request_bytes({ stdin => "tail\n" });
    $daemon->wait_for(qr/server \(pid \d+\): initialized/);
    $client->send_bytes(substr $bytes, 0, 20);
    $daemon->signal('HUP');
    $daemon->wait_for(qr/reload begun/);
    $client->send_bytes(substr $bytes, 20);
    my $response = $client->response;
    ok($response->{ended}, 'a request that arrives in pieces during a reload is answered');
    like($response->{stdout}, qr/tail/, 'completely');
    $daemon->stop;
}
{
    my $daemon = daemon($ONE);
    my $client = FastCGIClient->new($daemon->dir . '/socket');
    my $lost = 0;
    $daemon->wait_for(qr/server \(pid \d+\): initialized/);
    my $bytes = $client->request_bytes({ params => [ ASK => 'kept' ], keep => 1 });
    my %workers;
    for (1 .. 5) {
        $client->send_bytes($bytes);
        my $response = $client->response;
        $lost++ if !$response->{ended};
        $workers{ worker_of($response) } = 1;
        $daemon->signal('HUP');
        $daemon->wait_for(qr/reload begun/);
        $client->send_bytes($bytes);
        $response = $client->response;
        $lost++ if !$response->{ended};
        $daemon->wait_for(qr/reload done/);
    }
    is($lost, 0, 'a keep-alive connection loses no request during five reloads');
    cmp_ok(scalar(keys %workers), '>', 1, 'and different workers answer');
    $daemon->stop;
}
{
    my $daemon = daemon($ONE);
    my $worker = worker_of($daemon->ask);
    kill TERM => $worker;
    $daemon->wait_for(qr/server \(pid $worker\) exited with status 0/);
    isnt(worker_of($daemon->ask), $worker, 'a worker that receives TERM exits and is replaced');
    $daemon->stop;
    unlike($daemon->log, qr/status [1-9]/, 'all workers exit with status 0');
}
{
    my $daemon = daemon($ONE, loop => <<'LOOP');
while ($request->Accept >= 0) {
    $pm->pm_pre_dispatch;
    $| = 1; print "worker $$\n"; my $line = <STDIN>; print "finished $line";
    $pm->pm_post_dispatch;
    print "not cut short";
}
LOOP
    my $client = FastCGIClient->new($daemon->dir . '/socket');
    my $bytes = $client->request_bytes({ stdin => "x\n" });
    $client->send_bytes(substr $bytes, 0, -18);
    my $first = $client->read_record;    # the parameters have arrived, the body has not
    my ($worker) = $first->{content} =~ /(\d+)/;
    kill $_ => $worker for qw(TERM HUP INT QUIT);
    $client->send_bytes(substr $bytes, -18);
    is($client->response->{stdout}, "finished x\nnot cut short", 'a signal during a request waits for the end of the request');
    like($daemon->wait_for(qr/server \(pid $worker\): (safe.*)/), qr/safe exit after SIGTERM/, 'then the worker exits, with the message of FCGI::ProcManager');
    $daemon->stop;
}
{
    my $daemon = daemon($ONE, loop => <<'LOOP');
my $n = 0;
while ($request->Accept >= 0) {
    { local $SIG{TERM} = 'IGNORE'; local $SIG{HUP} = sub { }; $n++ }
    print "worker $$ ", ref $SIG{TERM};
}
LOOP
    my $response = $daemon->ask;
    like($response->{stdout}, qr/CODE/, 'after local $SIG{TERM} the handler is restored');
    my $worker = worker_of($response);
    kill TERM => $worker;
    $daemon->wait_for(qr/server \(pid $worker\) exited with status 0/);
    pass('and works');
    $daemon->stop;
}
{
    my $daemon = daemon(<<'PROGRAM');
{
    package Mine;
    our @ISA = 'FCGIPM::ProcManager';
    sub managing_init { $_[0]->SUPER::managing_init; print STDERR "managing_init\n" }
    sub handling_init { $_[0]->SUPER::handling_init; print STDERR "handling_init\n" }
    sub sig_manager   { print STDERR "sig_manager $_[1]\n"; $_[0]->SUPER::sig_manager($_[1]) }
    sub sig_handler   { print STDERR "sig_handler $_[1]\n"; $_[0]->SUPER::sig_handler($_[1]) }
    sub pm_notify     { print STDERR "notify: $_[1]\n" }
}
my $pm = Mine->new({ n_processes => 1 }); $pm->pm_manage;
PROGRAM
    $daemon->ask;
    $daemon->signal('HUP');
    $daemon->wait_for(qr/notify: reload done/);
    is($daemon->stop('INT'), 0, 'INT stops like TERM');
    like($daemon->log, qr/\Amanaging_init\nnotify: initialized\n/, 'managing_init is called first');
    like($daemon->log, qr/^$_$/m, "$_ is called") for 'handling_init', 'sig_manager HUP', 'sig_manager INT', 'notify: received signal INT', 'notify: dying: safe exit from signal INT';
}
{
    my $daemon = daemon('my $pm = FCGIPM::ProcManager->new({ n_processes => 5 }); $pm->pm_manage; ', environment => { FCGIPM_N_PROCESSES => 2 });
    $daemon->wait_for(qr/FCGIPM_N_PROCESSES=2 overrides n_processes=5/);
    $daemon->wait_for(qr/initialized/) for 1 .. 2;
    $daemon->stop;
    is(scalar(() = $daemon->log =~ /\) started/g), 2, 'the environment overrides the program, which is logged');
}
{
    my $daemon = daemon('my $pm = FCGIPM::ProcManager->new; $pm->pm_manage; ', environment => { FCGIPM_N_PROCESSES => 1, FCGIPM_PM_TITLE => 'mine', FCGIPM_PID_FNAME => 'pid.test' });
    my $response = $daemon->ask;
    isnt(worker_of($response), $daemon->pid, 'n_processes in the environment starts a manager');
    open my $title, '<', '/proc/' . $daemon->pid . '/cmdline';
    like(<$title>, qr/\Amine/, 'with the title of the environment');
    ok(-e 'pid.test', 'and the pid file of the environment');
    $daemon->stop;
    ok(!-e 'pid.test', 'the pid file is removed at the end');
}
for ([ '{ n_processes => "five" }', {}, qr/option n_processes: 'five' is not a whole number/ ],
    [ '{ die_timeout => "soon" }', {}, qr/option die_timeout: 'soon' is not a number of seconds or a time/ ],
    [ '{ n_processes => 1 }', { FCGIPM_N_PROCESSES => 'many' }, qr/FCGIPM_N_PROCESSES: .*'many'/ ],
    [ '{ n_processes => 1, pid_fname => "/nonexistent/pid" }', {}, qr{/nonexistent/pid} ]) {
    my ($options, $environment, $message) = @$_;
    my $daemon = daemon("my \$pm = FCGIPM::ProcManager->new($options); \$pm->pm_manage;", environment => $environment);
    isnt($daemon->ended, 0, 'a bad value: the program exits') ;
    like($daemon->log, $message, 'the message names it');
}
{
    my $daemon = daemon('my $pm = FCGIPM::ProcManager->new({ n_processes => 0 }); $pm->pm_manage; ');
    is(worker_of($daemon->ask), $daemon->pid, 'n_processes 0: the process itself serves');
    $daemon->stop('KILL');
}

{
    # Including signals that the library would handle.
    my @signals = qw(ALRM INT QUIT USR1 USR2 TTIN TTOU);
    my $daemon = daemon('for my $name (qw(' . "@signals" . ')) { $SIG{$name} = sub { print STDERR "$$ handles $_[0]\n" } } ' . $ONE);
    my $worker = worker_of($daemon->ask);
    for my $name (@signals) {
        $daemon->signal($name);
        is($daemon->wait_for(qr/^(\d+) handles $name$/), $daemon->pid, "the program's own handler of $name runs in the manager");
    }
    kill INT => $worker;
    is($daemon->wait_for(qr/^(\d+) handles INT$/), $worker, 'and in a worker');
    like($daemon->ask->{stdout}, qr/worker \d/, 'the manager continues');
    is($daemon->stop, 0, 'TERM stops it with status 0');
}
{
    my $dir = File::Temp->newdir;
    my $options = "my \$pm = FCGIPM::ProcManager->new({ n_processes => 1, pid_fname => '$dir/pid' }); \$pm->pm_manage;";
    my $first = daemon($options);
    $first->wait_for(qr/server \(pid \d+\): initialized/);
    my $second = daemon($options);
    isnt($second->ended, 0, 'a second manager with the same pid file is refused');
    my $pid = $first->pid;
    like($second->log, qr/\Q$dir\E\/pid.*\b$pid\b/, 'the message names the first');
    like($first->ask->{stdout}, qr/worker/, 'which continues to serve');
    is($first->stop, 0, 'TERM stops it with status 0');
    ok(!-e "$dir/pid", 'the pid file is removed');
}
# The manager is killed.
{
    my $daemon = daemon('my $pm = FCGIPM::ProcManager->new({ n_processes => 3 }); $pm->pm_manage; ');
    my $client = FastCGIClient->new($daemon->dir . '/socket');
    my $bytes = $client->request_bytes({ stdin => "tail\n" });
    $client->send_bytes(substr $bytes, 0, -13);    # in the middle of the body
    $daemon->wait_for(qr/server \(pid \d+\): initialized/) for 1 .. 3;
    # A later request is answered, so the first one was accepted.
    $daemon->ask;
    $daemon->signal('KILL');
    $client->send_bytes(substr $bytes, -13);
    like($client->response->{stdout}, qr/worker \d+ tail/, 'a busy worker finishes its request when the manager is killed');
    # The log ends when all workers have exited.
    is($daemon->ended, 9, 'all workers exit');
}
done_testing;
