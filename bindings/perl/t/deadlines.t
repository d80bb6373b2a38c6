use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Workers;

# Requests that exceed request_timeout. The path of a request selects what the worker does; the
# tests wait for lines of the log, and thereby for the timeout, which is short.

my $LIMIT = 'n_processes => 1, request_timeout => 0.8';
my $NOTICE = 'the request has run for longer than request_timeout';
# One call of a C library that takes minutes; perl handles signals only after it.
my $STUBBORN = q{my $word = 'x'; crypt $word, '$6$rounds=999999999$salt';};    # a variable, to prevent constant folding

my $EVAL_LOOP = <<'LOOP';
while ($request->Accept >= 0) {
    $pm->pm_pre_dispatch;
    my $page = eval { page($ENV{ASK} // '') };
    print $@ ? "Status: 503 Service Unavailable\r\n\r\nworker $$ gave up: $@" : "Content-Type: text/plain\r\n\r\nworker $$ $page";
    $pm->pm_post_dispatch;
}
LOOP

sub asked { return (params => [ ASK => $_[0], REQUEST_METHOD => 'GET', REQUEST_URI => "/$_[0]" ]) }

# What a program may be doing when the notice arrives.
my %DOING = (
    computing     => '1 while 1;',
    sleeping      => 'sleep 60;',
    waiting       => 'select undef, undef, undef, 60;',
    reading       => 'pipe my $in, my $out; my $line = <$in>;',
    sysread       => 'pipe my $in, my $out; sysread $in, my $bytes, 1;',
    locking       => 'open my $one, "+>", undef; flock $one, 2; open my $two, "+<", "/proc/self/fd/" . fileno $one; flock $two, 2;',
    system        => 'system "sleep 3 2>/dev/null";',
    backtick      => 'my $said = `sleep 3 2>/dev/null`;',
    sort          => 'my @sorted = sort { 1 while 1; $a <=> $b } 3, 1, 2;',
    substitution  => 'my $text = "a"; $text =~ s/a/1 while 1; "b"/e;',
    callback      => 'require List::Util; List::Util::first(sub { 1 while 1 }, 1);',
    alarm         => 'eval { local $SIG{ALRM} = sub { die "alarm" }; alarm 60; sleep 60; alarm 0; 1 } or do { alarm 0; die $@ };',
    warnings      => 'use warnings FATAL => "all"; sleep 60;',
);

{
    my $page = join '', map { "if (\$_[0] eq '$_') { $DOING{$_} }\n" } sort keys %DOING;
    my $daemon = daemon(options => $LIMIT . ', n_processes => ' . keys %DOING, page => $page . 'return "served $_[0]";', loop => $EVAL_LOOP);
    my %client = map { $_ => FastCGIClient->new($daemon->dir . '/socket') } sort keys %DOING;
    $client{$_}->send_bytes($client{$_}->request_bytes({ asked($_), keep => 1 })) for sort keys %DOING;
    for my $doing (sort keys %DOING) {
        my $response = $client{$doing}->response;
        my $worker = worker_of($response);
        is($response->{stdout}, "Status: 503 Service Unavailable\r\n\r\nworker $worker gave up: $NOTICE\n", "$doing: an eval catches the notice");
        like($client{$doing}->call({ asked('') })->{stdout}, qr/worker $worker served $/, 'the same worker continues');
    }
    is($daemon->stop, 0, 'TERM stops it with status 0');
    unlike($daemon->log, qr/killing|killed by|exited with status [1-9]/, 'no worker was killed');
    like($daemon->log, qr{request timed out: worker \(pid \d+\) after \S+: GET /$_$}m, "$_ is in the log") for sort keys %DOING;
}

# A worker that continues regardless is killed.
for (
    [ 'an eval that swallows it', 'eval { sleep 60 }; 1 while 1;', '' ],
    [ 'a call that does not return', $STUBBORN, '' ],
    [ 'no_signals', 'sleep 60;', 'no_signals => 1' ],
    [ 'a signal that is ignored', 'local $SIG{VTALRM} = "IGNORE"; sleep 60;', '' ],
    [ 'request_timeout_signal none', 'sleep 60;', "request_timeout_signal => 'none'" ],
) {
    my ($name, $doing, $option) = @$_;
    my $daemon = daemon(options => "$LIMIT, request_timeout_grace => 0.2, $option", page => "if (\$_[0]) { $doing }", loop => $EVAL_LOOP);
    my $worker = worker_of($daemon->ask);
    my $response = $daemon->ask(asked('stubborn'));
    ok($response->{ended}, "$name: the response ends");
    like($response->{stdout}, qr/\AStatus: 504 Gateway Timeout\r\n/, 'with a 504 from the manager');
    is($response->{app_status}, 137, 'with the status of a killed program');
    $daemon->wait_for(qr{killing worker \(pid $worker\): it did not finish its request within 200ms of the notice: GET /stubborn});
    $daemon->wait_for(qr/server \(pid $worker\) killed by SIGKILL/);
    isnt(worker_of($daemon->ask), $worker, 'the worker is replaced');
    $daemon->signal($option =~ /no_signals/ ? 'KILL' : 'TERM');
    $daemon->ended;
}

# A body that does not arrive.
{
    my $daemon = daemon(options => $LIMIT, page => 'my @lines = <STDIN>; return "served @lines";', loop => $EVAL_LOOP);
    my $client = FastCGIClient->new($daemon->dir . '/socket');
    my $bytes = $client->request_bytes({ stdin => "a line\n" });
    $client->send_bytes(substr $bytes, 0, -12);
    my $response = $client->response;
    my $worker = worker_of($response);
    is($response->{stdout}, "Status: 503 Service Unavailable\r\n\r\nworker $worker gave up: $NOTICE\n", 'the notice ends a wait for the body');
    like($daemon->ask(stdin => "a line\n")->{stdout}, qr/worker $worker served a line$/, 'the worker continues');
    is($daemon->stop, 0, 'TERM stops it with status 0');
}

# Without an eval, nothing would catch a die.
{
    my $daemon = daemon(options => $LIMIT, before => <<'BEFORE', page => 'if ($_[0]) { until_noticed(); print "late" }');
use FCGIPM::Library;
sub until_noticed { select undef, undef, undef, 0.01 until FCGIPM::Library::worker_notice_given() }
BEFORE
    my $worker = worker_of($daemon->ask);
    like($daemon->ask(asked('late'))->{stdout}, qr/worker $worker late\z/, 'a program without an eval may use the grace period');
    like($daemon->ask->{stdout}, qr/worker $worker/, 'and continues');
    is($daemon->stop, 0, 'TERM stops it with status 0');
    unlike($daemon->log, qr/killing|killed by|exited with status [1-9]/, 'no worker was killed');
}
{
    my $daemon = daemon(options => "$LIMIT, request_timeout_grace => 0.2", page => 'if ($_[0]) { $| = 1; print "half a page"; 1 while 1 }');
    my $response = $daemon->ask(asked('half'));
    my $worker = worker_of($response);
    like($response->{stdout}, qr/half a page\z/, 'after the grace period the response ends');
    is($response->{app_status}, 137, 'with the status of a killed program');
    $daemon->wait_for(qr/killing worker \(pid $worker\)/);
    $daemon->wait_for(qr/server \(pid $worker\) killed by SIGKILL/);
    isnt(worker_of($daemon->ask), $worker, 'the worker is replaced');
    $daemon->stop;
}

# A subclass's own pm_request_timed_out.
my $SUBCLASS = <<'SUBCLASS';
{
    package Mine;
    our @ISA = 'FCGIPM::ProcManager';
    sub handling_init { }    # without SUPER::handling_init
    sub pm_request_timed_out { my ($self, $is_caught) = @_; print STDERR "caught: $is_caught"; %s }
}
SUBCLASS
{
    my $daemon = daemon(class => 'Mine', options => $LIMIT, loop => $EVAL_LOOP, before => sprintf($SUBCLASS, 'die { own => 1 }'),
        page => 'if ($_[0]) { eval { sleep 60 }; return "own: $@->{own}" }');
    my $response = $daemon->ask(asked('own'));
    like($response->{stdout}, qr/own: 1\z/, 'a subclass decides with which message the program dies');
    like($response->{stderr}, qr/\Acaught: [1-9]/, 'and receives the number of evals');
    is($daemon->stop, 0, 'TERM stops it with status 0');
}
{
    my $daemon = daemon(class => 'Mine', options => $LIMIT, before => sprintf($SUBCLASS, 'die "own\n"'), page => 'if ($_[0]) { print "half a page"; sleep 60 }');
    my $response = $daemon->ask(asked('own'));
    my $worker = worker_of($response);
    ok($response->{ended}, 'a program that dies of it: the response is ended');
    like($response->{stdout}, qr/half a page\z/, 'with the output');
    is($response->{stderr}, "caught: 0own\n", 'the web server receives the message');
    $daemon->wait_for(qr/server \(pid $worker\) exited with status [1-9]\d*$/);
    isnt(worker_of($daemon->ask), $worker, 'the worker is replaced');
    is($daemon->stop, 0, 'TERM stops the manager with status 0');
    unlike($daemon->log, qr/killing/, 'no worker was killed');
}

# The signal arrives when the work is done: it is blocked until then.
{
    my $daemon = daemon(options => $LIMIT, before => <<'BEFORE', page => <<'PAGE', loop => <<'LOOP');
use POSIX (); use FCGIPM::Library;
my $signals = POSIX::SigSet->new(POSIX::SIGVTALRM());
sub hold_until_there {
    POSIX::sigprocmask(POSIX::SIG_BLOCK(), $signals);
    my $pending = POSIX::SigSet->new;
    do { select undef, undef, undef, 0.01; POSIX::sigpending($pending) } until $pending->ismember(POSIX::SIGVTALRM());
    die 'no notice' if !FCGIPM::Library::worker_notice_given();
}
my $release_in;
sub release { if ($release_in && $_[0] eq $release_in) { undef $release_in; POSIX::sigprocmask(POSIX::SIG_UNBLOCK(), $signals) } }
{
    no warnings 'redefine';
    my $ended = \&FCGIPM::Request::_ended;
    *FCGIPM::Request::_ended = sub { release('Finish'); $ended->(@_) };
    my $retiring = \&FCGIPM::Library::worker_retiring;
    *FCGIPM::Library::worker_retiring = sub { release('post_dispatch'); $retiring->(@_) };
}
BEFORE
    my ($asked) = @_;
    release('next');
    if ($asked) { hold_until_there(); $release_in = $asked }
    return "served $asked";
PAGE
while (1) {
    my $accepted = eval { $request->Accept };
    if ($@) { print STDERR "Accept died: $@"; last }
    last if $accepted < 0;
    my $page = eval { page($ENV{ASK} // '') };
    print "Content-Type: text/plain\r\n\r\nworker $$ ", $page // "gave up: $@";
    eval { $pm->pm_post_dispatch; 1 } or print "died: $@";
}
LOOP
    my $worker = worker_of($daemon->ask);
    for my $when (qw(post_dispatch Finish next)) {
        like($daemon->ask(asked($when))->{stdout}, qr/worker $worker served $when\z/, "$when: a late notice does not affect its request");
        like($daemon->ask->{stdout}, qr/worker $worker served \z/, 'nor the next one');
    }
    is($daemon->stop, 0, 'TERM stops it with status 0');
    is(scalar(() = $daemon->log =~ /request timed out/g), 3, 'three requests timed out');
    unlike($daemon->log, qr/killing|killed by|exited with status [1-9]|died/, 'no worker was killed');
}

# A handler that dies while a write waits for the peer: nothing is sent twice.
{
    my $daemon = daemon(options => $LIMIT, loop => <<'LOOP');
while ($request->Accept >= 0) {
    eval { print $_ x 20_000 for 'a' .. 'z', 'A' .. 'Z'; 1 while 1 };
    print "end";
}
LOOP
    my $client = FastCGIClient->new($daemon->dir . '/socket');
    $client->send_bytes($client->request_bytes({}));
    $daemon->wait_for(qr/request timed out/);
    my $response = $client->response;
    my ($letters, $end) = $response->{stdout} =~ /\A(.*)(end)\z/s;
    is($end, 'end', 'the response to a slow peer ends');
    my $sent = join '', map { $_ x 20_000 } 'a' .. 'z', 'A' .. 'Z';
    ok($letters eq substr($sent, 0, length $letters), 'and repeats nothing')
        or diag(length $letters, ' bytes, which differ');
    $daemon->stop;
}

# Threads may be started in a worker. A process with threads cannot become a manager.
{
    my $daemon = daemon(options => $LIMIT, before => 'use threads;', page => 'sleep 60 if $_[0]; return "served";',
        loop => 'my $thread = threads->create(sub { sleep 1 while 1 }); $thread->detach;' . $EVAL_LOOP);
    my $worker = worker_of($daemon->ask);
    like($daemon->ask(asked('sleep'))->{stdout}, qr/worker $worker gave up: $NOTICE/, 'a worker with threads receives the notice');
    like($daemon->ask->{stdout}, qr/worker $worker served\z/, 'and continues');
    is($daemon->stop, 0, 'TERM stops it with status 0');
    unlike($daemon->log, qr/killing|killed by|exited with status [1-9]/, 'no worker was killed');
}
{
    my $daemon = daemon(before => 'use threads; threads->create(sub { sleep 60 })->detach;');
    isnt($daemon->ended, 0, 'a process with threads cannot become a manager');
    like($daemon->log, qr/the process has 2 threads; a manager can only fork a process with one/, 'the message says why');
}

# slow_request only logs.
{
    my $daemon = daemon(options => 'n_processes => 1, slow_request => 0.2', page => 'if ($_[0]) { select undef, undef, undef, 0.01 until -e $_[0] }');
    my $gate = $daemon->dir . '/gate';
    my $client = FastCGIClient->new($daemon->dir . '/socket');
    $client->send_bytes($client->request_bytes({ params => [ ASK => $gate, REQUEST_METHOD => 'POST', REQUEST_URI => '/slow?x=1' ] }));
    my $worker = $daemon->wait_for(qr{slow request: worker \(pid (\d+)\) for \S+: POST /slow\?x=1$});
    open my $file, '>', $gate or die "$gate: $!";
    like($client->response->{stdout}, qr/worker $worker/, 'a slow request continues');
    is($daemon->stop, 0, 'so does its worker');
    is(scalar(() = $daemon->log =~ /slow request: worker \(pid \d+\) for/g), 1, 'it is logged once');
}

# Idle keep-alive connections.
{
    my $daemon = daemon(options => 'n_processes => 1, idle_timeout => 0.3');
    my $client = FastCGIClient->new($daemon->dir . '/socket');
    my $worker = worker_of($client->call({ keep => 1 }));
    is($client->read_record, undef, 'an idle keep-alive connection is closed');
    like($daemon->ask->{stdout}, qr/worker $worker/, 'its worker continues');
    is($daemon->stop, 0, 'TERM stops it with status 0');
}

done_testing;
