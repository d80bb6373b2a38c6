package FCGIPM::ProcManager::Worker;

# A worker: its start, and the notice that its request has reached request_timeout.

use strict;
use warnings;

use FCGIPM::Library;
use FCGIPM::ProcManager::Fork;
use FCGIPM::Request::Loop;
use FCGIPM::Signals;

our $VERSION = '0.1.0';

# What the service manager has passed to the manager, and the manager to its template. The library removes these variables from the
# environment of a worker, and perl has a copy.
use constant SERVICE_VARIABLES => qw(NOTIFY_SOCKET WATCHDOG_PID WATCHDOG_USEC LISTEN_PID LISTEN_PIDFDID LISTEN_FDS LISTEN_FDNAMES FDSTORE FCGIPM_TEMPLATE);

sub begin {
    my ($pm) = @_;
    delete @ENV{ (SERVICE_VARIABLES) };
    delete @$pm{qw(PIDS other_children has_handlers is_resizing)};
    $pm->{MANAGER_PID} = getppid;
    $pm->role('server');
    FCGIPM::Signals::install_for_worker();
    _handle_timeout_signal($pm);
    $pm->handling_init;
    $pm->pm_notify('initialized');
    FCGIPM::ProcManager::Fork::call_hook($pm, 'after_fork');
    $FCGIPM::Request::Loop::on_fork_due = sub { _fork_template($pm) };
    return;
}

# In a worker that is the model for the others (the option refork_after). What its copies do first
# must not end in an eval of the program's around Accept.
sub _fork_template {
    my ($pm) = @_;
    return if FCGIPM::ProcManager::Fork::fork_template($pm) != FCGIPM::Library::EVENT_IN_WORKER;
    srand;    # or all copies would have the same random numbers
    local $SIG{__DIE__};
    eval { begin($pm); 1 } or $pm->pm_abort($@);
    return;
}

# Before handling_init, because a subclass may override that without calling ours.
sub _handle_timeout_signal {
    my ($pm) = @_;
    my ($limit, $signal) = @{ $pm->{_effective} }{qw(request_timeout request_timeout_signal)};
    return if $pm->no_signals || !$limit || $signal eq 'none';
    $SIG{$signal} = sub {
        # A notice that arrives after the end of its request must not interrupt the wait for the
        # next one.
        $FCGIPM::Signals::woken_by_manager = 1;
        return if FCGIPM::Library::worker_notice_given() != 1;
        my @around = _around_the_handler();
        return if grep { /\AFCGIPM::(?:Request::(?:Accept|Finish|DESTROY)|ProcManager::pm_post_dispatch)\z/ } @around;
        return $pm->pm_request_timed_out(scalar grep { $_ eq '(eval)' } @around);
    };
    return;
}

# The subroutines and evals in which perl runs a signal's handler. The frame of a `require` looks
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
