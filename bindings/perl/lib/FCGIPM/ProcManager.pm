package FCGIPM::ProcManager;

# FCGI::ProcManager's interface to the library's manager. The library decides when to fork, which
# worker to retire and when to stop. FCGIPM::ProcManager::Events turns its events into calls of
# these methods.

use strict;
use warnings;

use Carp ();
use Exporter ();

use FCGIPM::Alias;
use FCGIPM::Library;
use FCGIPM::ProcManager::Events;
use FCGIPM::ProcManager::Log;
use FCGIPM::ProcManager::PidFile;
use FCGIPM::ProcManager::Settings;
use FCGIPM::ProcManager::Signals;
use FCGIPM::ProcManager::Worker;
use FCGIPM::Request::Loop;
use FCGIPM::Signals;

our $VERSION = '0.1.0';

our @ISA = 'Exporter';
our @EXPORT_OK = qw(
    pm_manage pm_die pm_wait pm_write_pid_file pm_remove_pid_file pm_pre_dispatch pm_post_dispatch
    pm_change_process_name pm_received_signal pm_parameter pm_warn pm_notify pm_abort pm_exit $SIG_CODEREF
);
our %EXPORT_TAGS = (all => \@EXPORT_OK);

our $Default = __PACKAGE__;    # class of the default object
our $Q;                        # the default object, used by calls of functions without an object

our $SIG_CODEREF;
*SIG_CODEREF = \$FCGIPM::ProcManager::Signals::SIG_CODEREF;

# The parameters and the state are in one hash, as in FCGI::ProcManager. The state:
#   PIDS, MANAGER_PID, SIG_RECEIVED    as in FCGI::ProcManager
#   library_manager                    the library's manager; only in the manager, until it has stopped
#   library_pid_fname                  the pid file that the library keeps
#   count, is_resizing                 number of workers that the library was given; the program has changed it
#   _effective, _from_environment      values of options (FCGIPM::ProcManager::Settings)
#   has_own_wait, is_waiting           a subclass has its own pm_wait; it is being called
#   has_handlers, has_own_usr2         perl has handlers for the manager's signals; a subclass has one for USR2
#   other_children                     children that are not workers
#   has_requested_stop, is_stopping, stop_signal, has_exceeded_die_timeout
#   is_worker                          this process is a worker
#   is_protected                       pm_pre_dispatch has installed handlers, without a manager
#   keeps_name                         leave $0 alone (FCGIPM::Compat::Managed)

# Creation and parameters.

sub new {
    my ($proto, $init) = @_;
    my $this = bless {
        role        => 'manager',
        start_delay => 0,
        die_timeout => 60,
        pm_title    => 'perl-fcgi-pm',
        %{ $init || {} },
    }, ref $proto || $proto;
    $this->{PIDS} = {};
    FCGIPM::Library::options_free(FCGIPM::ProcManager::Settings::library_options($this));    # croaks for a bad value
    return $this;
}

# The names and values that the library gets. Those that are not options of the library are ignored.
sub library_parameters {
    my ($this) = @_;
    return (%$this, map { $_ => scalar $this->$_ } FCGIPM::ProcManager::Settings::ACCESSORS);
}

# The names of the parameters of which the program finds the effective values.
sub shown_parameters {
    my ($this) = @_;
    return FCGIPM::ProcManager::Settings::SHOWN_ACCESSORS, grep { defined $this->{$_} && !ref $this->{$_} } keys %$this;
}

sub pm_parameter {
    my ($this, $key, $value) = self_or_default(@_);
    $this->{$key} = $value if defined $value;
    return $this->{$key};
}

sub n_processes { return shift->pm_parameter(n_processes => @_) }
sub pid_fname   { return shift->pm_parameter(pid_fname   => @_) }
sub no_signals  { return shift->pm_parameter(no_signals  => @_) }
sub die_timeout { return shift->pm_parameter(die_timeout => @_) }
sub role        { return shift->pm_parameter(role        => @_) }
sub start_delay { return shift->pm_parameter(start_delay => @_) }

# FCGI::ProcManager's methods are functions, too, which then use the default object.
sub self_or_default {
    my ($first) = @_;
    return @_ if defined $first && !ref $first && $first eq __PACKAGE__;
    if (!defined $first || !UNIVERSAL::isa($first, __PACKAGE__)) {
        $Q ||= $Default->new;
        unshift @_, $Q;
    }
    return wantarray ? @_ : $Q;
}

# The manager.

sub pm_manage {
    my ($this, %values) = self_or_default(@_);
    $this->pm_parameter($_, $values{$_}) for keys %values;

    # IGNORE, or a handler that reaps, would lose the workers' exit statuses. A log line that nobody
    # reads must not kill the manager.
    local $SIG{CHLD} = 'DEFAULT';
    local $SIG{PIPE} = sub { } if !FCGIPM::Signals::has_handler('PIPE');

    my $options = FCGIPM::ProcManager::Settings::library_options($this);
    FCGIPM::ProcManager::Settings::adopt_effective($this, $options);
    $FCGIPM::Request::Loop::options = $options;
    # A subclass's own pm_wait may not call ours, so perl must handle the signals.
    $this->{has_own_wait} = $this->can('pm_wait') != \&pm_wait;
    FCGIPM::Library::options_set($options, no_signals => 1) if $this->{has_own_wait};
    my $manager = FCGIPM::ProcManager::Settings::new_library_manager($options);
    FCGIPM::Library::manager_host_forks($manager, 1);
    my $count = FCGIPM::ProcManager::Settings::worker_count($this);
    return _serve_alone($manager) if !$count;
    $this->role('manager');
    $this->{library_manager} = $manager;
    $this->{count} = $count;

    until ($this->{is_worker}) {
        next if eval { $this->_supervise; 1 };
        die $@ if !ref $@ || $@ != $FCGIPM::ProcManager::Events::IN_WORKER;
    }
    FCGIPM::ProcManager::Worker::begin($this);
    return 1;
}

# Returns when pm_wait does, usually because a worker has exited. In a new worker, it dies or sets
# is_worker.
sub _supervise {
    my ($this) = @_;
    $this->_resize;
    # A pm_wait that reaps workers itself needs all of them to exist.
    while ($this->{has_own_wait} && $this->{library_manager} && $this->_is_short_of_workers) {
        FCGIPM::ProcManager::Events::take($this);
    }
    if ($this->{library_manager}) {
        local $this->{is_waiting} = $this->{has_own_wait};
        $this->pm_wait;
    }
    $this->pm_exit('dying: stopped') if !$this->{library_manager} && !$this->{is_worker};
    return;
}

sub _is_short_of_workers {
    my ($this) = @_;
    return $this->{_effective}{pm} eq 'static' && keys %{ $this->{PIDS} } < $this->{count};
}

# The program may change the number of workers at any time.
sub _resize {
    my ($this) = @_;
    my $count = FCGIPM::ProcManager::Settings::worker_count($this);
    return if $count == $this->{count};
    return $this->pm_die if $count <= 0;
    $this->{count} = $count;
    $this->{is_resizing} = FCGIPM::Library::manager_resize($this->{library_manager}, $count) == 0;
    return;
}

# Without workers, the library refuses options that only apply to workers, such as `user`.
sub _serve_alone {
    my ($manager) = @_;
    my $refused = FCGIPM::Library::manager_next($manager) < 0 ? FCGIPM::Library::last_error_message() : undef;
    FCGIPM::Library::manager_free($manager);
    Carp::croak($refused) if defined $refused;
    return;
}

# At this point the library handles the manager's signals and has written the pid file.
sub managing_init {
    my ($this) = @_;
    $SIG_CODEREF = sub { $this->sig_manager(@_) } if !$this->no_signals;
    my $title = $this->pm_parameter('pm_title');
    $this->pm_change_process_name($title) if !$this->{keeps_name} || $title ne $0;
    $this->{library_pid_fname} = $this->pid_fname;
    $this->pm_write_pid_file;
    return;
}

# Stops gracefully: the workers answer their requests, then this process exits.
sub pm_die {
    my ($this, $message, $status) = self_or_default(@_);
    undef $SIG_CODEREF;
    FCGIPM::ProcManager::Events::request_stop($this) if $this->{library_manager} && !$this->{is_stopping};
    $this->{is_stopping} = 1;
    while ($this->{library_manager}) {
        FCGIPM::ProcManager::Events::take($this);
    }
    return $this->pm_abort('wait timeout') if $this->{has_exceeded_die_timeout};
    return $this->pm_exit('dying: ' . (defined $message ? $message : ''), $status);
}

# Waits until a child has exited, and returns its pid. Returns nothing if there is no child, or if a
# signal handler has changed the number of workers.
sub pm_wait {
    my ($this) = self_or_default(@_);
    if (!$this->{library_manager}) {
        my $pid = wait;
        return if $pid < 0;
        delete $this->{PIDS}{$pid} and $this->pm_notify("server (pid $pid) " . $this->_how_ended($?));
        return $pid;
    }
    local $this->{is_waiting};
    while (my $manager = $this->{library_manager}) {
        my $event = FCGIPM::ProcManager::Events::take($this);
        return FCGIPM::Library::manager_event_pid($manager) if $event == FCGIPM::Library::EVENT_WORKER_EXITED;
        next if $event > 0;
        my $pid = FCGIPM::ProcManager::Events::reap_other_child($this);
        return $pid if defined $pid;
        return if FCGIPM::ProcManager::Settings::worker_count($this) != $this->{count};
    }
    return;
}

# As the library words it, so that one death has the same number in all lines.
sub _how_ended {
    my ($this, $status) = @_;
    return 'killed by SIG' . FCGIPM::Signals::name_of($status & 127) if $status & 127;
    return 'exited with status ' . ($status >> 8);
}

sub pm_write_pid_file {
    my ($this, $fname) = self_or_default(@_);
    $fname ||= $this->pid_fname or return;
    return FCGIPM::ProcManager::PidFile::write_file($this, $fname);
}

sub pm_remove_pid_file {
    my ($this, $fname) = self_or_default(@_);
    $fname ||= $this->pid_fname or return;
    return FCGIPM::ProcManager::PidFile::remove_file($this, $fname);
}

# Signals.

FCGIPM::Alias::alias(__PACKAGE__ . '::sig_sub', \&FCGIPM::ProcManager::Signals::sig_sub);

sub sig_manager {
    my ($this, $name) = @_;
    return FCGIPM::ProcManager::Signals::received_by_manager($this, $name);
}

sub sig_handler {
    my ($this, $name) = @_;
    return $this->pm_received_signal($name, 1);
}

sub _set_signal_handler {
    my ($this, $signal, $restart) = @_;
    return FCGIPM::ProcManager::Signals::set_handler($this, $signal, $restart);
}

sub pm_received_signal {
    my ($this, $name, $received) = self_or_default(@_);
    # A program with its own loop asks here whether it has to exit. The library knows that, but not
    # which signal it was.
    if (!$received && $this->{MANAGER_PID} && !$this->{SIG_RECEIVED} && FCGIPM::Library::worker_retiring()) {
        $this->sig_handler('TERM');
    }
    my $all = $this->{SIG_RECEIVED};
    return $all if !$name;
    $this->{SIG_RECEIVED}{$name}++ if $received;
    # A query must not create the hash, which would look like a received signal.
    return $received || $all ? $this->{SIG_RECEIVED}{$name} : undef;
}

# In a worker.

sub handling_init {
    my ($this) = @_;
    FCGIPM::ProcManager::Signals::init_worker($this) if !$this->no_signals;
    $this->pm_change_process_name('perl-fcgi') if !$this->{keeps_name};
    srand;    # or all workers would have the same random numbers
    return;
}

# Around each fork: in a process that is about to be copied, and in a new worker.

sub pm_before_fork { return $_[0]->_call_parameter('before_fork') }
sub pm_after_fork  { return $_[0]->_call_parameter('after_fork') }

sub _call_parameter {
    my ($this, $name) = @_;
    my $hook = $this->{$name} or return;
    return $hook->($this);
}

# Perl calls this between two operations, and interrupts a call that waits. Without an eval that
# catches it, a `die` would make an incomplete page look complete, so the request may use its grace
# period instead.
sub pm_request_timed_out {
    my ($this, $is_caught) = @_;
    die "the request has run for longer than request_timeout\n" if $is_caught;
    return;
}

# From here on, a signal waits for the end of the request. In a worker it always does, because the
# library's handlers only note it. A process without a manager gets its handlers here.
sub pm_pre_dispatch {
    my ($this) = self_or_default(@_);
    return if $this->{MANAGER_PID} || $this->{is_protected}++ || $this->no_signals;
    $SIG{$_} = \&FCGIPM::ProcManager::Signals::retire for qw(TERM HUP);
    return;
}

sub pm_post_dispatch {
    my ($this) = self_or_default(@_);
    my $retiring = FCGIPM::Library::worker_retiring();
    return if !$retiring && !$this->{SIG_RECEIVED};
    if ($retiring && !$this->{SIG_RECEIVED}) {
        return $this->_exit_gracefully('safe exit: manager has died') if $this->{MANAGER_PID} && getppid != $this->{MANAGER_PID};
        $this->sig_handler('TERM');
    }
    return $this->_exit_gracefully('safe exit after SIGTERM') if $this->pm_received_signal('TERM');
    return $this->_exit_gracefully('safe exit after SIGHUP') if $this->pm_received_signal('HUP');
    return;
}

# In the next Accept, or at once if the program accepts by other means.
sub _exit_gracefully {
    my ($this, $message) = @_;
    FCGIPM::Library::worker_retire();
    FCGIPM::Request::Loop::exit_in_accept(sub { $this->pm_exit($message) }) or $this->pm_exit($message);
    return;
}

# In both.

sub pm_change_process_name {
    my ($this, $name) = self_or_default(@_);
    $0 = $name;
    return;
}

sub pm_warn {
    my ($this, $message) = self_or_default(@_);
    local $FCGIPM::ProcManager::Log::PRIORITY = FCGIPM::ProcManager::Log::priority_of_warning($message);
    return $this->pm_notify($message);
}

sub pm_notify {
    my ($this, $message) = self_or_default(@_);
    return if defined $this->{log} && $this->{log} eq 'none';
    $message =~ s/\s*\z/\n/;
    return FCGIPM::ProcManager::Log::print_line('FastCGI: ' . $this->role . " (pid $$): $message");
}

sub pm_exit {
    my ($this, $message, $status) = self_or_default(@_);
    $this->pm_warn($message);
    $@ = $message;
    exit($status || 0);
}

sub pm_abort {
    my ($this, $message) = self_or_default(@_);
    return $this->pm_exit($message, 1);
}

1;
