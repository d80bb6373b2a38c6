package FCGIPM::ProcManager::Events;

# What happens to a manager, and which of its methods is told. Nothing here decides anything.

use strict;
use warnings;

use Errno ();
use POSIX ();

use FCGIPM::FFI;
use FCGIPM::Signals;

our $VERSION = '0.1.0';

my %ON_EVENT = (
    FCGIPM::FFI::EVENT_MANAGING,          \&_managing,
    FCGIPM::FFI::EVENT_IN_WORKER,         \&_in_worker,
    FCGIPM::FFI::EVENT_WORKER_STARTED,    \&_worker_started,
    FCGIPM::FFI::EVENT_WORKER_READY,      sub { },
    FCGIPM::FFI::EVENT_WORKER_EXITED,     \&_worker_exited,
    FCGIPM::FFI::EVENT_SIGNAL,            \&_signal,
    FCGIPM::FFI::EVENT_STOPPING,          \&_stopping,
    FCGIPM::FFI::EVENT_STOPPED,           \&_stopped,
    FCGIPM::FFI::EVENT_RELOAD_BEGUN,      \&_news,
    FCGIPM::FFI::EVENT_RELOAD_DONE,       \&_news,
    FCGIPM::FFI::EVENT_RELOAD_FAILED,     \&_trouble,
    FCGIPM::FFI::EVENT_RESIZED,           \&_resized,
    FCGIPM::FFI::EVENT_RECYCLING,         \&_news,
    FCGIPM::FFI::EVENT_SLOW_REQUEST,      \&_trouble,
    FCGIPM::FFI::EVENT_REQUEST_TIMED_OUT, \&_trouble,
    FCGIPM::FFI::EVENT_KILLING,           \&_killing,
    FCGIPM::FFI::EVENT_EMERGENCY,         \&_trouble,
    FCGIPM::FFI::EVENT_RECOVERED,         \&_news,
    FCGIPM::FFI::EVENT_NOTICE,            \&_trouble,
    FCGIPM::FFI::EVENT_FORK,              sub { },
);

# The signals that the library's manager takes, and those of them that are the program's if it has a handler.
my @MANAGED = qw(TERM INT QUIT HUP TTIN TTOU USR1 USR2);
my @PROGRAMS = qw(INT QUIT TTIN TTOU USR1 USR2);
sub managed { return @MANAGED }

# How long a wait lasts, in milliseconds, where a handler of perl's may have run just before it began.
use constant PERLS_SIGNALS => 1_000;

# Waits for something to happen to a FCGIPM::ProcManager, tells the method concerned, and returns what
# it was; 0 or less when perl's handlers have run, or may have. In a worker that begins here it does not return.
sub take {
    my ($pm) = @_;
    my $manager = $pm->{library_manager};
    my $event
        = $pm->{has_handlers} ? FCGIPM::FFI::manager_next_within($manager, PERLS_SIGNALS)
        :                       FCGIPM::FFI::manager_next($manager);
    $event = _fork($pm) if $event == FCGIPM::FFI::EVENT_FORK;
    return 0 if $event == 0 || $event == FCGIPM::FFI::EINTERRUPTED;    # perl runs the program's handlers here
    $pm->pm_abort(FCGIPM::FFI::last_error_message()) if $event < 0;
    ($ON_EVENT{$event} || \&_news)->($pm);
    return $event;
}

# The library asks for a worker. Perl's own fork makes it, so that whatever a program or a profiler has put in its way
# sees it; it flushes every handle, too. While signals are blocked, no handler of the program's may run: it could die, exit,
# stop the manager or start a program. So the library does not block them while perl has one still to run, which perl
# does at each turn of the loop. Until then a fork that is due may be made by a `take` in such a handler, or not at all.
sub _fork {
    my ($pm) = @_;
    local $@;
    my $fork = bless { pm => $pm, owner => $$ }, 'FCGIPM::ProcManager::Events::Fork';
    my $begun = FCGIPM::FFI::EINTERRUPTED;
    while ($begun == FCGIPM::FFI::EINTERRUPTED) {
        $begun = FCGIPM::FFI::manager_fork_begins($pm->{library_manager});
    }
    if ($begun < 0) {
        $fork->{is_over} = 1;
        return 0;
    }
    my $pid;
    local $! = 0;
    my $is_done = eval { $pid = _compiled_fork()->(); 1 };
    my ($errno, $why) = ($! + 0, $@);
    # Handlers may run again as soon as the library has been told.
    $fork->{is_over} = 1;
    return _begin_in_child($pm, $is_done, $why) if $$ != $fork->{owner};
    $errno = Errno::ECANCELED if !$is_done;
    my $trouble = _report_fork($pm, $pid, $errno || Errno::EAGAIN);
    $trouble = "fork died: $why" if !$is_done;
    $pm->pm_warn($trouble) if defined $trouble;
    return FCGIPM::FFI::EVENT_FORK;
}

sub _begin_in_child {
    my ($pm, $is_done, $why) = @_;
    my $manager = delete $pm->{library_manager};
    $pm->{is_worker} = 1;
    my $event = FCGIPM::FFI::manager_forked($manager, 0, 0);
    my $refused = $event < 0 ? FCGIPM::FFI::last_error_message() : undef;
    FCGIPM::FFI::manager_free($manager);
    $pm->pm_abort($refused) if defined $refused;
    die $why if !$is_done;
    return $event;
}

# Whatever leaves _fork early, by die or exit, in whichever process: there is no worker, and no signal stays blocked.
sub FCGIPM::ProcManager::Events::Fork::DESTROY {
    my ($fork) = @_;
    return if $fork->{is_over};
    local ($!, $?, $@);
    return _leave_manager($fork->{pm}) if $$ != $fork->{owner};
    return _report_fork($fork->{pm}, undef, Errno::ECANCELED);
}

# Compiled each time: CORE::GLOBAL::fork, and what takes the place of the operation, count for what is compiled later.
sub _compiled_fork { return eval 'sub { fork }' || die $@ }

# Tells the library of a child, or why there is none. Returns what was wrong with the child, if anything was.
sub _report_fork {
    my ($pm, $pid, $errno) = @_;
    my $manager = $pm->{library_manager};
    my $trouble;
    if (defined $pid) {
        no warnings 'numeric';
        return if FCGIPM::FFI::manager_forked($manager, int $pid, 0) == 0;
        $trouble = 'fork: ' . FCGIPM::FFI::last_error_message();
        $errno = Errno::ECHILD;
    }
    FCGIPM::FFI::manager_forked($manager, -1, $errno);
    return $trouble;
}

sub ask_to_stop {
    my ($pm) = @_;
    $pm->{is_asked} = 1;
    return FCGIPM::FFI::manager_signal($pm->{library_manager}, FCGIPM::Signals::number_of('TERM'));
}

# Perl's handlers, which the library's have taken the place of: the program's own, and, where a pm_wait of its own
# waits, those that it relies on.
sub _set_handlers {
    my ($pm) = @_;
    return if $pm->no_signals;
    my @programs = grep { FCGIPM::Signals::has_handler($_) } @PROGRAMS;
    FCGIPM::Signals::set_anew($_) for @programs;
    $pm->{has_handlers} = $pm->{is_driven} || @programs;
    return if !$pm->{is_driven};
    my %is_programs = map { $_ => 1 } @programs;
    for my $name (grep { !$is_programs{$_} } @MANAGED) {
        $SIG{$name} = sub {
            return FCGIPM::ProcManager::sig_sub($name) if $pm->{is_waiting};
            return FCGIPM::FFI::manager_signal($pm->{library_manager}, FCGIPM::Signals::number_of($name));
        };
    }
    return;
}

# Children of the manager's that are no workers. A worker's status is the library's to take, so only these are
# asked after: the ones that were there when the first worker was made.
sub _note_other_children {
    my ($pm) = @_;
    open my $file, '<', "/proc/self/task/$$/children" or return;
    $pm->{others} = { map { $_ => 1 } split ' ', scalar(<$file>) || '' };
    $SIG{CHLD} = sub { } if %{ $pm->{others} };    # so that their end ends the wait
    return;
}

# The pid of one that has ended, with $? set.
sub other_child {
    my ($pm) = @_;
    for my $pid (keys %{ $pm->{others} || {} }) {
        my $result = waitpid $pid, POSIX::WNOHANG();
        next if !$result;
        delete $pm->{others}{$pid};
        return $pid if $result == $pid;
    }
    return;
}

# In the manager.

sub _managing {
    my ($pm) = @_;
    _set_handlers($pm);
    $pm->managing_init;
    $pm->pm_notify('initialized');
    _note_other_children($pm);
    $pm->_resize;
    return;
}

sub _worker_started {
    my ($pm) = @_;
    my $pid = FCGIPM::FFI::manager_event_pid($pm->{library_manager});
    $pm->{PIDS}{$pid} = { pid => $pid };
    $pm->pm_notify("server (pid $pid) started");
    return;
}

sub _worker_exited {
    my ($pm) = @_;
    my $pid = FCGIPM::FFI::manager_event_pid($pm->{library_manager});
    $? = FCGIPM::FFI::manager_event_status($pm->{library_manager});
    my $is_known = delete $pm->{PIDS}{$pid};
    my $is_killed = $pm->{has_missed_die_timeout} && ($? & 127) == 9;
    $pm->pm_notify("server (pid $pid) exited with status $?") if $is_known && !$is_killed;
    return;
}

sub _signal {
    my ($pm) = @_;
    my $name = FCGIPM::Signals::name_of(FCGIPM::FFI::manager_event_status($pm->{library_manager}));
    return if $name eq 'TERM' && delete $pm->{is_asked};
    $pm->{is_stopping} = 1 if $name =~ /\A(?:TERM|INT|QUIT)\z/;
    $pm->sig_manager($name);
    return;
}

sub _stopping {
    my ($pm) = @_;
    $pm->pm_remove_pid_file;
    my @pids = sort { $a <=> $b } keys %{ $pm->{PIDS} };
    $pm->pm_notify("sending TERM to PIDs, @pids") if @pids;
    return;
}

sub _stopped {
    my ($pm) = @_;
    FCGIPM::FFI::manager_free(delete $pm->{library_manager});
    return;
}

# One that outlives die_timeout at the end is killed, and then the end is told of as FCGI::ProcManager does.
sub _killing {
    my ($pm) = @_;
    return _trouble($pm) if !$pm->{is_stopping};
    $pm->{has_missed_die_timeout} = 1;
    return;
}

# Told of if it was not the program that asked.
sub _resized {
    my ($pm) = @_;
    return delete $pm->{is_resizing} ? () : _news($pm);
}

# Some events have nothing to say.
sub _news {
    my ($pm) = @_;
    my $message = _message($pm);
    $pm->pm_notify($message) if length $message;
    return;
}

sub _trouble { $_[0]->pm_warn(_message($_[0])); return }
sub _message { return FCGIPM::FFI::manager_event_message($_[0]{library_manager}) }

# In a worker.

# Whoever called in the manager has nothing to do here.
sub _in_worker {
    my ($pm) = @_;
    _leave_manager($pm);
    local $SIG{__DIE__};
    no warnings 'once';
    die $FCGIPM::ProcManager::IN_WORKER;
}

sub _leave_manager {
    my ($pm) = @_;
    $pm->{is_worker} = 1;
    FCGIPM::FFI::manager_free(delete $pm->{library_manager}) if $pm->{library_manager};
    return;
}

sub begin_worker {
    my ($pm) = @_;
    delete @$pm{qw(PIDS others has_handlers is_resizing)};
    $pm->{MANAGER_PID} = getppid;
    $pm->role('server');
    FCGIPM::Signals::expect_manager();
    _expect_notice($pm);
    $pm->handling_init;
    $pm->pm_notify('initialized');
    return;
}

# Before handling_init: a subclass may replace that without calling ours.
sub _expect_notice {
    my ($pm) = @_;
    my ($limit, $signal) = @{ $pm->{in_force} }{qw(request_timeout request_timeout_signal)};
    return if $pm->no_signals || !$limit || $signal eq 'none';
    $SIG{$signal} = sub {
        # One that comes when the request has ended does not interrupt the wait for the next.
        $FCGIPM::Signals::is_from_manager = 1;
        # A notice is of one request, and no other is to hear of it.
        return if FCGIPM::FFI::worker_notice_given() != 1;
        my @around = _around_the_handler();
        return if grep { /\AFCGIPM::(?:Request::(?:Accept|Finish|DESTROY)|ProcManager::pm_post_dispatch)\z/ } @around;
        return $pm->pm_request_timed_out(scalar grep { $_ eq '(eval)' } @around);
    };
    return;
}

# What perl was in when it came to run a signal's handler: subroutines, and evals. What `require` makes looks
# like an eval, but catches nothing.
sub _around_the_handler {
    my @around;
    # 0 is this, 1 the handler, 2 the eval in which perl runs it.
    for (my $level = 3; my @frame = caller $level; $level++) {
        push @around, $frame[3] if !$frame[7];
    }
    return @around;
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
