use strict;
use warnings;
use lib qw(t/lib xt/lib);
use File::Temp ();
use Test::More;
use Time::HiRes ();

# Hooks of perl's fork see a manager's workers: profilers, POSIX::AtFork, CORE::GLOBAL::fork.

use Compat;
use Daemon;
use FastCGIClient;
use Workers;

needs(qw(FCGI FCGI::ProcManager Devel::NYTProf::Data POSIX::AtFork));

# A request that keeps a worker busy until the rest of its body arrives.
sub busy_client {
    my ($daemon) = @_;
    my $client = FastCGIClient->new($daemon->address);
    my $bytes = $client->request_bytes({});
    $client->send_bytes(substr $bytes, 0, -8);
    return $client;
}

# Sends one request to each of N workers, and returns their pids.
sub one_for_each {
    my ($daemon, $count) = @_;
    my @clients = map { busy_client($daemon) } 1 .. $count;
    my @workers = map { worker_of({ stdout => $_->read_record->{content} }) } @clients;
    for my $client (@clients) {
        $client->send_bytes($client->stream(STDIN => ''));
        $client->response;
    }
    return @workers;
}

# The original may miss the signal.
sub stops_cleanly {
    my ($name, $daemon, $is_original) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    return $daemon->kill_all if $is_original;
    return is($daemon->stop, 0, "$name: TERM stops it") || diag($daemon->log);
}

my $HEAD = <<'HEAD';
use strict; use warnings; use IO::Handle; use FCGI; use FCGI::ProcManager;
my $finishes = $ENV{FINISH};
my $request = FCGI::Request();
my $pm = FCGI::ProcManager->new({ n_processes => 3 });
HEAD

my $SERVE = <<'SERVE';
$pm->pm_manage;
sub answer { print "Content-Type: text/plain\r\n\r\nworker $$ "; $request->Flush; () = <STDIN> }
while ($request->Accept >= 0) { $pm->pm_pre_dispatch; answer(); $pm->pm_post_dispatch; finish() if $finishes }
sub finish { DB::finish_profile(); require POSIX; POSIX::write(2, "finished\n", 9) }
SERVE

my %WAYS = (original => {}, compat => compat_environment());

# NYTProf

sub calls_of_answer {
    my ($file) = @_;
    my $profile = eval { Devel::NYTProf::Data->new({ filename => $file, quiet => 1 }) } or return diag("$file: $@");
    my $sub = $profile->subname_subinfo_map->{'main::answer'} or return 0;
    return $sub->calls || 0;
}

for my $way (sort keys %WAYS) {
    my $is_original = $way eq 'original';
    my $dir = File::Temp->newdir;
    open my $file, '>', "$dir/program.pl" or die $!;
    print {$file} $HEAD, $SERVE;
    close $file or die $!;
    my $daemon = Daemon->start(
        command     => [ $^X, '-d:NYTProf', 'program.pl' ],
        in          => "$dir",
        environment => { %{ $WAYS{$way} }, NYTPROF => 'addpid=1', $is_original ? (FINISH => 1) : () },
        own_group   => 1,
    );
    my $manager = $daemon->pid;
    my @workers = one_for_each($daemon, 3);
    if ($is_original) { $daemon->wait_for(qr/^finished$/) for @workers }
    is(scalar(keys %{ { map { $_ => 1 } @workers } }), 3, "NYTProf ($way): each worker serves a request");
    stops_cleanly("NYTProf ($way)", $daemon, $is_original);
    my @files = map { /(\d+)\z/ } glob "$dir/nytprof.out*";
    is_deeply([ sort @files ], [ sort $manager, @workers ], "NYTProf ($way): there is a file for each process")
        or diag($daemon->log);
    is(calls_of_answer("$dir/nytprof.out.$_"), 1, "NYTProf ($way): a worker's calls are counted") for @workers;
    is(calls_of_answer("$dir/nytprof.out.$manager"), 0, "NYTProf ($way): the manager has no calls") if !$is_original;
    my $said = qx{cd '$dir' && nytprofhtml --no-flame --file nytprof.out.$workers[0] 2>&1};
    is($?, 0, "NYTProf ($way): nytprofhtml reads it") or diag($said);
}

# Hooks that log their calls. %with: hooks (statements before all others), late (before pm_manage).

sub hooked {
    my (%with) = @_;
    my $start = $with{compat} ? \&compat : sub { Daemon->start(@_) };
    return $start->(own_group => 1, text => join "\n", '$| = 1;', $with{hooks} // '', $HEAD, $with{late} // '', $SERVE);
}

# What each process has logged: the manager, then the workers.
sub calls_of_hooks {
    my ($daemon, @workers) = @_;
    my (%calls, $log);
    $log = $daemon->log;
    push @{ $calls{$2} }, $1 while $log =~ /^hook: (.*) in (\d+)$/gm;
    return map { join ' ', @{ $calls{$_} || [] } } $daemon->pid, @workers;
}

my $AT_FORK = <<'HOOKS';
BEGIN {
    require POSIX::AtFork;
    POSIX::AtFork::pthread_atfork(map { my $when = $_; sub { print STDERR "hook: $when $_[0] in $$\n" } } qw(before parent child));
}
HOOKS

my $GLOBAL = <<'HOOKS';
BEGIN {
    no warnings 'once';
    *CORE::GLOBAL::fork = sub {
        print STDERR "hook: before fork in $$\n";
        my $pid = CORE::fork;
        my $who = $pid ? 'parent' : 'child';
        print STDERR "hook: $who fork in $$\n";
        return $pid;
    };
}
HOOKS

for my $case (
    [ 'POSIX::AtFork, the original', hooks => $AT_FORK ],
    [ 'POSIX::AtFork',               hooks => $AT_FORK, compat => 1 ],
    [ 'POSIX::AtFork loaded later', late => $AT_FORK =~ s/\bBEGIN //r, compat => 1 ],
    [ 'CORE::GLOBAL::fork, the original', hooks => $GLOBAL ],
    [ 'CORE::GLOBAL::fork',               hooks => $GLOBAL, compat => 1 ],
    [ 'CORE::GLOBAL::fork set later', late => $GLOBAL =~ s/\bBEGIN //r, compat => 1 ],
    )
{
    my ($name, %with) = @$case;
    my $daemon = hooked(%with);
    my $manager = $daemon->pid;
    # The last line of both processes after each fork.
    $daemon->wait_for(qr/^FastCGI: (?:manager \(pid \d+\): server \(pid \d+\) started|server \(pid \d+\): initialized)$/) for 1 .. 6;
    my @workers = $daemon->log =~ /^FastCGI: server \(pid (\d+)\): initialized$/mg;
    is_deeply([ sort { $a <=> $b } one_for_each($daemon, 3) ], [ sort { $a <=> $b } @workers ], "$name: each worker serves");
    is_deeply([ calls_of_hooks($daemon, @workers) ], [ join(' ', ('before fork', 'parent fork') x 3), ('child fork') x 3 ], "$name: each fork is seen")
        or diag($daemon->log);
    stops_cleanly($name, $daemon, !$with{compat});
}

# Buffered output from before the fork is printed once.
for my $way (sort keys %WAYS) {
    my $file = File::Temp->new;
    my $daemon = Daemon->start(
        text => "open my \$out, '>>', '$file'; print {\$out} qq{once\\n}; print qq{once\\n};\n$HEAD$SERVE",
        environment => $WAYS{$way},
        own_group   => 1,
    );
    one_for_each($daemon, 3);
    my $stdout = $daemon->stdout;
    stops_cleanly("buffers ($way)", $daemon, $way eq 'original');
    is($stdout, "once\n", "buffers ($way): STDOUT");
    open my $read, '<', $file or die $!;
    is(join('', <$read>), "once\n", "buffers ($way): a file");
}

# Forks that fail. Each case is a CORE::GLOBAL::fork that does something in its first call.

sub failing {
    my ($first, %with) = @_;
    return daemon(
        options => 'n_processes => 1',
        %with,
        before => "my \$count = 0; { no warnings; *CORE::GLOBAL::fork = sub { if (!\$count++) { $first } CORE::fork } }\n" . ($with{before} // ''),
    );
}

# A worker serves, and TERM stops the manager.
sub works {
    my ($name, $daemon) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $worker = worker_of($daemon->ask);
    like($worker, qr/\A\d+\z/, "$name: then a worker serves");
    is_deeply([ map { $_->{pid} } @{ status($daemon)->{workers} } ], [$worker], "$name: it is the manager's worker");
    is($daemon->stop, 0, "$name: TERM stops it") or diag($daemon->log);
    return $worker;
}

sub lives {
    my ($pid) = @_;
    open my $file, '<', "/proc/$pid/stat" or return 0;
    return (readline($file) // 'Z') !~ /\A\d+ \(.*\) Z/s;
}

for my $case (
    [ 'fork returns undef', '$! = Errno::EAGAIN(); return', qr/^FastCGI: manager \(pid \d+\): fork of a worker: Resource temporarily unavailable \(os error 11\); trying again in 1s$/ ],
    [ 'it sets no errno', '$! = 0; return', qr/: fork of a worker: Resource temporarily unavailable \(os error 11\); trying again in 1s$/ ],
    [ 'it dies', 'die "broken\n"', qr/: fork died: broken$/, qr/: fork of a worker: Operation canceled \(os error 125\); trying again in 1s$/ ],
    [ 'it returns the pid of another process', 'return getppid', qr/: fork: argument pid: \d+ is not a child of this process/, qr/: fork of a worker: No child processes \(os error 10\)/ ],
    [ 'it returns 0 in the manager', 'return 0', qr/: fork: argument pid: 0 in the manager/, qr/: fork of a worker: No child processes \(os error 10\)/ ],
    [ 'it returns text', 'return "later"', qr/: fork: argument pid: 0 in the manager/ ],
    )
{
    my ($name, $first, @lines) = @$case;
    my $daemon = failing($first);
    $daemon->wait_for($_) for @lines;
    pass("$name: it is logged");
    works($name, $daemon);
}

{
    my $daemon = failing('my $pid = CORE::fork; die "broken in $pid\n" if $pid; return $pid');
    my $stray = $daemon->wait_for(qr/: fork died: broken in (\d+)$/);
    local $SIG{ALRM} = sub { die "$stray is still there" };
    alarm 30;
    1 while lives($stray);
    alarm 0;
    pass('fork dies after it has created a child: the child exits');
    isnt(works('fork dies after it has created a child', $daemon), $stray, 'the child did not serve');
}

{
    my $daemon = failing('my $pid = CORE::fork; die "broken in $$\n" if !$pid; return $pid');
    my $first = $daemon->wait_for(qr/^broken in (\d+)$/);
    $daemon->wait_for(qr/^FastCGI: manager \(pid \d+\): server \(pid $first\) exited with status \d*[1-9]/);
    pass('fork dies in the child: the worker exits');
    works('fork dies in the child', $daemon);
}

# Signals between the fork and the report to the library.

{
    my $daemon = failing('my $pid = CORE::fork; kill TERM => $$ if !$pid; return $pid');
    $daemon->wait_for(qr/^FastCGI: manager \(pid \d+\): server \(pid \d+\) exited with status 0$/);
    pass('a worker that receives TERM there exits like any other');
    works('TERM in the child', $daemon);
}

{
    my $daemon = failing('my $pid = CORE::fork; kill TERM => $$ if $pid; return $pid');
    is($daemon->ended, 0, 'a manager that receives TERM there stops');
    like($daemon->log, qr/received signal TERM\n(?:.*\n)*.*server \(pid \d+\) exited with status 0\n/, 'with its worker')
}

{
    my $daemon = failing(
        'my $pid = CORE::fork; kill USR1 => $$ if $pid; print STDERR "forked\n" if $pid; return $pid',
        before => '$SIG{USR1} = sub { print STDERR "USR1 in $$\n" };',
    );
    $daemon->wait_for(qr/^forked$/);
    is($daemon->wait_for(qr/^USR1 in (\d+)$/), $daemon->pid, "a handler of the program runs after the fork");
    works("a handler of the program", $daemon);
}

# A program's own handler of USR1, when the signal arrives at any time around a fork: while it runs,
# no signal is blocked except USR1, which perl itself blocks. So none is blocked in END or in a
# program that it starts.

my $MASK = <<'MASK';
our $pid = $$;
sub blocked { open my $file, '<', '/proc/self/status' or die; return grep { s/^SigBlk:\s*//a && chomp } <$file> }
sub is_free { my ($mask) = blocked(); return $mask =~ /\A0+(?:200)?\z/ ? 'nothing blocked' : "blocked: $mask" }
END { print STDERR "END in $$: ${\ is_free()}\n" if $$ == $pid }
{ package Noted; our @ISA = 'FCGIPM::ProcManager'; our $it; sub new { my $class = shift; $it = $class->SUPER::new(@_) } }
MASK

sub handling {
    my ($handler, %with) = @_;
    my $before = "$MASK\n\$SIG{USR1} = sub { $handler };\n" . ($with{before} // '');
    my $daemon = daemon(class => 'Noted', options => 'n_processes => 1', %with, before => $before);
    $daemon->wait_for(qr/server \(pid \d+\): initialized$/);
    return $daemon;
}

# Makes the manager fork, and sends it USR1 after $delay microseconds.
sub disturb {
    my ($daemon, $delay) = @_;
    $daemon->signal('TTIN');
    my $until = Time::HiRes::time() + $delay / 1e6;
    1 while Time::HiRes::time() < $until;
    $daemon->signal('USR1');
    return;
}

# Runs the handler after each of these delays, and returns the different lines that it has printed.
sub lines_of_handler {
    my ($daemon, @delays) = @_;
    my %said;
    for my $delay (@delays) {
        disturb($daemon, $delay);
        # The handler's line and the worker's, in any order.
        $daemon->wait_for(qr/^USR1: |server \(pid \d+\): initialized$/) for 1, 2;
        $daemon->signal('TTOU');
        $daemon->wait_for(qr/server \(pid \d+\) exited with status 0$/);
    }
    my $log = $daemon->log;
    $said{$1}++ while $log =~ /^USR1: (.*)$/gm;
    return [ sort keys %said ];
}

for my $case (
    [ 'that returns', 'print STDERR "USR1: ${\ is_free()}\n"', 'nothing blocked', map { 4 * $_ } 0 .. 99 ],
    [ 'that starts a program', 'system q{echo USR1: $(grep SigBlk /proc/self/status) >&2}', "SigBlk: 0000000000000200", map { 20 * $_ } 0 .. 19 ],
    )
{
    my ($name, $handler, $wanted, @delays) = @$case;
    my $daemon = handling($handler);
    is_deeply(lines_of_handler($daemon, @delays), [$wanted], "a handler $name: no signal is blocked");
    works("a handler $name", $daemon);
}

for my $case (
    # die exits with errno, if it is set (perldoc -f die).
    [ 'that dies',             'die "a handler dies\n"',      undef,    qr/^a handler dies\n(?:.*\n)*END in \d+: nothing blocked$/m ],
    [ 'that exits',            'exit 3',                      3 << 8,   qr/^END in \d+: nothing blocked$/m ],
    [ 'that calls pm_die',     '$Noted::it->pm_die("enough")', 0,       qr/: dying: enough\nEND in \d+: nothing blocked$/m ],
    [ 'that calls pm_abort',   '$Noted::it->pm_abort("enough")', 1 << 8, qr/: enough\nEND in \d+: nothing blocked$/m ],
    [ 'that becomes a program', 'exec "grep", "SigBlk", "/proc/self/status"', 0, qr/\A/, "SigBlk:\t0000000000000200\n" ],
    )
{
    my ($name, $handler, $status, $line, $stdout) = @$case;
    for my $delay (map { 70 * $_ } 0 .. 5) {
        my $daemon = handling($handler);
        disturb($daemon, $delay);
        my $ended = $daemon->ended;
        defined $status ? is($ended, $status, "a handler $name, after $delay us") : isnt($ended, 0, "a handler $name, after $delay us");
        like($daemon->log, $line, 'no signal is blocked');
        unlike($daemon->log, qr/waits for what|canceled/, 'nothing is logged about the fork');
        is($daemon->stdout, $stdout // '', 'the program has the right signal mask') if $stdout;
    }
}

# Signals that arrive in a hook around the fork are handled after the hook.
{
    my $daemon = failing(
        'my $pid = CORE::fork; kill USR1 => $$; for (1 .. 3) { } print STDERR "hook of $$ is over\n"; return $pid',
        before => "$MASK\n" . '$SIG{USR1} = sub { print STDERR "USR1 in $$: ${\ is_free()}\n" };',
        class  => 'Noted',
    );
    $daemon->wait_for(qr/^USR1 in \d+: /) for 1, 2;
    my ($first, $manager) = ($daemon->log =~ /^hook of (?!${\ $daemon->pid} )(\d+) is over$/m, $daemon->pid);
    like($daemon->log, qr/^hook of $_ is over\n(?:.*\n)*USR1 in $_: nothing blocked\n/m, "a signal in a hook is handled after it in $_")
        for $manager, $first;
    works('signals in hooks', $daemon);
}

for my $case (
    [ 'the manager', 'exit 3' ],
    [ 'a worker', 'my $pid = CORE::fork; if (!$pid) { $main::pid = $$; exit 3 } return $pid' ],
    )
{
    my ($who, $first) = @$case;
    my $daemon = failing($first, before => $MASK, class => 'Noted');
    $daemon->wait_for(qr/^END in \d+: nothing blocked$/);
    pass("a hook that exits in $who: no signal is blocked in END");
    if   ($who eq 'the manager') { is($daemon->ended, 3 << 8, 'it exits') }
    else                         { works("a hook that exits in $who", $daemon) }
}

done_testing;
