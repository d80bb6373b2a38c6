package FCGIPM::Request;

# One request after another on a listening socket: Accept fills the environment and ties the
# handles, Finish unties them and ends the response.
#
#     call      idle          serving (active, bound)       detached (active)
#     Accept    -> serving    Finish, then -> serving       Finish, then -> serving
#     Finish    nothing       ends the response -> idle     leaves the response to a child -> idle
#     Detach    nothing       -> detached                   nothing
#     Attach    nothing       nothing                       -> serving
#
# FCGIPM::XS does in C what every request does. It hands unusual cases to the functions here.

use strict;
use warnings;

use Carp ();
use Errno ();
use Scalar::Util ();

use FCGIPM::Library;
use FCGIPM::Request::Environment;
use FCGIPM::Request::Fork;
use FCGIPM::Request::Handles;
use FCGIPM::Request::Loop;
use FCGIPM::Signals;
use FCGIPM::Stream::Input;
use FCGIPM::Stream::Output;
use FCGIPM::XS;

our $VERSION = '0.1.0';

our @CARP_NOT = 'FCGIPM';    # reports wrong arguments at the line of its caller

# What Accept returns where the library has no errno, and after LastCall; the same values as FCGI.
use constant { NO_ERRNO => -9999, NO_MORE => -Errno::ENOTCONN };

my $last_call = 0;
my $served_as_cgi = 0;
my $started_by_server;

# The request's fields:
#   handle        the library's request (FCGIPM::Request::Loop), a reference that the streams share
#   pid           the process that created the handle
#   out, err      the output that the streams have gathered, shared with them
#   held          output that a child may not send yet (FCGIPM::Request::Fork), shared with them
#   names, list   the names of the parameters in the hash: as an array, and as the library lists them
#   scope         which parameters go into the hash
#   active        between Accept and Finish
#   bound         the handles are tied
sub create {
    my ($class, $in, $out, $err, $environment, $socket, $flags) = @_;
    my %handle = (in => $in, out => $out, err => $err);
    for (qw(in out err)) {
        _is($handle{$_}, 'GLOB') or Carp::croak("$_ is not a GLOB reference: ", _shown($handle{$_}));
    }
    _is($environment, 'HASH') or Carp::croak('env is not a reference to a hash: ', _shown($environment));
    defined $socket && $socket =~ /\A\s*-?\d+\s*\z/
        or Carp::croak('socket is not a descriptor: ', _shown($socket));

    # A failed OpenSocket. Reported here, before workers are started that would all fail.
    $socket >= 0 or Carp::croak("socket is not a descriptor: '$socket' (", FCGIPM::Library::last_error_message(), ')');

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
            $class->stream_out(\$gathered_out, \$handle, FCGIPM::Library::STREAM_STDOUT, \$held_out),
            $class->stream_out(\$gathered_err, \$handle, FCGIPM::Library::STREAM_STDERR, \$held_err),
        ],
        scope => $environment == \%ENV ? FCGIPM::Library::PARAMS_ENVIRONMENT : FCGIPM::Library::PARAMS_WELL_FORMED,
    }, $class;
}

# The objects that the handles are tied to. FCGIPM::Compat has its own class.
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

sub GetEnvironment($) { return $_[0]{environment} }
sub GetHandles($)     { return @{ $_[0]{handles} }[ 0 .. 2 ] }

# If descriptor 0 is not a listening socket, the program was started as CGI. Checked once, because a
# program may put another file there later.
sub IsFastCGI($) {
    my ($self) = @_;
    return 1 if $self->{socket} != 0;
    $started_by_server = FCGIPM::Library::socket_is_listening(0) if !defined $started_by_server;
    return $started_by_server;
}

sub Params {
    my ($self) = @_;
    return if !$self->{active};
    FCGIPM::Library::request_params(${ $self->{handle} }, FCGIPM::Library::PARAMS_ALL, \my $data, \my $length);
    return unpack '(N/ax N/ax)*', unpack "P$length", pack 'J', $data;
}

sub Param {
    my ($self, $name) = @_;
    return undef if !$self->{active};
    utf8::encode($name) if utf8::is_utf8($name) && !utf8::downgrade($name, 1);
    my $found = FCGIPM::Library::request_param(${ $self->{handle} }, $name, length $name, \my $value, \my $length);
    return $found > 0 ? FCGIPM::Library::bytes_at($value, $length) : undef;
}

sub Aborted {
    my ($self) = @_;
    return $self->{active} && FCGIPM::Library::request_aborted(${ $self->{handle} }) == 1;
}

sub PeerAddress {
    my ($self) = @_;
    return undef if !$self->{active};
    return FCGIPM::Library::text_of(\&FCGIPM::Library::request_peer_address, ${ $self->{handle} });
}

# The accept loop.

sub Accept($) {
    my ($self) = @_;
    # Handlers of signals that arrived before this call have run. Accept reports those that arrive
    # from here on, even if their handlers run before the library waits.
    my $handle = $self->{handle};
    _forget_signals($$handle);
    $FCGIPM::Signals::woken_by_manager = 0;
    return _accept_as_cgi() if $self->{socket} == 0 && !$self->IsFastCGI;
    Finish($self) if $self->{active};

    for (;;) {
        if ($last_call) { $! = Errno::ENOTCONN; return NO_MORE }
        $! = 0;
        return _failure(FCGIPM::Library::ESYSTEM) if !defined $$handle && !FCGIPM::Request::Loop::create_handle($self);
        FCGIPM::Signals::check() if $FCGIPM::Signals::needs_check;
        my $result = _accept($$handle);
        last if $result == 0;
        # Perl runs the handlers of signals that arrived meanwhile here, between two statements.
        if ($result == FCGIPM::Library::EINTERRUPTED) {
            return _failure($result) if $self->{flags} & FCGIPM::Library::FAIL_ACCEPT_ON_INTR && !$FCGIPM::Signals::woken_by_manager;
            $FCGIPM::Signals::woken_by_manager = 0;
        }
        elsif ($result == FCGIPM::Library::EFORKED)  { FCGIPM::Request::Loop::free_handle($self) }
        elsif ($result == FCGIPM::Library::EFORKDUE) { $FCGIPM::Request::Loop::on_fork_due->() }
        else {
            FCGIPM::Request::Loop::retired() if $result == FCGIPM::Library::ERETIRED;
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
    FCGIPM::Request::Environment::fill($self);
    FCGIPM::Request::Handles::bind($self);
    return;
}

# Parts that FCGIPM::XS does in C. Its `end` does nothing and returns false if the request has to be
# ended in Perl.
BEGIN {
    (*_forget_signals, *_accept, *_begin, *_ended) =
        $FCGIPM::XS::is_loaded
        ? (\&FCGIPM::XS::forget_signals, \&FCGIPM::XS::accept, \&FCGIPM::XS::begin, \&FCGIPM::XS::end)
        : (\&FCGIPM::Library::request_forget_signals, \&FCGIPM::Library::request_accept, \&begin_in_perl, sub { 0 });
}

# Accept calls it as a function and not as a method, as FCGI does: a subclass's own Finish is not
# called there.
sub Finish($) {
    my ($self) = @_;
    return if !$self->{active} || _ended($self);
    # The library knows without a system call, which $$ is.
    return _end($self) if FCGIPM::Library::request_role(${ $self->{handle} }) != FCGIPM::Library::EFORKED;

    FCGIPM::Request::Fork::continue_in_child($self);
    _end($self);
    FCGIPM::Request::Loop::free_handle($self);
    return;
}

sub _end {
    my ($self) = @_;
    my $bound = $self->{bound};
    FCGIPM::Request::Handles::unbind($self) if $bound;
    $self->{active} = 0;

    my ($handle, $out, $err, $held) = @$self{qw(handle out err held)};
    if ($bound) {
        FCGIPM::Stream::Output::release_held($out, $held->[0]);
        FCGIPM::Stream::Output::release_held($err, $held->[1]);
        if (length $$err > 1) {
            my $bytes = FCGIPM::Stream::Output::take_gathered($err);
            FCGIPM::Library::request_write($$handle, FCGIPM::Library::STREAM_STDERR, $bytes, length $bytes);
        }
        my $bytes = FCGIPM::Stream::Output::take_gathered($out);
        FCGIPM::Library::request_finish_with($$handle, $bytes, length $bytes);
    }
    else {
        # Detached: a child answers.
        FCGIPM::Library::request_abandon($$handle);
    }
    # In global destruction the streams may be destroyed before their request.
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
    FCGIPM::Request::Handles::unbind($self);
    FCGIPM::Library::request_detach(${ $self->{handle} });
    return;
}

sub Attach($) {
    my ($self) = @_;
    return if !$self->{active} || $self->{bound};
    FCGIPM::Request::Handles::bind($self);
    FCGIPM::Library::request_attach(${ $self->{handle} });
    return;
}

# Applies to all requests of the process, as with FCGI. Signal handlers call it.
sub LastCall($) {
    $last_call = 1;
    return;
}

sub StartFilterData($) {
    my ($self) = @_;
    return -1 if !$self->{active};
    my $result = FCGIPM::Library::request_start_filter_data(${ $self->{handle} });
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
    return FCGIPM::Library::request_set_exit_status(${ $self->{handle} }, $status);
}

# Also ends a request in which the program dies or exits. In a child of the process that accepted
# the request, it is the parent's, and the library does not touch it, unless the parent has left it
# to the child.
sub DESTROY {
    my ($self) = @_;
    local ($., $@, $!, $^E, $?);
    my $is_own = !$self->{active} || $self->{pid} == $$;
    if ($self->{active} && ($is_own || FCGIPM::Request::Fork::is_left_to_child($self))) {
        FCGIPM::Request::Fork::continue_in_child($self) if !$is_own;
        _end($self);
        $is_own = 1;
    }
    FCGIPM::Request::Handles::unbind($self) if $self->{bound};
    FCGIPM::Request::Loop::free_handle($self) if $is_own || !FCGIPM::Request::Fork::is_continued($self);
    return;
}

# The library's handle is not perl's memory: a new thread must not free it again.
sub CLONE_SKIP { return 1 }

sub _failure {
    my ($code) = @_;
    # A signal handler may have changed $!.
    $! = 0 if $code == FCGIPM::Library::EINTERRUPTED || $code == FCGIPM::Library::ERETIRED;
    FCGIPM::Library::set_errno($code);
    return $! ? -$! : NO_ERRNO;
}

sub _accept_as_cgi {
    return -1 if $served_as_cgi;
    $served_as_cgi = 1;
    return 0;
}

1;
