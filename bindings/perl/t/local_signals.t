use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Compat;
use Program;
use Workers;

# Whatever a program does to %SIG in a request, its manager reaches the worker: it leaves at once where it would be killed
# after die_timeout otherwise, which is longer than a test waits.

my %DOES = (
    'all of %SIG localised (CGI::Compile)' => 'local @SIG{keys %SIG} = do { @{[]} = values %SIG };',
    'a new %SIG'          => 'local %SIG;',
    'a copy of %SIG'      => 'local %SIG = %SIG;',
    'URG by default'      => '$SIG{URG} = "DEFAULT";',
    'URG ignored'         => '$SIG{URG} = "IGNORE";',
    'URG deleted'         => 'delete $SIG{URG};',
    'URG undefined'       => 'undef $SIG{URG};',
    'URG localised'       => 'local $SIG{URG};',
    'URG localised twice' => 'local $SIG{URG} = sub { }; { local $SIG{URG} = "IGNORE" }',
    '%SIG cleared'        => '%SIG = ();',
    'URG of its own'      => '$SIG{URG} = sub { };',
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
        is($daemon->wait_for(qr/server \(pid $old\) exited with status (\d+)/), 0, "$name: HUP reaches the worker");
        my $new = served($name, $daemon);
        is($daemon->stop, 0, "$name: and so does TERM");
        unlike($daemon->log, qr/kill/, "$name: nobody was killed");
    }

    # Without the manager's help: TERM from elsewhere, and its death.
    for my $what (grep { !/cleared/ } sort keys %DOES) {
        my $name = "$what, FCGIPM_XS=$xs";
        my $daemon = daemon(%with, page => "{ $DOES{$what} }");
        my $old = served($name, $daemon);
        kill TERM => $old;
        is($daemon->wait_for(qr/server \(pid $old\) exited with status (\d+)/), 0, "$name: TERM to the worker");
        my $new = served($name, $daemon);
        kill KILL => $daemon->pid;
        # The log is at its end when the worker is gone.
        is($daemon->ended, 9, "$name: the manager's death reaches the worker");
    }

    # Within the request that has localised them, its signals are the worker's, too.
    my $daemon = daemon(%with, page => q{local @SIG{keys %SIG} = do { @{[]} = values %SIG }; kill TERM => $$; print 'on'});
    my $answer = $daemon->ask;
    like($answer->{stdout}, qr/on\z/, "TERM within a request waits for its end, FCGIPM_XS=$xs");
    is($daemon->wait_for(qr/server \(pid @{[ worker_of($answer) ]}\) exited with status (\d+)/), 0, 'and ends the worker then');
    $daemon->stop;

    # What the program handles itself stays its own.
    $daemon = daemon(%with, page => q{if ($_[0] eq 'set') { $SIG{TERM} = sub { $main::terms++ }; $SIG{URG} = sub { $main::urgs++ } }
        else { local @SIG{keys %SIG} = do { @{[]} = values %SIG }; kill $_ => $$ for qw(TERM URG) } print "$main::terms/$main::urgs"},
        before => 'our ($terms, $urgs) = (0, 0);');
    like($daemon->ask(params => [ ASK => 'set' ])->{stdout}, qr{ 0/0\z}, "handlers of the program's, FCGIPM_XS=$xs");
    like($daemon->ask->{stdout}, qr{ $_/$_\z}, "are called: $_") for 1 .. 3;
    is($daemon->stop, 0, 'the manager reaches the worker nevertheless');

    # Who wants to know of interruptions hears of no kick.
    $daemon = daemon(%with, page => "{ $DOES{'a copy of %SIG'} }", before => q{$request = FCGIPM::Request(\*STDIN, \*STDOUT, \*STDERR, \%ENV, $socket, FCGIPM::FAIL_ACCEPT_ON_INTR);});
    my $worker = served("interrupted, FCGIPM_XS=$xs", $daemon);
    for (1 .. 3) {
        kill URG => $worker;
        Program::wait_until_idle($worker);
        is(served("interrupted, FCGIPM_XS=$xs", $daemon), $worker, 'by the same worker');
    }
    is($daemon->stop, 0, 'until it stops');
}

# Under `fcgipm run`, where the program has no manager of its own.
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
            is($daemon->stop, 0, "$name: stopped");
            unlike($daemon->log, qr/kill|signal/i, "$name: nobody was killed");
        }
    }
}

done_testing;
