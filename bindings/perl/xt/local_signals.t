use strict;
use warnings;
use lib qw(t/lib xt/lib);
use Test::More;
use Compat;
use Program;
use Workers;

# Whatever a program does to %SIG in a request, the manager can notify its worker: it exits
# promptly. Otherwise it would be killed after die_timeout, which is longer than a test waits.

my %DOES = (
    'all of %SIG localised (CGI::Compile)' => 'local @SIG{keys %SIG} = do { @{[]} = values %SIG };',
    'a new %SIG'          => 'local %SIG;',
    'a copy of %SIG'      => 'local %SIG = %SIG;',
    'URG set to default'      => '$SIG{URG} = "DEFAULT";',
    'URG ignored'         => '$SIG{URG} = "IGNORE";',
    'URG deleted'         => 'delete $SIG{URG};',
    'URG undefined'       => 'undef $SIG{URG};',
    'URG localised'       => 'local $SIG{URG};',
    'URG localised twice' => 'local $SIG{URG} = sub { }; { local $SIG{URG} = "IGNORE" }',
    '%SIG cleared'        => '%SIG = ();',
    'a handler for URG'      => '$SIG{URG} = sub { };',
    'POSIX::sigaction'    => 'require POSIX; POSIX::sigaction(POSIX::SIGURG(), POSIX::SigAction->new("DEFAULT"));',
    'TERM localised'      => 'local $SIG{TERM} = "IGNORE"; local $SIG{HUP};',
);
my $OPTIONS = 'n_processes => 1, die_timeout => 3600';

sub served {
    my ($name, $daemon, %request) = @_;
    my $worker = worker_of($daemon->ask(%request));
    ok($worker, "$name: served");
    Program::wait_until_idle($worker);
    return $worker;
}

for my $xs (1, 0) {
    my %with = (options => $OPTIONS, environment => { FCGIPM_XS => $xs });
    for my $what (sort keys %DOES) {
        my $name = "$what, FCGIPM_XS=$xs";
        my $daemon = daemon(%with, page => "{ $DOES{$what} }");
        my $old = served($name, $daemon);
        $daemon->signal('HUP');
        is($daemon->wait_for(qr/server \(pid $old\) exited with status (\d+)/), 0, "$name: HUP retires the worker");
        my $new = served($name, $daemon);
        is($daemon->stop, 0, "$name: TERM stops it");
        unlike($daemon->log, qr/kill/, "$name: no worker was killed");
    }

    # Without the manager: TERM from another process, and the manager's death.
    for my $what (grep { !/cleared/ } sort keys %DOES) {
        my $name = "$what, FCGIPM_XS=$xs";
        my $daemon = daemon(%with, page => "{ $DOES{$what} }");
        my $old = served($name, $daemon);
        kill TERM => $old;
        is($daemon->wait_for(qr/server \(pid $old\) exited with status (\d+)/), 0, "$name: a worker that receives TERM exits");
        my $new = served($name, $daemon);
        kill KILL => $daemon->pid;
        # The log ends when the worker has exited.
        is($daemon->ended, 9, "$name: the worker exits after the death of the manager");
    }

    # In the request that has localised the handlers, signals are handled as usual.
    my $daemon = daemon(%with, page => q{local @SIG{keys %SIG} = do { @{[]} = values %SIG }; kill TERM => $$; print 'on'});
    my $answer = $daemon->ask;
    like($answer->{stdout}, qr/on\z/, "TERM during a request waits for its end, FCGIPM_XS=$xs");
    is($daemon->wait_for(qr/server \(pid @{[ worker_of($answer) ]}\) exited with status (\d+)/), 0, 'and then ends the worker');
    $daemon->stop;

    # Handlers that the program installs are kept.
    $daemon = daemon(%with, page => q{if ($_[0] eq 'set') { $SIG{TERM} = sub { $main::terms++ }; $SIG{URG} = sub { $main::urgs++ } }
        else { local @SIG{keys %SIG} = do { @{[]} = values %SIG }; kill $_ => $$ for qw(TERM URG) } print "$main::terms/$main::urgs"},
        before => 'our ($terms, $urgs) = (0, 0);');
    like($daemon->ask(params => [ ASK => 'set' ])->{stdout}, qr{ 0/0\z}, "handlers of the program, FCGIPM_XS=$xs");
    like($daemon->ask->{stdout}, qr{ $_/$_\z}, "are called: $_") for 1 .. 3;
    is($daemon->stop, 0, 'the manager can stop the worker nevertheless');

    # With FAIL_ACCEPT_ON_INTR, a notification by the manager does not end Accept.
    $daemon = daemon(%with, page => "{ $DOES{'a copy of %SIG'} }", before => q{$request = FCGIPM::Request(\*STDIN, \*STDOUT, \*STDERR, \%ENV, $socket, FCGIPM::FAIL_ACCEPT_ON_INTR);});
    my $worker = served("interrupted, FCGIPM_XS=$xs", $daemon);
    for (1 .. 3) {
        kill URG => $worker;
        Program::wait_until_idle($worker);
        is(served("interrupted, FCGIPM_XS=$xs", $daemon), $worker, 'the same worker serves');
    }
    is($daemon->stop, 0, 'TERM stops it');
}

# Under `fcgipm run`: the program has no manager of its own.
for my $xs (1, 0) {
    my $text = <<'PROGRAM';
use strict; use warnings; use FCGI;
my $request = FCGI::Request(\*STDIN, \*STDOUT, \*STDERR, \%ENV, 0, FLAGS);
while ($request->Accept >= 0) {
    { local @SIG{keys %SIG} = do { @{[]} = values %SIG }; }
    print "Content-Type: text/plain\r\n\r\nworker $$ ";
}
PROGRAM
    for my $flags (0, 1) {
        (my $program = $text) =~ s/FLAGS/$flags/;
        for my $signal (qw(TERM HUP INT QUIT)) {
            my $name = "fcgipm run, $signal, flags $flags, FCGIPM_XS=$xs";
            my $dir = File::Temp->newdir;
            open my $file, '>', "$dir/program.pl" or die;
            print {$file} $program;
            close $file;
            my $daemon = Daemon->start(address => "$dir/socket", in => "$dir", environment => compat_environment(FCGIPM_XS => $xs),
                command => [ fcgipm(), 'run', '--listen', "$dir/socket", '--n-processes', 1, '--die-timeout', 3600, '--', $^X, 'program.pl' ]);
            $daemon->wait_for(qr/worker \d+ is ready|started/);
            my $old = served($name, $daemon);
            $daemon->signal('HUP');
            $daemon->wait_for(qr/$old.*(?:exited|gone|left)/);
            my $new = served($name, $daemon);
            kill $signal => $new;
            $daemon->wait_for(qr/$new.*(?:exited|gone|left)/);
            served($name, $daemon);
            is($daemon->stop, 0, "$name: TERM stops it");
            unlike($daemon->log, qr/kill|signal/i, "$name: no worker was killed");
        }
    }
}

done_testing;
