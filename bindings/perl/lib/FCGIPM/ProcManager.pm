package FCGIPM::ProcManager;

# FCGI::ProcManager's interface over the library's manager. The library decides when to fork, whom to
# retire and when to stop; FCGIPM::ProcManager::Events turns what it tells into calls of these methods.

use strict;
use warnings;

use Carp ();
use Exporter ();

use FCGIPM::FFI;
use FCGIPM::ProcManager::Events;
use FCGIPM::Request;
use FCGIPM::Signals;

our $VERSION = '0.1.0';

our @ISA = 'Exporter';
our @EXPORT_OK = qw(
    pm_manage pm_die pm_wait pm_write_pid_file pm_remove_pid_file pm_pre_dispatch pm_post_dispatch
    pm_change_process_name pm_received_signal pm_parameter pm_warn pm_notify pm_abort pm_exit $SIG_CODEREF
);
our %EXPORT_TAGS = (all => \@EXPORT_OK);

# What leads out of whatever was called in a manager when this process is a worker suddenly.
our $IN_WORKER = bless [], 'FCGIPM::ProcManager::InWorker';

our $Default = __PACKAGE__;    # class of the object that calls without one use
our $Q;                        # that object
our $SIG_CODEREF;

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

# Parameters that have a method, which a subclass may have replaced.
my @ACCESSORS = qw(n_processes pid_fname no_signals die_timeout role start_delay);

# What the library is told: names and values. It knows which are options; any other key is the program's own.
sub library_parameters {
    my ($this) = @_;
    return (%$this, map { $_ => scalar $this->$_ } @ACCESSORS);
}

sub _options {
    my ($this) = @_;
    my $options = FCGIPM::FFI::options_new();
    my %parameters = $this->library_parameters;
    for my $name (sort keys %parameters) {
        my $value = $parameters{$name};
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
# look at these, and the program may.
sub _obey_environment {
    my ($this, $options) = @_;
    my %by_the_operator = map { /\AFCGIPM_(\w+)\z/ ? (lc $1 => 1) : () } keys %ENV;
    $this->{in_force} = { map { $_ => _effective($options, $_) } qw(pm request_timeout request_timeout_signal) };
    for my $name ($this->shown_parameters, keys %by_the_operator) {
        next if exists $OURS{$name};
        my $value = _effective($options, $name);
        next if !defined $value || !length $value && !$by_the_operator{$name};    # not set, or the program's own
        $this->{$name} = $value;
        $this->{by_the_operator}{$name} = $value if $by_the_operator{$name};
    }
    for my $name (keys %OURS) {
        my $value = $ENV{ _variable($name) };
        $this->{$name} = $value if defined $value;
    }
    return;
}

# Parameters that the program finds as the library understood them.
sub shown_parameters {
    my ($this) = @_;
    return @ACCESSORS[ 0 .. 3, 5 ], grep { defined $this->{$_} && !ref $this->{$_} } keys %$this;
}

sub _effective {
    my ($options, $name) = @_;
    return FCGIPM::FFI::text_of(\&FCGIPM::FFI::options_effective, $options, $name);
}

sub _variable { return 'FCGIPM_' . uc $_[0] }

# The manager.

sub pm_manage {
    my ($this, %values) = self_or_default(@_);
    $this->pm_parameter($_, $values{$_}) for keys %values;

    # A handler of the program's, or IGNORE, must not take the workers' exit statuses away; and what is printed
    # to somebody who has gone must not end the manager.
    local $SIG{CHLD} = 'DEFAULT';
    local $SIG{PIPE} = sub { } if !FCGIPM::Signals::has_handler('PIPE');

    my $options = $this->_options;
    $this->_obey_environment($options);
    $FCGIPM::Request::options = $options;
    # A pm_wait of the program's own need not call ours, and then perl must see the signals.
    $this->{is_driven} = $this->can('pm_wait') != \&pm_wait;
    FCGIPM::FFI::options_set($options, no_signals => 1) if $this->{is_driven};
    my $manager = _manager($options) or Carp::croak(FCGIPM::FFI::last_error_message());
    FCGIPM::FFI::manager_host_forks($manager, 1);
    my $count = $this->_count;
    return _serve_alone($manager) if !$count;
    $this->role('manager');
    $this->{library_manager} = $manager;
    $this->{count} = $count;

    until ($this->{is_worker}) {
        next if eval { $this->_look_after_workers; 1 };
        die $@ if !ref $@ || $@ != $IN_WORKER;
    }
    FCGIPM::ProcManager::Events::begin_worker($this);
    return 1;
}

# Until a worker dies, as a rule. In a worker that is forked here it does not return, or is_worker is set.
sub _look_after_workers {
    my ($this) = @_;
    $this->_resize;
    # Somebody who waits for a worker's death needs workers.
    while ($this->{is_driven} && $this->{library_manager} && $this->_is_short_of_workers) {
        FCGIPM::ProcManager::Events::take($this);
    }
    if ($this->{library_manager}) {
        local $this->{is_waiting} = $this->{is_driven};
        $this->pm_wait;
    }
    $this->pm_exit('dying: stopped') if !$this->{library_manager} && !$this->{is_worker};
    return;
}

sub _is_short_of_workers {
    my ($this) = @_;
    return $this->{in_force}{pm} eq 'static' && keys %{ $this->{PIDS} } < $this->{count};
}

# The program may ask for another number of workers at any time.
sub _resize {
    my ($this) = @_;
    my $count = $this->_count;
    return if $count == $this->{count};
    return $this->pm_die if $count <= 0;
    $this->{count} = $count;
    $this->{is_resizing} = FCGIPM::FFI::manager_resize($this->{library_manager}, $count) == 0;
    return;
}

sub _count {
    my ($this) = @_;
    my $count = $this->{by_the_operator}{n_processes};
    $count = { $this->library_parameters }->{n_processes} if !defined $count;
    no warnings qw(numeric uninitialized);
    return int $count;
}

sub _manager {
    my ($options) = @_;
    my @variables = map { _variable($_) } keys %OURS;
    local @ENV{@variables};
    delete @ENV{@variables};
    return FCGIPM::FFI::manager_new($options);
}

# Without workers there is nobody who could become another user: the library refuses such options.
sub _serve_alone {
    my ($manager) = @_;
    my $refused = FCGIPM::FFI::manager_next($manager) < 0 ? FCGIPM::FFI::last_error_message() : undef;
    FCGIPM::FFI::manager_free($manager);
    Carp::croak($refused) if defined $refused;
    return;
}

# The library handles the manager's signals and has written the pid file by now.
sub managing_init {
    my ($this) = @_;
    $SIG_CODEREF = sub { $this->sig_manager(@_) } if !$this->no_signals;
    my $title = $this->pm_parameter('pm_title');
    $this->pm_change_process_name($title) if !$this->{keeps_name} || $title ne $0;
    $this->{library_pid_fname} = $this->pid_fname;
    $this->pm_write_pid_file;
    return;
}

# Stops gently: every request that a worker has is answered, and only then this process exits.
sub pm_die {
    my ($this, $message, $status) = self_or_default(@_);
    undef $SIG_CODEREF;
    FCGIPM::ProcManager::Events::ask_to_stop($this) if $this->{library_manager} && !$this->{is_stopping};
    $this->{is_stopping} = 1;
    while ($this->{library_manager}) {
        FCGIPM::ProcManager::Events::take($this);
    }
    return $this->pm_abort('wait timeout') if $this->{has_missed_die_timeout};
    return $this->pm_exit('dying: ' . (defined $message ? $message : ''), $status);
}

# Waits until a child has exited; returns its pid, or nothing when there is none to wait for, or a signal's
# handler has asked for something else.
sub pm_wait {
    my ($this) = self_or_default(@_);
    if (!$this->{library_manager}) {
        my $pid = wait;
        return if $pid < 0;
        delete $this->{PIDS}{$pid} and $this->pm_notify("server (pid $pid) exited with status $?");
        return $pid;
    }
    local $this->{is_waiting};
    while (my $manager = $this->{library_manager}) {
        my $event = FCGIPM::ProcManager::Events::take($this);
        return FCGIPM::FFI::manager_event_pid($manager) if $event == FCGIPM::FFI::EVENT_WORKER_EXITED;
        next if $event > 0;
        my $pid = FCGIPM::ProcManager::Events::other_child($this);
        return $pid if defined $pid;
        return if $this->_count != $this->{count};
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

# The library acts on the signal itself; here it is told. Not while a pm_wait of the program's own waits: then
# it is the workers' end that such a pm_wait comes back for.
sub sig_manager {
    my ($this, $name) = @_;
    if ($name eq 'HUP') {
        my @pids = $this->{is_waiting} ? grep { _is_child($_) } sort { $a <=> $b } keys %{ $this->{PIDS} } : ();
        return if !@pids;    # the reload has lines of its own
        $this->pm_notify("sending TERM to PIDs, @pids");
        kill TERM => @pids;
        return;
    }
    $this->pm_notify(($name =~ /\A(?:TERM|INT|QUIT|TTIN|TTOU)\z/ ? 'received' : 'ignoring') . " signal $name");
    if ($name =~ /\A(?:TERM|INT|QUIT)\z/ && !$this->{stop_signal}) {
        $this->{stop_signal} = $name;
        $this->pm_die("safe exit from signal $name");
    }
    return;
}

# A worker that has ended, and was waited for, is still known here until its end was reported: its number may be another
# process's by now. A child's cannot, because nobody but this process waits for it.
sub _is_child {
    my ($pid) = @_;
    open my $file, '<', "/proc/$pid/stat" or return 0;
    my ($parent) = (scalar(<$file>) || '') =~ /\A\d+ \(.*\) [A-Z] (\d+)/s;
    return defined $parent && $parent == $$;
}

# Subclasses set handlers with it. The signals that the library takes stay the library's.
sub _set_signal_handler {
    my ($this, $signal, $restart) = @_;
    return if grep { $signal eq $_ } $this->{library_manager} ? FCGIPM::ProcManager::Events::managed() : @RETIRING;
    require POSIX;
    my $action = POSIX::SigAction->new('FCGIPM::ProcManager::sig_sub', undef, $restart ? POSIX::SA_RESTART() : 0);
    my $number = do { no strict 'refs'; &{"POSIX::SIG$signal"}() };
    POSIX::sigaction($number, $action) or $this->pm_warn("sigaction: SIG$signal: $!");
    return;
}

sub sig_handler {
    my ($this, $name) = @_;
    return $this->pm_received_signal($name, 1);
}

# What perl believes to be the handler in a worker (FCGIPM::Signals).
sub _retire {
    sig_sub(@_);
    FCGIPM::FFI::worker_retire();
    return;
}

# The worker.

sub handling_init {
    my ($this) = @_;
    if (!$this->no_signals) {
        $SIG_CODEREF = sub { $this->sig_handler(@_) };
        # INT and QUIT are the program's if it has a handler for them.
        my %is_kept = map { $_ => 1 } grep { FCGIPM::Signals::has_handler($_) } qw(INT QUIT);
        FCGIPM::Signals::stand_in($_, \&_retire) for grep { !$is_kept{$_} } @RETIRING;
        FCGIPM::Signals::set_anew($_) for keys %is_kept;
        # Who waits for a request hears of it when the wait ends.
        $FCGIPM::Request::retired = sub { sig_sub('TERM') if !$this->{SIG_RECEIVED} };
    }
    $this->pm_change_process_name('perl-fcgi') if !$this->{keeps_name};
    srand;    # or every worker draws the numbers that the manager would have drawn
    return;
}

# A request takes too long. Perl runs this between two operations, and a call that waits is interrupted for
# it. Where no eval would catch a `die`, the grace is of more use: half a page must not look like a whole one.
sub pm_request_timed_out {
    my ($this, $is_caught) = @_;
    die "the request has run for longer than request_timeout\n" if $is_caught;
    return;
}

# From here a signal waits. It does so all the time in a worker, because the library only notes it; a process that
# has no manager gets its handlers here.
sub pm_pre_dispatch {
    my ($this) = self_or_default(@_);
    return if $this->{MANAGER_PID} || $this->{is_protected}++ || $this->no_signals;
    $SIG{$_} = \&_retire for qw(TERM HUP);
    return;
}

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
    # A loop that is not ours asks here whether it is to end. The library knows, and not by which signal.
    if (!$received && $this->{MANAGER_PID} && !$this->{SIG_RECEIVED} && FCGIPM::FFI::worker_retiring()) {
        $this->sig_handler('TERM');
    }
    my $all = $this->{SIG_RECEIVED};
    return $all if !$name;
    $this->{SIG_RECEIVED}{$name}++ if $received;
    # Asking must not make it look as if something had come.
    return $received || $all ? $this->{SIG_RECEIVED}{$name} : undef;
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
    return _print_line('FastCGI: ' . $this->role . " (pid $$): $message");
}

# As `print STDERR` does, but without a signal where nobody reads it, and without waiting for a reader that
# stands still: a manager that stops there looks after nobody. What is tied, or elsewhere, is printed to.
sub _print_line {
    my ($line) = @_;
    return print STDERR $line if tied *STDERR;
    local $SIG{PIPE} = 'IGNORE' if !FCGIPM::Signals::has_handler('PIPE');
    my $descriptor = fileno STDERR;
    return print STDERR $line if !defined $descriptor || $descriptor != 2;
    my $layers = join ' ', PerlIO::get_layers(*STDERR, output => 1);
    return print STDERR $line if $layers !~ /\Aunix perlio(?: encoding\(utf-?8(?:-strict)?\))?( utf8)?\z/i;
    $line .= $\ if defined $\;
    if   ($1) { utf8::encode($line) }
    else      { utf8::downgrade($line, 1) or return print STDERR $line }
    return FCGIPM::FFI::log_write($line, length $line) >= 0;
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

The interface of L<FCGI::ProcManager> 0.28: the same methods, exports (C<:all>), parameters,
defaults and log lines. It runs on the manager of libfcgipm, which loses no request when workers are
replaced, and which limits the rate of forks when workers fail.

    kill -HUP  manager    replaces the workers one after another
    kill -TERM manager    stops: workers finish their requests, then the manager exits (also INT, QUIT)

A worker that receives TERM, HUP, INT or QUIT finishes its request and exits.

=head1 METHODS

=head2 new({ NAME => VALUE, ... })

Takes any parameters. Those that are options of the library are checked by it: timeouts, recycling,
sizing, identity and more (L<FCGIPM::ProcManager::Options>). A bad value croaks with its name, the
value and the range. Other parameters are kept for the program. The environment
(C<FCGIPM_N_PROCESSES=5>) overrides the program.

=head2 pm_manage(NAME => VALUE, ...)

Sets the parameters, starts the workers and supervises them. It returns 1 in a worker, and does not
return in the manager.

With C<n_processes> 0 it returns at once, forks nothing, and the calling process serves. A process
that runs threads cannot be a manager; workers may start threads.

Perl's C<fork> creates the workers, so C<CORE::GLOBAL::fork>, L<POSIX::AtFork> and profilers see
each of them. This command writes one file for the manager and one for each worker:

    NYTPROF=addpid=1 perl -d:NYTProf program.fcgi

=head2 Methods to override

=over 4

=item managing_init

Called in the manager before the first fork.

=item handling_init

Called in a worker before pm_manage returns there.

=item pm_request_timed_out(IS_CAUGHT)

Called in a worker whose request has reached C<request_timeout>; see L</REQUEST TIMEOUT>.

=item sig_manager(NAME)

Called in the manager when a signal arrived. The library acts on the signal; this method only
reports it.

=item sig_handler(NAME)

Called in a worker that was asked to exit. For a signal that Perl caught, it is called at once.
Otherwise it is called when the program calls pm_received_signal, when a wait for a request ends, or
in pm_post_dispatch.

=item pm_pre_dispatch, pm_post_dispatch

Called before and after a request. If the worker was asked to exit, pm_post_dispatch takes care of
that. The process exits in the next C<Accept>, where the library first handles its keep-alive
connections. A program that accepts by other means exits at once.

=item pm_notify(MESSAGE), pm_warn(MESSAGE)

Print C<< FastCGI: ROLE (pid N): MESSAGE >> to STDERR. L<FCGIPM::ProcManager::Events> lists the
events for which they are called.

=item pm_write_pid_file([NAME]), pm_remove_pid_file([NAME])

Write and remove a pid file. The library itself writes and removes the file of C<pid_fname>; these
methods handle any other file.

=item pm_die(MESSAGE [, STATUS])

Stops gracefully and exits.

=item pm_exit(MESSAGE [, STATUS])

Exits.

=item pm_abort(MESSAGE)

Exits with status 1.

=item pm_wait

Waits for the next worker to exit and returns its pid. A subclass may have a C<pm_wait> that reaps
workers itself. It is called until the manager stops. The library reaps the workers that exit after
that, and logs their exits.

=item pm_change_process_name(NAME), pm_received_signal([NAME [, 1]]), pm_parameter(NAME [, VALUE]), self_or_default, sig_sub

As in FCGI::ProcManager.

=item n_processes, pid_fname, no_signals, die_timeout, role, start_delay

Read or set a parameter.

=back

=head1 REQUEST TIMEOUT

With C<< request_timeout => 30 >> the manager notifies a worker whose request has run for 30
seconds. If the program is inside an C<eval> then, it dies in that C<eval> with C<the request has
run for longer than request_timeout>:

    while ($request->Accept() >= 0) {
        eval { work(); 1 } or print "Status: 503 Service Unavailable\r\n\r\n$@";
    }

This interrupts computing, C<sleep>, C<select>, C<system>, locks, and reads of files, pipes, sockets
and the request's body. It does not interrupt a call of a C library that does not return, as in some
database drivers. The message can also get lost: in an C<eval> that takes it for its own (one around
an C<alarm>, for example), or in a destructor that happens to run.

Without an C<eval> the program continues and may use the grace period; only a C<sleep> or C<select>
ends early. A worker whose request still runs after C<request_timeout_grace> more seconds is killed.
An incomplete page does not look like a complete one: the response ends with a non-zero status, or
is cut off.

The method C<pm_request_timed_out> decides what happens. Its argument is the number of enclosing
C<eval>s. A subclass may log a stack trace, cancel a query, or C<die> in any case. The method cannot
see the C<try> of C<use feature 'try'>, so a program that uses it needs an C<eval> around
everything, or a subclass. A C<die> that nothing catches ends the worker as any other does: what was
printed is sent, and the message goes to the web server.

The signal is C<request_timeout_signal>, VTALRM by default, and its handler is in C<%SIG> (unless
C<no_signals> is set). In a program with threads, the first thread receives it.

=head1 DIFFERENCES FROM FCGI::ProcManager 0.28

=over 4

=item *

HUP starts a new worker, waits until it is ready, retires an old one, and so on. FCGI::ProcManager
sends TERM to all workers at once. Instead of C<sending TERM to PIDs>, the log has the lines of the
reload.

=item *

INT and QUIT stop the manager like TERM. In a worker TERM, HUP, INT and QUIT wait for the end of the
request, even without pm_pre_dispatch. If the program has set a handler for INT or QUIT before
C<pm_manage>, that handler is called instead, as with FCGI::ProcManager.

=item *

A failed fork, or one that dies in C<CORE::GLOBAL::fork>, does not end the manager; it tries again a
second later. Workers that die soon after their start are replaced at a limited rate: after ten
forks in the first ten seconds, one a second.

=item *

pm_exit in a manager does not kill the workers. They notice that it is gone, finish their requests
and exit.

=item *

A pid file that cannot be written, or that a running manager holds, is an error before anything is
forked.

=item *

Log lines of two processes may appear in another order. What a worker prints before its first Accept
passes through the manager (C<catch_start_stderr>), so a line that it prints soon afterwards may
appear earlier. Nothing is lost or duplicated, and lines of the same kind keep their order. But if
the manager is killed at that time, the lines that it had not passed on are lost. The manager logs
an event when it notices it.

=item *

While it stops, the manager lets the workers answer the requests in the listen queue; the original
does not. A socket file that C<FCGIPM::OpenSocket> created is removed at the end.

=item *

Bad values of options croak.

=back

=head1 SEE ALSO

L<FCGIPM>, L<FCGIPM::ProcManager::Options>, L<FCGIPM::ProcManager::Events>

=cut
