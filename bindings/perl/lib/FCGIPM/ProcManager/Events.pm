package FCGIPM::ProcManager::Events;

# Waits for the events of the library's manager, and calls the method of FCGIPM::ProcManager that is
# for each. The library makes the decisions.

use strict;
use warnings;

use POSIX ();

use FCGIPM::Library;
use FCGIPM::ProcManager::Fork;
use FCGIPM::ProcManager::Log;
use FCGIPM::ProcManager::Signals;
use FCGIPM::Signals;

our $VERSION = '0.1.0';

my %ON_EVENT = (
    FCGIPM::Library::EVENT_MANAGING,          \&_managing,
    FCGIPM::Library::EVENT_IN_WORKER,         \&_in_worker,
    FCGIPM::Library::EVENT_WORKER_STARTED,    \&_worker_started,
    FCGIPM::Library::EVENT_WORKER_READY,      sub { },
    FCGIPM::Library::EVENT_WORKER_EXITED,     \&_worker_exited,
    FCGIPM::Library::EVENT_SIGNAL,            \&_signal,
    FCGIPM::Library::EVENT_STOPPING,          \&_stopping,
    FCGIPM::Library::EVENT_STOPPED,           \&_stopped,
    FCGIPM::Library::EVENT_RELOAD_BEGUN,      \&_notify,
    FCGIPM::Library::EVENT_RELOAD_DONE,       \&_notify,
    FCGIPM::Library::EVENT_RELOAD_FAILED,     \&_warn,
    FCGIPM::Library::EVENT_RESIZED,           \&_resized,
    FCGIPM::Library::EVENT_RECYCLING,         \&_notify,
    FCGIPM::Library::EVENT_SLOW_REQUEST,      \&_warn,
    FCGIPM::Library::EVENT_REQUEST_TIMED_OUT, \&_warn,
    FCGIPM::Library::EVENT_KILLING,           \&_killing,
    FCGIPM::Library::EVENT_EMERGENCY,         \&_warn,
    FCGIPM::Library::EVENT_RECOVERED,         \&_notify,
    FCGIPM::Library::EVENT_NOTICE,            \&_warn,
    FCGIPM::Library::EVENT_FORK,              sub { },
);

# In a new worker, leaves whatever method was called in the manager.
our $IN_WORKER = bless [], 'FCGIPM::ProcManager::InWorker';

# Milliseconds of a wait if perl has signal handlers: one may have run just before it began.
use constant HANDLERS_INTERVAL => 1_000;

# Waits for an event of a FCGIPM::ProcManager, calls its method, and returns the event. Returns 0
# when handlers of perl's have run, or may have run, and does not return in a new worker.
sub take {
    my ($pm) = @_;
    my $manager = $pm->{library_manager};
    my $event
        = $pm->{has_handlers} ? FCGIPM::Library::manager_next_within($manager, HANDLERS_INTERVAL)
        :                       FCGIPM::Library::manager_next($manager);
    $event = FCGIPM::ProcManager::Fork::fork_worker($pm) if $event == FCGIPM::Library::EVENT_FORK;
    return 0 if $event == 0 || $event == FCGIPM::Library::EINTERRUPTED;    # perl runs the program's handlers here
    $pm->pm_abort(FCGIPM::Library::last_error_message()) if $event < 0;
    ($ON_EVENT{$event} || \&_notify)->($pm);
    return $event;
}

sub request_stop {
    my ($pm) = @_;
    $pm->{has_requested_stop} = 1;
    return FCGIPM::ProcManager::Signals::send_to_library($pm, 'TERM');
}

# Children of the manager that are not workers: those that existed before the first worker was
# forked. Only these are reaped here, because the library reaps the workers.
sub _note_other_children {
    my ($pm) = @_;
    open my $file, '<', "/proc/self/task/$$/children" or return;
    $pm->{other_children} = { map { $_ => 1 } split ' ', scalar(<$file>) || '' };
    $SIG{CHLD} = sub { } if %{ $pm->{other_children} };    # so that their exit ends the wait
    return;
}

# Reaps one of them: returns its pid, with $? set, or nothing.
sub reap_other_child {
    my ($pm) = @_;
    for my $pid (keys %{ $pm->{other_children} || {} }) {
        my $result = waitpid $pid, POSIX::WNOHANG();
        next if !$result;
        delete $pm->{other_children}{$pid};
        return $pid if $result == $pid;
    }
    return;
}

# The events.

sub _managing {
    my ($pm) = @_;
    FCGIPM::ProcManager::Signals::init_manager($pm);
    $pm->managing_init;
    $pm->pm_notify('initialized');
    _note_other_children($pm);
    $pm->_resize;
    return;
}

sub _worker_started {
    my ($pm) = @_;
    my $pid = FCGIPM::Library::manager_event_pid($pm->{library_manager});
    $pm->{PIDS}{$pid} = { pid => $pid };
    $pm->pm_notify("server (pid $pid) started");
    return;
}

sub _worker_exited {
    my ($pm) = @_;
    my $pid = FCGIPM::Library::manager_event_pid($pm->{library_manager});
    $? = FCGIPM::Library::manager_event_status($pm->{library_manager});
    my $is_known = delete $pm->{PIDS}{$pid};
    my $is_killed = $pm->{has_exceeded_die_timeout} && ($? & 127) == 9;
    local $FCGIPM::ProcManager::Log::PRIORITY = FCGIPM::ProcManager::Log::WARNING if $?;
    $pm->pm_notify("server (pid $pid) " . $pm->_how_ended($?)) if $is_known && !$is_killed;
    return;
}

sub _signal {
    my ($pm) = @_;
    my $name = FCGIPM::Signals::name_of(FCGIPM::Library::manager_event_status($pm->{library_manager}));
    return if $name eq 'TERM' && delete $pm->{has_requested_stop};
    $pm->sig_manager($name);
    return;
}

# Not when the signal arrives: with drain_delay the stop begins later.
sub _stopping {
    my ($pm) = @_;
    $pm->{is_stopping} = 1;
    $pm->pm_remove_pid_file;
    my @pids = sort { $a <=> $b } keys %{ $pm->{PIDS} };
    $pm->pm_notify("sending TERM to PIDs, @pids") if @pids;
    return;
}

sub _stopped {
    my ($pm) = @_;
    FCGIPM::Library::manager_free(delete $pm->{library_manager});
    return;
}

# If a worker is killed while the manager stops, pm_die ends with FCGI::ProcManager's message for
# that.
sub _killing {
    my ($pm) = @_;
    return _warn($pm) if !$pm->{is_stopping};
    $pm->{has_exceeded_die_timeout} = 1;
    return;
}

# Logged unless the program itself has changed the number.
sub _resized {
    my ($pm) = @_;
    return delete $pm->{is_resizing} ? () : _notify($pm);
}

sub _notify {
    my ($pm) = @_;
    my $message = _message($pm);
    local $FCGIPM::ProcManager::Log::PRIORITY = FCGIPM::ProcManager::Log::NOTICE;
    $pm->pm_notify($message) if length $message;    # some events have none
    return;
}

sub _warn    { $_[0]->pm_warn(_message($_[0])); return }
sub _message { return FCGIPM::Library::manager_event_message($_[0]{library_manager}) }

sub _in_worker {
    my ($pm) = @_;
    FCGIPM::ProcManager::Fork::detach_manager($pm);
    local $SIG{__DIE__};
    die $IN_WORKER;
}

1;

__END__

=head1 NAME

FCGIPM::ProcManager::Events - the events of a manager, and the methods that they call

=head1 SYNOPSIS

    #!/usr/bin/perl
    use strict;
    use warnings;
    use FCGIPM;
    use FCGIPM::ProcManager;

    {
        package MyManager;
        our @ISA = 'FCGIPM::ProcManager';
        sub pm_warn {
            my ($self, $message) = @_;
            warn "tell somebody: $message\n" if $message =~ /\A(?:emergency|reload failed)/;
            return $self->SUPER::pm_warn($message);
        }
    }

    my $request = FCGIPM::Request();
    MyManager->new({ n_processes => 5 })->pm_manage();
    while ($request->Accept() >= 0) {
        print "Content-Type: text/plain\r\n\r\nHello from $$\n";
    }

=head1 DESCRIPTION

This module is for L<FCGIPM::ProcManager>, whose methods it calls. A subclass overrides those
methods.

    event                         method
    ----------------------------  ---------------------------------------------------
    the manager is set up         managing_init, then pm_notify('initialized')
    a worker was forked           pm_notify
    a worker is ready             none
    a worker exited               pm_notify, with its wait status in $?
    a signal arrived              sig_manager
    reload begun, reload done     pm_notify
    reload failed                 pm_warn
    number of workers changed     pm_notify for TTIN and TTOU, none if by load
    a worker is recycled          pm_notify
    slow_request reached          pm_warn
    request_timeout reached       pm_warn, and in the worker pm_request_timed_out
    a worker is killed            pm_warn, none while the manager stops
    no worker is ready            pm_warn
    a worker is ready again       pm_notify
    other events worth logging    pm_warn
    workers were asked to exit    pm_remove_pid_file, pm_notify
      because the manager stops
    all workers have exited       pm_exit, from pm_manage
    in a new worker               handling_init, then pm_notify('initialized')

=head1 SEE ALSO

L<FCGIPM::ProcManager>

=cut
