use strict;
use warnings;
use lib qw(t/lib xt/lib);
use Test::More;
use Program;
use SameProgram;

# Subclasses of the manager, and what a program does to it while it runs.

sub lines_of {
    my ($text, %with) = @_;
    my $outcomes = SameProgram::outcomes(ways => ['compat'], requests => [], %with,
        text => "use strict; use warnings; use FCGI::ProcManager; use POSIX ();\n$text\n");
    for my $outcome (values %$outcomes) {
        $outcome->{stderr} = [ lines_of_log($outcome->{stderr}) ];
        $outcome->{stdout} = [ sort split /^/, $outcome->{stdout} ];
    }
    return $outcomes;
}

sub same_log {
    my ($name, $text, %with) = @_;
    my $contains = delete $with{contains};
    my $outcomes = lines_of($text, %with);
    is_deeply($outcomes->{compat}, $outcomes->{original}, $name) or diag(explain($outcomes));
    like(join('', @{ $outcomes->{original}{stderr} }), $contains, "$name: the program prints what it should") if $contains;
    return;
}

sub managed { my ($class, $parameters) = @_; return "\n$IDLE my \$pm = $class->new({ $parameters }); \$pm->pm_manage;\n" }

# Accessors.

same_log('n_processes is a method', '{ package Mine; our @ISA = "FCGI::ProcManager"; sub n_processes { 1 } }' . managed('Mine', '') . $STOP,
    contains => qr/server \(pid N\) started/);
same_log('pid_fname is a method', '{ package Mine; our @ISA = "FCGI::ProcManager"; sub pid_fname { "mine" } }' . managed('Mine', 'n_processes => 1')
    . 'print STDERR -s "mine" ? "written\n" : "not written\n";' . $STOP, contains => qr/^written$/m);
same_log('no_signals is a method', '{ package Mine; our @ISA = "FCGI::ProcManager"; sub no_signals { 1 } }' . managed('Mine', 'n_processes => 1')
    . 'print STDERR defined $SIG{TERM} && length $SIG{TERM} ? "set\n" : "unset\n"; idle(getppid); kill KILL => getppid; exit;', contains => qr/^unset$/m);
same_log('role is a method', '{ package Mine; our @ISA = "FCGI::ProcManager"; sub role { "mine" } }' . managed('Mine', 'n_processes => 1') . $STOP,
    contains => qr/FastCGI: mine \(pid N\)/);

# Parameters.

same_log('the program\'s own parameters', managed('FCGI::ProcManager', 'n_processes => 1, user => "nobody", max_memory => "lots", chroot => "/", '
    . 'request_timeout => "never", pm => "mine", log => undef, max_requests => 1, idle_timeout => []')
    . 'print STDERR "$pm->{user} $pm->{max_memory} $pm->{request_timeout} $pm->{pm} $< ", $pm->pm_parameter("max_requests"), "\n";' . $STOP,
    contains => qr/^nobody lots never mine /m);
same_log("a number as perl reads it: $_->[0]", managed('FCGI::ProcManager', "n_processes => $_->[0], die_timeout => $_->[1], start_delay => $_->[2]")
    . 'no warnings; print STDERR $pm->n_processes, $pm->die_timeout, $pm->start_delay, "\n";' . $STOP)
    for [ '"1\n"', '"20 s"', '""' ], [ '" 1"', '20.5', '-1' ], [ '0.5', '"2e1"', '"none"' ], [ '1', 'undef', 'undef' ];

# pm_wait.

same_log('a pm_wait around the original\'s', <<'PROGRAM' . managed('Mine', 'n_processes => 1') . $STOP, contains => qr/^a worker has exited$/m);
{ package Mine; our @ISA = 'FCGI::ProcManager'; my $n = 0;
  sub pm_wait { my $self = shift; my $pid = $self->SUPER::pm_wait; print STDERR "a worker has exited\n" if $pid && !$n++; return $pid }
  sub handling_init { my $self = shift; $self->SUPER::handling_init; exit 3 if !-e 'second' && open my $f, '>', 'second' } }
PROGRAM
# Exits.

same_log('die_timeout passes', managed('FCGI::ProcManager', 'n_processes => 2, die_timeout => 1')
    . '$SIG{TERM} = "IGNORE"; open my $f, ">>", "there"; syswrite $f, "x"; if (sysseek($f, 0, 1) == 2) { idle(getppid); kill TERM => getppid } sleep 1 while 1;',
    contains => qr/wait timeout/);
same_log('a sig_manager that calls pm_die', '{ package Mine; our @ISA = "FCGI::ProcManager"; sub sig_manager { my ($self, $name) = @_; print STDERR "mine $name\n"; $self->pm_die("mine") } }'
    . managed('Mine', 'n_processes => 1') . $STOP, contains => qr/^mine TERM$/m);
# Not the guardian, which only this library has.
same_log('a child that is not a worker', 'if (!fork) { exec "/bin/sleep", "0.1" } ' . managed('FCGI::ProcManager', 'n_processes => 1')
    . 'sub line { open my $f, "<", $_[0] or return ""; return <$f> // "" } sub zombies { grep { line($_) =~ /\\) Z \Q$_[0]\E / } glob "/proc/[0-9]*/stat" } '
    . 'sub children { grep { line($_) =~ /\\A\\d+ \\((?!guardian )[^)]*\\) \\S $_[0] / } glob "/proc/[0-9]*/stat" } '
    . 'select undef, undef, undef, 0.02 while children(getppid) > 1; print STDERR "reaped\n"; ' . $STOP, contains => qr/^reaped$/m);

# Intended differences.

{
    my $outcomes = lines_of(managed('FCGI::ProcManager', 'n_processes => 1') . 'idle(getppid); kill INT => getppid; select undef, undef, undef, 5 while !$pm->pm_received_signal("TERM") && getppid != 1; $pm->pm_post_dispatch; exit');
    is($outcomes->{original}{status} & 127, 2, 'the original: INT kills a manager that has no handler');
    is($outcomes->{compat}{status}, 0, 'intended difference: here it stops');
}

# A worker that waits for a request when the manager stops.
{
    my $text = 'use strict; use warnings; use FCGI; use FCGI::ProcManager; { package Mine; our @ISA = "FCGI::ProcManager"; sub sig_handler { my ($self, $name) = @_; print STDERR "received $name\n"; $self->SUPER::sig_handler($name) } }'
        . 'my $request = FCGI::Request(); my $pm = Mine->new({ n_processes => 1 }); $pm->pm_manage; while ($request->Accept >= 0) { $pm->pm_pre_dispatch; print $$; $pm->pm_post_dispatch }';
    my $outcomes = SameProgram::outcomes(ways => ['compat'], text => $text, signal_at_end => 'TERM', requests => [ sub {
        my ($socket, $pid) = @_;
        my $response = FastCGIClient->ask($socket);
        Program::wait_until_idle($_) for $response->{stdout}, $pid;
        return;
    } ]);
    like($outcomes->{$_}{stderr}, qr/^received TERM$/m, "sig_handler is called in a worker that waits ($_)") for qw(original compat);
}

done_testing;
