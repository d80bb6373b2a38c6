package FCGIPM::Request;

# One request after another on a listening socket: Accept fills the environment and ties the handles,
# Finish unties them and ends the response.

use strict;
use warnings;

use Carp ();
use Errno ();
use Scalar::Util ();

use FCGIPM::FFI;
use FCGIPM::Signals;
use FCGIPM::Stream::Input;
use FCGIPM::Stream::Output;
use FCGIPM::XS;

our $VERSION = '0.1.0';

our @CARP_NOT = 'FCGIPM';    # wrong arguments are its caller's

# What Accept returns where the library names no errno, and after LastCall, as FCGI does.
use constant { NO_ERRNO => -9999, NO_MORE => -Errno::ENOTCONN };

# Room for the parameters of a usual request.
use constant COLUMNS => 16 * 1024;

my $last_call = 0;
my $served_as_cgi = 0;
my $started_by_server;

# The library's options for handles that are made from now on; the environment wins over them.
our $options;

# Library handles of this process; what a retired worker does where Accept would return (see
# leave_at_accept); and who is told then that it is to leave.
my $loops = 0;
my $leave;
our $retired;

# The request's fields:
#   handle       the library's request, made by the first Accept: most programs make the request
#                before they fork, and a handle serves only the process that made it
#   out, err     what the streams have gathered, shared with them;  held: what they hold in a child
#   pid          the process that the handle is of
#   names, list  the names of the parameters that the hash was filled with, and as the library lists them,
#                to the end of the list
#   active       between Accept and Finish;  bound: the handles are tied
sub create {
    my ($class, $in, $out, $err, $environment, $socket, $flags) = @_;
    my %handle = (in => $in, out => $out, err => $err);
    for (qw(in out err)) {
        _is($handle{$_}, 'GLOB') or Carp::croak("$_ is not a GLOB reference: ", _shown($handle{$_}));
    }
    _is($environment, 'HASH') or Carp::croak('env is not a reference to a hash: ', _shown($environment));
    defined $socket && $socket =~ /\A\s*-?\d+\s*\z/
        or Carp::croak('socket is not a descriptor: ', _shown($socket));

    # A failed OpenSocket: every worker would start only to find it out again.
    $socket >= 0 or Carp::croak("socket is not a descriptor: '$socket' (", FCGIPM::FFI::last_error_message(), ')');

    my ($handle, $gathered_out, $gathered_err, $held_out, $held_err) = (undef, '', '', '', '');
    return bless {
        handles     => [ $in, $out, $err ],
        environment => $environment,
        socket      => $socket,
        flags       => $flags || 0,
        handle      => \$handle,
        names       => [],
        list        => '',
        out         => \$gathered_out,
        err         => \$gathered_err,
        held        => [ \$held_out, \$held_err ],
        streams     => [
            $class->stream_in(\$handle),
            $class->stream_out(\$gathered_out, \$handle, FCGIPM::FFI::STREAM_STDOUT, \$held_out),
            $class->stream_out(\$gathered_err, \$handle, FCGIPM::FFI::STREAM_STDERR, \$held_err),
        ],
        scope => $environment == \%ENV ? FCGIPM::FFI::PARAMS_ENVIRONMENT : FCGIPM::FFI::PARAMS_WELL_FORMED,
    }, $class;
}

# What the handles are tied to.
sub stream_in  { my $class = shift; return FCGIPM::Stream::Input->new(@_) }
sub stream_out { my $class = shift; return FCGIPM::Stream::Output->new(@_) }

sub _is {
    my ($reference, $type) = @_;
    return ref $reference && (Scalar::Util::reftype($reference) || '') eq $type;
}

sub _shown {
    my ($value) = @_;
    return defined $value ? "'$value'" : 'undef';
}

# Getters.

sub GetEnvironment($) { return $_[0]{environment} }
sub GetHandles($)     { return @{ $_[0]{handles} }[ 0 .. 2 ] }

# Descriptor 0 may be a plain standard input: then the program was started as CGI. Looked up once,
# because a program may put another file there later.
sub IsFastCGI($) {
    my ($self) = @_;
    return 1 if $self->{socket} != 0;
    $started_by_server = FCGIPM::FFI::socket_is_listening(0) if !defined $started_by_server;
    return $started_by_server;
}

sub Params {
    my ($self) = @_;
    return if !$self->{active};
    return _pairs($self, FCGIPM::FFI::PARAMS_ALL);
}

sub Param {
    my ($self, $name) = @_;
    return undef if !$self->{active};
    utf8::encode($name) if utf8::is_utf8($name) && !utf8::downgrade($name, 1);
    my $found = FCGIPM::FFI::request_param(${ $self->{handle} }, $name, length $name, \my $value, \my $length);
    return $found > 0 ? FCGIPM::FFI::bytes_at($value, $length) : undef;
}

sub Aborted {
    my ($self) = @_;
    return $self->{active} && FCGIPM::FFI::request_aborted(${ $self->{handle} }) == 1;
}

sub PeerAddress {
    my ($self) = @_;
    return undef if !$self->{active};
    return FCGIPM::FFI::text_of(\&FCGIPM::FFI::request_peer_address, ${ $self->{handle} });
}

# Inputs: the loop.

sub Accept($) {
    my ($self) = @_;
    # The handlers of the signals that came before this call have run. Of those that come from here on, Accept tells, also
    # if their handlers run before the library waits.
    my $handle = $self->{handle};
    _forget_signals($$handle);
    $FCGIPM::Signals::is_from_manager = 0;
    return _accept_as_cgi() if $self->{socket} == 0 && !$self->IsFastCGI;
    Finish($self) if $self->{active};

    for (;;) {
        if ($last_call) { $! = Errno::ENOTCONN; return NO_MORE }
        $! = 0;
        return _failure(FCGIPM::FFI::ESYSTEM) if !defined $$handle && !_make_handle($self);
        FCGIPM::Signals::look() if $FCGIPM::Signals::is_looking;
        my $result = _accept($$handle);
        last if $result == 0;
        # Perl runs the handlers of signals that came meanwhile now, between two statements.
        if ($result == FCGIPM::FFI::EINTERRUPTED) {
            return _failure($result) if $self->{flags} & FCGIPM::FFI::FAIL_ACCEPT_ON_INTR && !$FCGIPM::Signals::is_from_manager;
            $FCGIPM::Signals::is_from_manager = 0;
        }
        elsif ($result == FCGIPM::FFI::EFORKED) { _forget_handle($self) }
        else {
            if ($result == FCGIPM::FFI::ERETIRED) {
                $retired->() if $retired;
                $leave->()   if $leave;
            }
            return _failure($result);
        }
    }

    _begin($self);
    return 0;
}

sub begin_in_perl {
    my ($self) = @_;
    my $streams = $self->{streams};
    FCGIPM::Stream::Input::begin($streams->[0]);
    FCGIPM::Stream::Output::begin($streams->[1]);
    FCGIPM::Stream::Output::begin($streams->[2]);
    $self->{active} = 1;
    fill_in_perl($self);
    _bind($self);
    return;
}

# What FCGIPM::XS does in C. It leaves an end that is not usual to Perl, and does nothing then.
BEGIN {
    (*_forget_signals, *_accept, *_begin, *_ended) =
        $FCGIPM::XS::is_loaded
        ? (\&FCGIPM::XS::forget_signals, \&FCGIPM::XS::accept, \&FCGIPM::XS::begin, \&FCGIPM::XS::end)
        : (\&FCGIPM::FFI::request_forget_signals, \&FCGIPM::FFI::request_accept, \&begin_in_perl, sub { 0 });
}

# Called by name and not as a method, here and by Accept and DESTROY: a class that has a Finish of its own
# is not asked.
sub Finish($) {
    my ($self) = @_;
    return if !$self->{active} || _ended($self);
    # The library knows without a system call, which $$ is.
    return _end($self) if FCGIPM::FFI::request_role(${ $self->{handle} }) != FCGIPM::FFI::EFORKED;

    # A child of the process that accepted the request goes on with it, because it says so.
    FCGIPM::FFI::request_go_on_in_child(${ $self->{handle} });
    _end($self);
    _forget_handle($self);
    return;
}

sub _end {
    my ($self) = @_;
    my $bound = $self->{bound};
    _unbind($self) if $bound;
    $self->{active} = 0;

    my ($handle, $out, $err, $held) = @$self{qw(handle out err held)};
    if ($bound) {
        FCGIPM::Stream::Output::release_held($out, $held->[0]);
        FCGIPM::Stream::Output::release_held($err, $held->[1]);
        if (length $$err > 1) {
            my $bytes = FCGIPM::Stream::Output::taken($err);
            FCGIPM::FFI::request_write($$handle, FCGIPM::FFI::STREAM_STDERR, $bytes, length $bytes);
        }
        my $bytes = FCGIPM::Stream::Output::taken($out);
        FCGIPM::FFI::request_finish_with($$handle, $bytes, length $bytes);
    }
    else {
        # Detached: the connection is a child's now.
        FCGIPM::FFI::request_abandon($$handle);
    }
    # In global destruction the streams may be gone before their request.
    my ($input, @outputs) = @{ $self->{streams} };
    FCGIPM::Stream::Input::end($input) if defined $input;
    defined and FCGIPM::Stream::Output::end($_) for @outputs;
    return;
}

sub Flush($) {
    my ($self) = @_;
    return if !$self->{bound};
    $_->flush for @{ $self->{streams} }[ 1, 2 ];
    return;
}

sub Detach($) {
    my ($self) = @_;
    return if !$self->{active} || !$self->{bound};
    _unbind($self);
    FCGIPM::FFI::request_detach(${ $self->{handle} });
    return;
}

sub Attach($) {
    my ($self) = @_;
    return if !$self->{active} || $self->{bound};
    _bind($self);
    FCGIPM::FFI::request_attach(${ $self->{handle} });
    return;
}

# For every request of the process, as with FCGI; signal handlers call it.
sub LastCall($) {
    $last_call = 1;
    return;
}

sub StartFilterData($) {
    my ($self) = @_;
    return -1 if !$self->{active};
    my $result = FCGIPM::FFI::request_start_filter_data(${ $self->{handle} });
    my $in = $self->{streams}[0];
    if ($result == 0) {
        $in->begin;
        return 0;
    }
    $in->refuse;
    return -1;
}

sub SetExitStatus {
    my ($self, $status) = @_;
    return -1 if !$self->{active};
    return FCGIPM::FFI::request_set_exit_status(${ $self->{handle} }, $status);
}

# A worker that is to leave does so in Accept, where the library first hands over or answers what came
# in on kept connections; a plain exit would lose it. False if no loop will come by there.
sub leave_at_accept {
    my ($action) = @_;
    return 0 if !$loops;
    $leave = $action;
    return 1;
}

sub loops { return $loops }

# How long a child that ends waits for its parent to leave it the request, in milliseconds.
use constant PATIENCE => 1000;

# A `die` or `exit` in the middle of a request comes by here. In a child of the process that accepted it, the
# request is the parent's, and the library leaves it alone, unless the parent has left it to the child. Where the parent
# has not come to say so, and the child has something to say, it waits for it.
sub DESTROY {
    my ($self) = @_;
    local ($., $@, $!, $^E, $?);
    my $is_own = !$self->{active} || $self->{pid} == $$;
    if ($self->{active} && ($is_own || _is_left($self))) {
        FCGIPM::FFI::request_go_on_in_child(${ $self->{handle} }) if !$is_own;
        _end($self);
        $is_own = 1;
    }
    _unbind($self) if $self->{bound};
    _forget_handle($self) if $is_own || !FCGIPM::Stream::Output::has_gone_on($self->{handle});
    return;
}

sub _is_left {
    my ($self) = @_;
    return 0 if !$self->{bound};
    my $has_output = length ${ $self->{out} } > 1 || length ${ $self->{err} } > 1 || grep { length $$_ } @{ $self->{held} };
    return FCGIPM::FFI::request_belongs_here(${ $self->{handle} }, $has_output ? PATIENCE : 0) == 1;
}

# The library's handle is no memory of perl's: a new thread must not free it again.
sub CLONE_SKIP { return 1 }

sub _make_handle {
    my ($self) = @_;
    # Waiting must end for a signal in any case, so that perl can run its handlers.
    my $flags = $self->{flags} | FCGIPM::FFI::RETURN_ON_SIGNAL;
    # The manager of `fcgipm run` names its worker.
    my $is_worker = ($ENV{FCGIPM_WORKER} || '') =~ /\A[0-9]+:$$:/;
    my $handle = FCGIPM::FFI::request_new($self->{socket}, $flags, $options);
    FCGIPM::Signals::expect_signals(qw(TERM HUP INT QUIT)) if $is_worker && defined $handle;
    $loops++ if defined $handle;
    $self->{pid} = $$;
    return ${ $self->{handle} } = $handle;
}

sub _forget_handle {
    my ($self) = @_;
    my $handle = $self->{handle};
    return if !defined $$handle;
    FCGIPM::FFI::request_free($$handle);
    $$handle = undef;
    $loops--;
    return;
}

sub _failure {
    my ($code) = @_;
    # A handler that ran meanwhile may have left anything in $!.
    $! = 0 if $code == FCGIPM::FFI::EINTERRUPTED || $code == FCGIPM::FFI::ERETIRED;
    FCGIPM::FFI::set_errno($code);
    return $! ? -$! : NO_ERRNO;
}

sub _accept_as_cgi {
    return -1 if $served_as_cgi;
    $served_as_cgi = 1;
    return 0;
}

# In this order, because one handle may have two places: the first counts. A program that has tied it to
# something of its own keeps that.
sub _bind {
    my ($self) = @_;
    my $streams = $self->{streams};
    my ($in, $out, $err) = @{ $self->{handles} };
    tie *$out, $streams->[1] if !tied *$out;
    tie *$err, $streams->[2] if !tied *$err;
    tie *$in,  $streams->[0] if !tied *$in;
    $self->{bound} = 1;
    return;
}

sub _unbind {
    my ($self) = @_;
    $self->{bound} = 0;
    no warnings 'untie';
    defined and untie *$_ for @{ $self->{handles} };
    return;
}

# Where the library puts names and values. vec() gives the scalar bytes of its own, shared with no constant.
my $columns = '';
vec($columns, COLUMNS - 1, 8) = 0;

# Nothing of one request may be found by the next, so each value is a scalar of its own: a program may have kept
# a reference to it, put an object there, or left the position of a match on it.
sub fill_in_perl {
    my ($self) = @_;
    return _fill_process_environment($self) if $self->{scope} == FCGIPM::FFI::PARAMS_ENVIRONMENT;
    my $length = FCGIPM::FFI::request_copy_params(${ $self->{handle} }, $self->{scope}, '', 0, $columns, COLUMNS);
    my ($environment, $list) = @$self{qw(environment list)};
    my $end = length $list;
    return _replace_environment($self) if $length > COLUMNS || !$end || substr($columns, 0, $end) ne $list;

    %$environment = ();
    @$environment{ @{ $self->{names} } } = split /\0/, substr($columns, $end, $length - $end - 1), -1;
    return;
}

# Setting an element of %ENV changes the process's environment and is what costs, and most of what one request
# has the next has, too. So the library is shown what the hash has now, whatever the program did with it, and
# names what differs. A value that somebody else has, too, or that holds the position of a match, is replaced.
sub _fill_process_environment {
    my ($self) = @_;
    local $@;
    my ($environment, $names) = @$self{qw(environment names)};
    return _replace_environment($self)
        if !@$names || keys %$environment != @$names
        || grep { Internals::SvREFCNT($_) > 1 || defined pos } @$environment{@$names};

    my $held = do { no warnings 'uninitialized'; join "\0", substr($self->{list}, 0, -1), @$environment{@$names}, '' };
    my $length = utf8::is_utf8($held) ? 0 : length $held;
    $length = FCGIPM::FFI::request_copy_params(${ $self->{handle} }, $self->{scope}, $held, $length, $columns, COLUMNS);
    return _replace_environment($self) if $length > COLUMNS || ord $columns;

    my @changes = $length > 1 ? split /\0/, substr($columns, 1, $length - 2), -1 : ();
    eval {
        while (@changes) {
            my $name = shift @changes;
            my $value = shift @changes;
            $environment->{$name} = $value if $value ne '' || !defined $environment->{$name} || $environment->{$name} ne '';
        }
        1;
    } or return _replace_environment($self);    # one was made read-only
    # The slice above has made names anew that the program took out.
    return keys %$environment == @$names ? () : _replace_environment($self);
}

sub _replace_environment {
    my ($self) = @_;
    my ($into, $size) = (\$columns, COLUMNS);
    my @arguments = (${ $self->{handle} }, $self->{scope}, '', 0);
    my $length = FCGIPM::FFI::request_copy_params(@arguments, $$into, $size);
    if ($length > $size) {
        ($into, $size) = (\my $large, $length);
        vec($$into, $size - 1, 8) = 0;
        $length = FCGIPM::FFI::request_copy_params(@arguments, $$into, $size);
    }
    my $end = 2 + index $$into, "\0\0";
    $self->{list} = substr $$into, 0, $end;
    $self->{names} = [ split /\0/, $self->{list} ];
    my $environment = $self->{environment};
    %$environment = ();
    @$environment{ @{ $self->{names} } } = split /\0/, substr($$into, $end, $length - $end - 1), -1;
    return;
}

sub _pairs {
    my ($self, $scope) = @_;
    FCGIPM::FFI::request_params(${ $self->{handle} }, $scope, \my $data, \my $length);
    return unpack '(N/ax N/ax)*', unpack "P$length", pack 'J', $data;
}

1;

__END__

=head1 NAME

FCGIPM::Request - the requests of a FastCGI program, one after another

=head1 SYNOPSIS

    #!/usr/bin/perl
    use strict;
    use warnings;
    use FCGIPM;

    my $socket = FCGIPM::OpenSocket('/run/app.sock', 100);
    $socket >= 0 or die FCGIPM::last_error(), "\n";

    my %environment;
    my $request = FCGIPM::Request(\*STDIN, \*STDOUT, \*STDERR, \%environment, $socket);

    while ($request->Accept >= 0) {
        print "Content-Type: text/plain\r\n\r\n",
            "Hello, ", $request->PeerAddress, ": $environment{REQUEST_METHOD}\n";
    }

=head1 DESCRIPTION

C<FCGIPM::Request(...)> (see L<FCGIPM>) creates the object. It has the methods of FCGI 0.82 and some
more.

=head2 Methods of FCGI

=over 4

=item Accept

Ends the previous request, if there is one, and waits for the next. Then it fills the environment,
ties the handles, and returns 0.

It returns a negative number if there is no further request:

=over 4

=item C<-EINTR>

A signal arrived and the request was created with C<FCGIPM::FAIL_ACCEPT_ON_INTR>; the signal's
handler has run. Or the process manager retired this worker.

=item C<-ENOTCONN>

C<LastCall> was called.

=back

C<$!> has the cause, and L<FCGIPM/last_error> the message.

Without C<FAIL_ACCEPT_ON_INTR>, signal handlers run as well, and Accept continues to wait.

=item Finish

Unties the handles and ends the response. While the handles are detached, it leaves the response to
a child process. If there is no child, the connection is closed.

=item Flush

Sends what was written so far.

=item Detach, Attach

Untie the handles during a request, and tie them again. C<Detach> leaves the request to a child
process that was forked before or is forked later. C<Attach> takes it back; in a child, it ties the
handles there.

=item LastCall

This process accepts no further requests.

=item GetEnvironment, GetHandles

Return the hash reference, or the three handles, that the request was created with.

=item IsFastCGI

False if the socket is descriptor 0 and that is not a listening socket: the program was started as
CGI. In this case Accept returns 0 once and changes nothing, and then returns -1.

=item StartFilterData

For a filter, at the end of STDIN: returns 0, and STDIN then reads the data. Otherwise returns -1.

=back

=head2 Additional methods

=over 4

=item Params

All parameters of the request, unfiltered, as a list of names and values.

=item Param(NAME)

One parameter, or undef.

=item Aborted

True if the web server has aborted the request.

=item PeerAddress

C<127.0.0.1:4711>, C<[::1]:4711>, or C<unix:>.

=item SetExitStatus(N)

Sets the status that the web server receives at the end of the response. The default is 0.

=back

=head2 The environment

Each Accept empties the hash and fills it with the request's parameters. After Finish it stays
unchanged. If the hash is C<%ENV>, it is the process's environment as well, so programs that the
request starts see it.

A parameter C<HTTP_PROXY> is not put into C<%ENV>, where programs would take it for their own
setting. C<Param> and any other hash have it. Names with C<=>, and names or values with a NUL byte,
are left out.

=head1 DIFFERENCES FROM FCGI 0.82

=over 4

=item *

C<HTTP_PROXY>, and names and values that no environment can contain, are treated as described above.

=item *

A child that was forked during a request answers it if the parent has called C<Detach>. Otherwise
the child exits without touching the connection; with FCGI it answers a second time. What a child
prints after the end of its request is dropped; with FCGI another client may receive it. The rules
are in F<docs/FORKING.md>.

=item *

A request is not run if its client closed the connection while it waited to be accepted behind a
slow request: no one would receive the response. By default this is done only where it is certain,
which is for a closed unix socket or a reset TCP connection. The option C<skip_disconnected> extends it
or turns it off (L<FCGIPM::ProcManager::Options>, F<docs/OPTIONS.md>).

=item *

Error messages about wrong arguments of C<Request> also show the value. A negative socket, as
returned by a failed C<OpenSocket>, is a wrong argument.

=back

=head1 SEE ALSO

L<FCGIPM>, L<FCGIPM::Stream>, L<FCGIPM::ProcManager>

=cut
