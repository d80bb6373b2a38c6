package FCGIPM::ProcManager::Signals;

# Signals as the manager's methods and a program's own handlers see them. The library handles them
# itself, in the manager and in the workers.

use strict;
use warnings;

use FCGIPM::Library;
use FCGIPM::Request::Loop;
use FCGIPM::Signals;

our $VERSION = '0.1.0';

# Signals that ask a worker to exit.
my @RETIRING = qw(TERM HUP INT QUIT);

# Signals that the library handles in a manager, and those of them for which it calls the program's
# handler, if there is one.
my @MANAGED = qw(TERM INT QUIT HUP TTIN TTOU USR1 USR2);
my @PROGRAMS = qw(INT QUIT TTIN TTOU USR1 USR2);

# FCGI::ProcManager's variable and function: what a signal's handler calls.
our $SIG_CODEREF;

sub sig_sub {
    $SIG_CODEREF->(@_) if ref $SIG_CODEREF;
    return;
}

# A worker's placeholder in %SIG (FCGIPM::Signals).
sub retire {
    sig_sub(@_);
    FCGIPM::Library::worker_retire();
    return;
}

# Subclasses install handlers with it. Signals that the library handles are left to it, except USR2,
# which means nothing to FCGI::ProcManager: a subclass that wants it has a use of its own for it.
sub set_handler {
    my ($pm, $signal, $restart) = @_;
    if ($pm->{library_manager} && $signal eq 'USR2') { $pm->{has_handlers} = $pm->{has_own_usr2} = 1 }
    else { return if grep { $signal eq $_ } $pm->{library_manager} ? @MANAGED : @RETIRING }
    require POSIX;
    my $action = POSIX::SigAction->new('FCGIPM::ProcManager::sig_sub', undef, $restart ? POSIX::SA_RESTART() : 0);
    my $number = do { no strict 'refs'; &{"POSIX::SIG$signal"}() };
    POSIX::sigaction($number, $action) or $pm->pm_warn("sigaction: SIG$signal: $!");
    return;
}

# In the manager.

# Installs perl's handlers again, which the library's have replaced: the program's own, and, for a
# subclass with its own pm_wait, those that end its wait.
sub init_manager {
    my ($pm) = @_;
    return if $pm->no_signals;
    my @programs = grep { FCGIPM::Signals::has_handler($_) } @PROGRAMS;
    FCGIPM::Signals::reinstall($_) for @programs;
    $pm->{has_handlers} = $pm->{has_own_wait} || @programs;
    return if !$pm->{has_own_wait};
    my %is_programs = map { $_ => 1 } @programs;
    for my $name (grep { !$is_programs{$_} } @MANAGED) {
        $SIG{$name} = sub { $pm->{is_waiting} ? sig_sub($name) : send_to_library($pm, $name) };
    }
    return;
}

sub send_to_library {
    my ($pm, $name) = @_;
    return FCGIPM::Library::manager_signal($pm->{library_manager}, FCGIPM::Signals::number_of($name));
}

# The library acts on the signal; this only reports it. Except while a subclass's own pm_wait waits:
# it expects that the workers exit, and so HUP sends them TERM, as in FCGI::ProcManager.
sub received_by_manager {
    my ($pm, $name) = @_;
    if ($name eq 'HUP') {
        my @pids = $pm->{is_waiting} ? grep { _is_child($_) } sort { $a <=> $b } keys %{ $pm->{PIDS} } : ();
        return if !@pids;    # the reload logs its own events
        $pm->pm_notify("sending TERM to PIDs, @pids");
        kill TERM => @pids;
        return;
    }
    my $is_used = $name =~ /\A(?:TERM|INT|QUIT|TTIN|TTOU)\z/ || $name eq 'USR2' && !$pm->{has_own_usr2};
    $pm->pm_notify(($is_used ? 'received' : 'ignoring') . " signal $name");
    if ($name =~ /\A(?:TERM|INT|QUIT)\z/ && !$pm->{stop_signal}) {
        $pm->{stop_signal} = $name;
        $pm->pm_die("safe exit from signal $name");
    }
    return;
}

# A worker that has been reaped is in PIDS until its exit is reported, and its pid may be another
# process's by then. The pid of a child cannot, because only this process reaps it.
sub _is_child {
    my ($pid) = @_;
    open my $file, '<', "/proc/$pid/stat" or return 0;
    my ($parent) = (scalar(<$file>) || '') =~ /\A\d+ \(.*\) [A-Z] (\d+)/s;
    return defined $parent && $parent == $$;
}

# In a worker.

sub init_worker {
    my ($pm) = @_;
    $SIG_CODEREF = sub { $pm->sig_handler(@_) };
    # The program's own handlers for INT and QUIT are called instead of the library's.
    my %is_programs = map { $_ => 1 } grep { FCGIPM::Signals::has_handler($_) } qw(INT QUIT);
    FCGIPM::Signals::install($_, \&retire) for grep { !$is_programs{$_} } @RETIRING;
    FCGIPM::Signals::reinstall($_) for keys %is_programs;
    # A worker that waits for a request learns of the signal when the wait ends.
    $FCGIPM::Request::Loop::on_retired = sub { sig_sub('TERM') if !$pm->{SIG_RECEIVED} };
    return;
}

1;
