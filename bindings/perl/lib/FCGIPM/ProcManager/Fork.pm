package FCGIPM::ProcManager::Fork;

# Creates a worker, or a template, with perl's own fork when the library asks for one, so that a program's or a
# profiler's hooks see it. Perl's fork also flushes all handles.

use strict;
use warnings;

use Errno ();

use FCGIPM::Library;

our $VERSION = '0.1.0';

# Returns the event for the manager or the worker, or 0 if nothing was forked.
sub fork_worker {
    my ($pm) = @_;
    call_hook($pm, 'before_fork');
    return _fork($pm, \&_begin_in_child);
}

# In a worker that is to fork a template of itself: the template forks workers for the manager, and
# this returns EVENT_IN_WORKER in each of them. In this worker it returns another event.
sub fork_template {
    my ($pm) = @_;
    my $manager = FCGIPM::Library::manager_of_worker() or return 0;
    $pm->{library_manager} = $manager;
    call_hook($pm, 'before_fork');
    my $event = _fork($pm, \&_serve_manager);
    detach_manager($pm) if $event != FCGIPM::Library::EVENT_IN_WORKER;
    return $event;
}

# Calls a hook of the program's. One that dies ends a new worker, and not the manager.
sub call_hook {
    my ($pm, $name) = @_;
    my $method = "pm_$name";
    local $@;
    return if eval { local $SIG{__DIE__}; $pm->$method; 1 };
    my $message = "$name died: $@";
    return $name eq 'after_fork' ? $pm->pm_abort($message) : $pm->pm_warn($message);
}

# While signals are blocked, no handler of the program may run: it could die, exit, stop the manager
# or start a program. So the library refuses to block them while perl has a handler to run, which
# perl does at each turn of the loop. Meanwhile such a handler may itself call
# FCGIPM::ProcManager::Events::take, which may create the worker.
sub _fork {
    my ($pm, $in_child) = @_;
    local $@;
    my $fork = bless { pm => $pm, owner => $$ }, __PACKAGE__;
    my $begun = FCGIPM::Library::EINTERRUPTED;
    while ($begun == FCGIPM::Library::EINTERRUPTED) {
        $begun = FCGIPM::Library::manager_fork_begins($pm->{library_manager});
    }
    if ($begun < 0) {
        $fork->{is_over} = 1;
        return 0;
    }
    my $pid;
    local $! = 0;
    my $is_done = eval { $pid = _compiled_fork()->(); 1 };
    my ($errno, $why) = ($! + 0, $@);
    # Handlers may run again from the next call of the library on.
    $fork->{is_over} = 1;
    return $in_child->($pm, $is_done, $why) if $$ != $fork->{owner};
    $errno = Errno::ECANCELED if !$is_done;
    my $trouble = _report($pm, $pid, $errno || Errno::EAGAIN);
    $trouble = "fork died: $why" if !$is_done;
    $pm->pm_warn($trouble) if defined $trouble;
    return FCGIPM::Library::EVENT_FORK;
}

# In a worker: the manager's state no longer applies.
sub detach_manager {
    my ($pm) = @_;
    $pm->{is_worker} = 1;
    FCGIPM::Library::manager_free(delete $pm->{library_manager}) if $pm->{library_manager};
    return;
}

# Compiled for each fork, because CORE::GLOBAL::fork, and hooks that replace the operation, affect
# only code that is compiled after them.
sub _compiled_fork { return eval 'sub { fork }' || die $@ }

sub _begin_in_child {
    my ($pm, $is_done, $why) = @_;
    my $manager = delete $pm->{library_manager};
    $pm->{is_worker} = 1;
    my $event = FCGIPM::Library::manager_forked($manager, 0, 0);
    my $refused = $event < 0 ? FCGIPM::Library::last_error_message() : undef;
    FCGIPM::Library::manager_free($manager);
    $pm->pm_abort($refused) if defined $refused;
    die $why if !$is_done;
    return $event;
}

# In the child of the worker that forks a template. The library forks once more, and returns in the
# template only.
sub _serve_manager {
    my ($pm, $is_done, $why) = @_;
    my $manager = $pm->{library_manager};
    my $event = FCGIPM::Library::manager_forked($manager, 0, 0);
    while ($event != FCGIPM::Library::EVENT_IN_WORKER) {
        $event = FCGIPM::Library::manager_next($manager);
        $event = fork_worker($pm) if $event == FCGIPM::Library::EVENT_FORK;
        $pm->pm_abort(FCGIPM::Library::last_error_message()) if $event < 0;
    }
    die $why if !$is_done;
    return $event;
}

# Reports the child to the library, or why there is none. Returns what is wrong with the child, if
# anything.
sub _report {
    my ($pm, $pid, $errno) = @_;
    my $manager = $pm->{library_manager};
    my $trouble;
    if (defined $pid) {
        no warnings 'numeric';
        return if FCGIPM::Library::manager_forked($manager, int $pid, 0) == 0;
        $trouble = 'fork: ' . FCGIPM::Library::last_error_message();
        $errno = Errno::ECHILD;
    }
    FCGIPM::Library::manager_forked($manager, -1, $errno);
    return $trouble;
}

# If die or exit has left fork_worker early, in either process: there is no worker, and signals are
# unblocked.
sub DESTROY {
    my ($fork) = @_;
    return if $fork->{is_over};
    local ($!, $?, $@);
    return detach_manager($fork->{pm}) if $$ != $fork->{owner};
    return _report($fork->{pm}, undef, Errno::ECANCELED);
}

1;
