package FCGIPM::ProcManager;

# FCGI::ProcManager's interface over the library's manager. The library decides when to fork, whom to
# retire and when to stop; this module turns its events into the methods that subclasses override.

use strict;
use warnings;

use Carp ();
use Config ();
use Exporter ();
use IO::Handle ();
use Scalar::Util ();

use FCGIPM::FFI;
use FCGIPM::Request;

our $VERSION = '0.1.0';

our @ISA = 'Exporter';
our @EXPORT_OK = qw(
    pm_manage pm_die pm_wait pm_write_pid_file pm_remove_pid_file pm_pre_dispatch pm_post_dispatch
    pm_change_process_name pm_received_signal pm_parameter pm_warn pm_notify pm_abort pm_exit $SIG_CODEREF
);
our %EXPORT_TAGS = (all => \@EXPORT_OK);

our $Default = __PACKAGE__;    # class of the object that calls without one use
our $Q;                        # that object
our $SIG_CODEREF;

my @SIGNAL_NAME = split ' ', $Config::Config{sig_name};
my %SIGNAL_NUMBER = map { $SIGNAL_NAME[$_] => $_ } 0 .. $#SIGNAL_NAME;

# The signals that ask a worker to leave.
my @RETIRING = qw(TERM HUP INT QUIT);

# Options that this module carries out itself, the way FCGI::ProcManager does, with its methods.
my %OURS = (log => 'none', pm_title => '');

# Making.

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
    FCGIPM::FFI::options_free($this->_options);
    return $this;
}

# The parameters that are options, as the library takes them. It knows which are; any other key is the
# program's own.
sub _options {
    my ($this) = @_;
    my $options = FCGIPM::FFI::options_new();
    for my $name (sort keys %$this) {
        my $value = $this->{$name};
        next if !defined $value || ref $value;
        my $result = FCGIPM::FFI::options_set($options, $name, $value);
        next if $result == 0 || $result == FCGIPM::FFI::EOPTION;
        my $message = FCGIPM::FFI::last_error_message();
        FCGIPM::FFI::options_free($options);
        Carp::croak($message);
    }
    FCGIPM::FFI::options_set($options, $_, $OURS{$_}) for keys %OURS;
    return $options;
}

# Takes over what the library will do, now that the operator's environment counts: our own methods
# look at these.
sub _obey_environment {
    my ($this, $options) = @_;
    for my $name (qw(n_processes pid_fname no_signals die_timeout start_delay)) {
        my $value = FCGIPM::FFI::text_of(\&FCGIPM::FFI::options_effective, $options, $name);
        defined $value or Carp::croak(FCGIPM::FFI::last_error_message());
        $this->{$name} = $value if length $value;
    }
    for my $name (keys %OURS) {
        my $value = $ENV{ _variable($name) };
        $this->{$name} = $value if defined $value;
    }
    return;
}

sub _variable { return 'FCGIPM_' . uc $_[0] }

# The manager.

sub pm_manage {
    my ($this, %values) = self_or_default(@_);
    $this->pm_parameter($_, $values{$_}) for keys %values;

    # A handler of the program's, or IGNORE, must not take the workers' exit statuses away.
    local $SIG{CHLD} = 'DEFAULT';

    my $options = $this->_options;
    $this->_obey_environment($options);
    if (!$this->n_processes) {
        FCGIPM::FFI::options_free($options);
        return;
    }
    $this->role('manager');
    my $manager = _manager($options) or Carp::croak(FCGIPM::FFI::last_error_message());
    $this->{library_manager} = $manager;

    while ((my $event = $this->_next_event) != FCGIPM::FFI::EVENT_IN_WORKER) {
        $this->pm_exit('dying: stopped') if $event == FCGIPM::FFI::EVENT_STOPPED;
    }
    return 1;
}

sub _manager {
    my ($options) = @_;
    my @variables = map { _variable($_) } keys %OURS;
    local @ENV{@variables};
    delete @ENV{@variables};
    my $manager = FCGIPM::FFI::manager_new($options);
    FCGIPM::FFI::options_free($options);
    return $manager;
}

my %ON_EVENT = (
    FCGIPM::FFI::EVENT_MANAGING,       \&_on_managing,
    FCGIPM::FFI::EVENT_IN_WORKER,      \&_on_in_worker,
    FCGIPM::FFI::EVENT_WORKER_STARTED, \&_on_worker_started,
    FCGIPM::FFI::EVENT_WORKER_READY,   sub { },
    FCGIPM::FFI::EVENT_WORKER_EXITED,  \&_on_worker_exited,
    FCGIPM::FFI::EVENT_SIGNAL,         \&_on_signal,
    FCGIPM::FFI::EVENT_STOPPING,       \&_on_stopping,
    FCGIPM::FFI::EVENT_STOPPED,        \&_on_stopped,
    FCGIPM::FFI::EVENT_RELOAD_FAILED,  \&_on_trouble,
    FCGIPM::FFI::EVENT_NOTICE,         \&_on_trouble,
);

# Waits for something to happen, tells the method concerned, and returns what it was.
sub _next_event {
    my ($this) = @_;
    my $event;
    do {
        _flush_all();
        $event = FCGIPM::FFI::manager_next($this->{library_manager});
    } while $event == FCGIPM::FFI::EINTERRUPTED;    # perl runs the program's handlers here
    $this->pm_abort(FCGIPM::FFI::last_error_message()) if $event < 0;
    ($ON_EVENT{$event} || \&_on_news)->($this);
    return $event;
}

# The library forks inside manager_next, and what perl had buffered would come out of parent and child.
# A failing exec is how perl flushes every handle it has, lexical ones too.
sub _flush_all {
    local ($!, $@);
    STDOUT->flush;
    STDERR->flush;
    no warnings 'exec';
    eval { exec { '' } '' };    # under -T it may die, and then the two above must do
    return;
}

sub _on_managing {
    my ($this) = @_;
    $this->managing_init;
    $this->pm_notify('initialized');
    return;
}

sub _on_worker_started {
    my ($this) = @_;
    my $pid = FCGIPM::FFI::manager_event_pid($this->{library_manager});
    $this->{PIDS}{$pid} = { pid => $pid };
    $this->pm_notify("server (pid $pid) started");
    return;
}

sub _on_worker_exited {
    my ($this) = @_;
    my $pid = FCGIPM::FFI::manager_event_pid($this->{library_manager});
    $? = FCGIPM::FFI::manager_event_status($this->{library_manager});
    delete $this->{PIDS}{$pid};
    $this->pm_notify("server (pid $pid) exited with status $?");
    return;
}

sub _on_signal {
    my ($this) = @_;
    my $number = FCGIPM::FFI::manager_event_status($this->{library_manager});
    $this->sig_manager($SIGNAL_NAME[$number]);
    return;
}

sub _on_stopping {
    my ($this) = @_;
    $this->pm_remove_pid_file;
    my @pids = sort { $a <=> $b } keys %{ $this->{PIDS} };
    $this->pm_notify("sending TERM to PIDs, @pids") if @pids;
    return;
}

sub _on_stopped {
    my ($this) = @_;
    FCGIPM::FFI::manager_free(delete $this->{library_manager});
    return;
}

sub _on_news    { $_[0]->pm_notify(_message($_[0])); return }
sub _on_trouble { $_[0]->pm_warn(_message($_[0])); return }
sub _message    { return FCGIPM::FFI::manager_event_message($_[0]{library_manager}) }

# The library handles the manager's signals and has written the pid file by now.
sub managing_init {
    my ($this) = @_;
    $SIG_CODEREF = sub { $this->sig_manager(@_) } if !$this->no_signals;
    $this->pm_change_process_name($this->pm_parameter('pm_title'));
    $this->{library_pid_fname} = $this->pid_fname;
    $this->pm_write_pid_file;
    return;
}

# Stops gently: every request that a worker has is answered, and only then this process exits.
sub pm_die {
    my ($this, $message, $status) = self_or_default(@_);
    undef $SIG_CODEREF;
    my $manager = $this->{library_manager};
    FCGIPM::FFI::manager_signal($manager, $SIGNAL_NUMBER{TERM}) if $manager && !$this->{stop_signal};
    $this->{stop_signal} ||= 'TERM';
    while ($this->{library_manager}) {
        $this->_next_event;
    }
    return $this->pm_exit('dying: ' . (defined $message ? $message : ''), $status);
}

# Waits until a worker has exited; returns its pid, or nothing when there is none to wait for.
sub pm_wait {
    my ($this) = self_or_default(@_);
    while (my $manager = $this->{library_manager}) {
        return FCGIPM::FFI::manager_event_pid($manager) if $this->_next_event == FCGIPM::FFI::EVENT_WORKER_EXITED;
    }
    return;
}

# The file that the library keeps for the manager is the library's; another one is written here.
sub pm_write_pid_file {
    my ($this, $fname) = self_or_default(@_);
    $fname ||= $this->pid_fname or return;
    return if $this->_is_librarys($fname);
    if (!open my $file, '>', $fname) {
        $this->pm_warn("open: $fname: $!");
    }
    else {
        print {$file} "$$\n" or die "Could not print PID: $!";
        close $file or die "Could not close PID file: $!";
    }
    return;
}

sub pm_remove_pid_file {
    my ($this, $fname) = self_or_default(@_);
    $fname ||= $this->pid_fname or return;
    return 1 if $this->_is_librarys($fname);
    my $removed = unlink $fname or $this->pm_warn("unlink: $fname: $!");
    return $removed;
}

sub _is_librarys {
    my ($this, $fname) = @_;
    return defined $this->{library_pid_fname} && $this->{library_pid_fname} eq $fname;
}

# Signals, as the methods see them.

sub sig_sub {
    $SIG_CODEREF->(@_) if ref $SIG_CODEREF;
    return;
}

# The library acts on the signal itself; here it is told.
sub sig_manager {
    my ($this, $name) = @_;
    return if $name eq 'HUP';    # the reload has lines of its own
    $this->pm_notify("received signal $name");
    if ($name =~ /\A(?:TERM|INT|QUIT)\z/ && !$this->{stop_signal}) {
        $this->{stop_signal} = $name;
        $this->pm_die("safe exit from signal $name");
    }
    return;
}

sub sig_handler {
    my ($this, $name) = @_;
    return $this->pm_received_signal($name, 1);
}

# What perl believes to be the handler in a worker. The library's own stands above it, until the
# program says `local $SIG{TERM}`: what comes back at the end of that scope is this.
sub _retire {
    sig_sub(@_);
    FCGIPM::FFI::worker_retire();
    return;
}

# The worker.

sub _on_in_worker {
    my ($this) = @_;
    FCGIPM::FFI::manager_free(delete $this->{library_manager});
    delete $this->{PIDS};
    $this->{MANAGER_PID} = getppid;
    $this->role('server');
    $this->handling_init;
    $this->pm_notify('initialized');
    return;
}

sub handling_init {
    my ($this) = @_;
    if (!$this->no_signals) {
        $SIG_CODEREF = sub { $this->sig_handler(@_) };
        $SIG{$_} = \&_retire for @RETIRING;
        FCGIPM::FFI::worker_protect();
    }
    $this->pm_change_process_name('perl-fcgi');
    srand;    # or every worker draws the numbers that the manager would have drawn
    return;
}

# From here a signal waits. It does so all the time in a worker, because the library only notes it.
sub pm_pre_dispatch { return }

sub pm_post_dispatch {
    my ($this) = self_or_default(@_);
    my $retiring = FCGIPM::FFI::worker_retiring();
    return if !$retiring && !$this->{SIG_RECEIVED};
    if ($retiring && !$this->{SIG_RECEIVED}) {
        return $this->_leave('safe exit: manager has died') if $this->{MANAGER_PID} && getppid != $this->{MANAGER_PID};
        $this->sig_handler('TERM');
    }
    return $this->_leave('safe exit after SIGTERM') if $this->pm_received_signal('TERM');
    return $this->_leave('safe exit after SIGHUP') if $this->pm_received_signal('HUP');
    return;
}

# Now, or in the Accept that follows.
sub _leave {
    my ($this, $message) = @_;
    FCGIPM::FFI::worker_retire();
    FCGIPM::Request::leave_at_accept(sub { $this->pm_exit($message) }) or $this->pm_exit($message);
    return;
}

# Common to both.

sub self_or_default {
    my ($first) = @_;
    return @_ if defined $first && !ref $first && $first eq __PACKAGE__;
    if (!defined $first || !UNIVERSAL::isa($first, __PACKAGE__)) {
        $Q ||= $Default->new;
        unshift @_, $Q;
    }
    return wantarray ? @_ : $Q;
}

sub pm_change_process_name {
    my ($this, $name) = self_or_default(@_);
    $0 = $name;
    return;
}

sub pm_received_signal {
    my ($this, $name, $received) = self_or_default(@_);
    return $this->{SIG_RECEIVED} if !$name;
    $this->{SIG_RECEIVED}{$name}++ if $received;
    return $this->{SIG_RECEIVED}{$name};
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

sub pm_warn {
    my ($this, $message) = self_or_default(@_);
    return $this->pm_notify($message);
}

sub pm_notify {
    my ($this, $message) = self_or_default(@_);
    return if defined $this->{log} && $this->{log} eq 'none';
    $message =~ s/\s*\z/\n/;
    return print STDERR 'FastCGI: ' . $this->role . " (pid $$): $message";
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

__END__

=head1 NAME

FCGIPM::ProcManager - prefork workers for a FastCGI program

=head1 SYNOPSIS

    #!/usr/bin/perl
    use strict;
    use warnings;
    use FCGIPM;
    use FCGIPM::ProcManager;

    my $socket  = FCGIPM::OpenSocket(':9005', 100);
    $socket >= 0 or die FCGIPM::last_error(), "\n";
    my $request = FCGIPM::Request(\*STDIN, \*STDOUT, \*STDERR, \%ENV, $socket, FCGIPM::FAIL_ACCEPT_ON_INTR);

    my $manager = FCGIPM::ProcManager->new({ n_processes => 5, pid_fname => '/run/app.pid' });
    $manager->pm_manage();    # returns in each worker, never in the manager

    while ($request->Accept() >= 0) {
        $manager->pm_pre_dispatch();
        print "Content-Type: text/plain\r\n\r\nHello from $$\n";
        $manager->pm_post_dispatch();
    }

=head1 DESCRIPTION

The interface of L<FCGI::ProcManager> 0.28: the same methods, exports (C<:all>), parameters, defaults and log lines. Underneath
stands libfcgipm's manager, which loses no request when workers are renewed and does not fork in a frenzy when they fail.

    kill -HUP  manager    renews the workers one after another
    kill -TERM manager    stops: workers finish their requests, then the manager exits (also INT, QUIT)

TERM, HUP, INT or QUIT sent to a worker lets it finish its request and leave.

=head1 METHODS

=head2 new({ NAME => VALUE, ... })

Any parameters. Those that are options of the library (C<n_processes>, C<die_timeout>, C<pid_fname>, C<start_delay>, C<no_signals>,
C<start_timeout>, C<reload_surge> and so on) are checked by it: a bad value croaks with its name, the value and the range. Others are
kept for the program. The environment (C<FCGIPM_N_PROCESSES=5>) wins over the program.

=head2 pm_manage(NAME => VALUE, ...)

Sets the parameters, starts the workers and looks after them. In a worker it returns 1; in the manager it does not
return. With C<n_processes> 0 it returns at once, nothing is forked and the calling process serves.

=head2 Methods to override

=over 4

=item managing_init

In the manager before the first fork.

=item handling_init

In a worker before pm_manage returns there.

=item sig_manager(NAME)

In the manager when a signal came. The library acts on it: this method tells.

=item sig_handler(NAME)

In a worker that was told to leave: at once for a signal that Perl caught, else in pm_post_dispatch.

=item pm_pre_dispatch, pm_post_dispatch

Around a request. When the worker is to leave, pm_post_dispatch sees to it: the process exits in the C<Accept> that follows,
where the library first looks after kept connections, or at once where the program accepts by other means.

=item pm_notify(MESSAGE), pm_warn(MESSAGE)

Print C<< FastCGI: ROLE (pid N): MESSAGE >> to STDERR.

=item pm_write_pid_file([NAME]), pm_remove_pid_file([NAME])

The file of C<pid_fname> is written and removed by the library; these look after any other.

=item pm_die(MESSAGE [, STATUS]), pm_exit(MESSAGE [, STATUS]), pm_abort(MESSAGE)

Stop gently and exit; exit; exit with status 1.

=item pm_wait

Waits for the next worker to exit and returns its pid.

=item pm_change_process_name(NAME), pm_received_signal([NAME [, 1]]), pm_parameter(NAME [, VALUE]), self_or_default, sig_sub

As in FCGI::ProcManager.

=item n_processes, pid_fname, no_signals, die_timeout, role, start_delay

Read a parameter, or set it.

=back

=head1 DIFFERENCES FROM FCGI::ProcManager 0.28

=over 4

=item *

HUP starts a new worker, waits until it is ready, retires an old one, and so on; FCGI::ProcManager sends TERM to all at once. Instead of
C<sending TERM to PIDs> the log has the reload's own lines.

=item *

INT and QUIT stop the manager like TERM. In a worker all four of TERM, HUP, INT and QUIT wait for the end of the request, without
pm_pre_dispatch too.

=item *

A failed fork does not end the manager; it is tried again, ever more slowly. So are workers that die at once.

=item *

pm_exit in a manager kills no workers: they see that it is gone, finish their requests and leave.

=item *

A pid file that cannot be written, or that a living manager holds, is an error before anything is forked.

=item *

Bad values of options croak.

=back

=head1 SEE ALSO

L<FCGIPM>

=cut
