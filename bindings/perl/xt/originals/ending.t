use strict;
use warnings;
use lib qw(t/lib xt/lib);
use Test::More;
use Program;
use SameProgram;

# The request and the process when a program ends in the middle, or a signal arrives.

my %ENDINGS = (
    'die'                       => q{print "before\n"; die "the end\n"; },
    'die without a newline'     => q{print "before\n"; die "the end"; },
    'die with an object'        => q{{ package Trouble; use overload '""' => sub { "trouble\n" } } print "before\n"; die bless {}, 'Trouble'; },
    'die with a status'         => q{print "before\n"; $! = 7; die "the end\n"; },
    'die with a handler'        => q{local $SIG{__DIE__} = sub { print "handler: @_" }; die "the end\n"; },
    'die after close STDERR'    => q{print "before\n"; close STDERR; die "lost\n"; },
    'die after Finish'          => q{print "before\n"; $request->Finish; die "to the process\n"; },
    'die while detached'        => q{print "lost\n"; $request->Detach; die "to the process\n"; },
    'exit'                      => q{print "before\n"; exit;},
    'exit with a status'        => q{print "before\n"; exit 3;},
    'exit with much output'     => q{print 'x' x 100_000; exit 3;},
    'exit in a subroutine'      => q{sub leave { print "before\n"; exit 4 } leave();},
    'exit in eval'              => q{eval { print "before\n"; exit 5 };},
    'last'                      => q{print "before\n"; last;},
    'an undefined subroutine'   => q{print "before\n"; no_such_thing();},
    'a warning, then exit'      => q{warn "a warning\n"; exit;},
    'a request left unread'     => q{exit;},
);

for my $name (sort keys %ENDINGS) {
    # One request, because a second connection would reach a process that is about to exit. A die
    # exits with $!, which Accept may have set.
    same($name, loop => '$! = 0; ' . $ENDINGS{$name}, requests => [ { stdin => "body\n" } ]);
}

same('END blocks write to the response', loop => q{print "before\n"; exit 3;}, before => q{END { print "END block, $?\n"; print STDERR "its error\n" }});
same('END blocks after a die', loop => q{$! = 0; print "before\n"; die "the end\n";}, before => q{END { print "END block, $?\n"; $? = 9 }});
same('destructors write to the response', loop => q{print "before\n"; my $o = bless [], 'O'; exit;},
    before => q{sub O::DESTROY { print "destructor\n" }});
same('a request in a package variable', text => <<'PROGRAM');
use strict; use warnings; use FCGI;
our $request = FCGI::Request();
$request->Accept;
print "before\n";
exit 3;
PROGRAM
same('a request in an object', text => <<'PROGRAM');
use strict; use warnings; use FCGI;
our $application = bless { request => FCGI::Request() }, 'Application';
$application->{request}->Accept;
print "before\n";
$! = 0;
die "the end\n";
PROGRAM
same('a request in a closure that keeps itself', text => <<'PROGRAM');
use strict; use warnings; use FCGI;
my $request = FCGI::Request();
my $run; $run = sub { my $keep = $run; $request->Accept; print "before\n"; exit 2 };
$run->();
PROGRAM

# Signals while the program waits for a request.

sub signalled {
    my ($flags, $handler) = @_;
    return <<"PROGRAM";
use strict; use warnings; use FCGI; use Errno;
\$SIG{USR1} = sub { $handler };
my \$request = FCGI::Request(\\*STDIN, \\*STDOUT, \\*STDERR, {}, 0, $flags);
my \$result;
while ((\$result = \$request->Accept) >= 0) { print "served\\n"; }
print "result \$result, ", \$!{EINTR} ? 'EINTR' : \$! + 0, "\\n";
PROGRAM
}

my $signal_when_idle = sub {
    my ($socket, $pid) = @_;
    my $response = FastCGIClient->ask($socket);
    Program::wait_until_idle($pid);
    kill USR1 => $pid;
    return $response;
};

same('FAIL_ACCEPT_ON_INTR', text => signalled('FCGI::FAIL_ACCEPT_ON_INTR', 'print STDOUT "handler\n"'), requests => [$signal_when_idle]);
same('a die in the handler', text => signalled('FCGI::FAIL_ACCEPT_ON_INTR', '$! = 0; die "in the handler\n"'), requests => [$signal_when_idle]);
same('a die in the handler, caught', requests => [$signal_when_idle], text => <<'PROGRAM');
use strict; use warnings; use FCGI;
$SIG{USR1} = sub { die "in the handler\n" };
my $request = FCGI::Request();
my $n = 0;
while (eval { $request->Accept } // -1) { last }
print "served\n";
eval { $request->Accept; 1 } or print "caught: $@";
PROGRAM
same('LastCall in a handler', text => signalled('FCGI::FAIL_ACCEPT_ON_INTR', '$request->LastCall') =~ s/(?=\$SIG)/our \$request; /r =~ s/my (?=.request =)//r,
    requests => [$signal_when_idle]);

# Intended difference: without the flag the handler runs immediately, and the program continues to
# wait.
{
    my $text = signalled(0, 'print STDOUT "handler\n"; exit');
    $text =~ s/\bFCGI\b/FCGIPM/g;
    my $outcome = Program::run(text => $text, requests => [$signal_when_idle]);
    is($outcome->{stdout}, "handler\n", 'without FAIL_ACCEPT_ON_INTR a handler runs while Accept waits');
    is($outcome->{status}, 0, 'and may exit');
}

# Intended difference: a child that was forked during a request exits without touching the
# connection.
{
    my $text = loop_of(<<'STATEMENTS', 2);
        print "from the parent\n";
        my $pid = fork;
        if (!$pid) { print "from the child\n" x 10_000; exit 0 }
        waitpid $pid, 0;
        print "child ended with $?\n";
STATEMENTS
    $text =~ s/\bFCGI\b/FCGIPM/g;
    my $outcome = Program::run(text => $text, requests => [ {}, {} ]);
    for my $response (@{ $outcome->{responses} }) {
        is($response->{stdout}, "from the parent\nchild ended with 0\n", 'a child exits without touching the connection');
        is($response->{ended}, 1, 'and the parent ends the request');
    }
}

done_testing;
