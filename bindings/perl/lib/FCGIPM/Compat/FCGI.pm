package FCGI;

# The module FCGI, on libfcgipm.

use strict;
use warnings;

use mro 'c3';

use FCGIPM;
use FCGIPM::Alias;
use FCGIPM::Compat::Managed;
use FCGIPM::Library;
use FCGIPM::Request;
use FCGIPM::Signals;
use FCGIPM::Stream::Input;
use FCGIPM::Stream::Output;
use Scalar::Util ();

our $VERSION = '0.82';

our @ISA = 'FCGIPM::Request';

sub FAIL_ACCEPT_ON_INTR () { return 1 }

BEGIN {
    FCGIPM::Alias::alias_all('FCGI', 'FCGIPM::Request',
        qw(Finish Flush Detach Attach LastCall GetEnvironment GetHandles IsFastCGI StartFilterData DESTROY));
}

# FCGI removes any existing file. An empty one is removed here, too: File::Temp leaves such files.
sub OpenSocket($$) {
    my ($address) = @_;
    my $opened = FCGIPM::Compat::Managed::open_socket_at($address);
    return $opened if defined $opened;
    $FCGIPM::Compat::Managed::has_opened = 1;
    unlink $address if defined $address && -f $address && -z _;
    goto &FCGIPM::OpenSocket;
}

$FCGIPM::Compat::Managed::open_socket = sub { OpenSocket($_[0], $_[1]) };

sub CloseSocket($) {
    FCGIPM::Compat::Managed::forget_socket($_[0]);
    goto &FCGIPM::CloseSocket;
}

sub Request(;***$*$) {
    my $socket = @_ < 5 ? FCGIPM::Compat::Managed::default_socket() : 0;
    my @arguments = (\*STDIN, \*STDOUT, \*STDERR, \%ENV, $socket, FAIL_ACCEPT_ON_INTR);
    splice @arguments, 0, @_, @_;
    return &RequestX(@arguments);
}

# libfcgi's handlers, for signals that the program does not handle: TERM and USR1 end it after the
# request, and PIPE does nothing.
my %HANDLER = (
    PIPE => sub { },
    map { $_ => sub { FCGIPM::Library::worker_retire() } } qw(TERM USR1),
);
{
    no warnings 'once';
    @FCGIPM::Signals::is_ours{ values %HANDLER } = values %HANDLER;
}
my $is_handling;

sub _handle_signals {
    $is_handling = 1;
    for my $name (keys %HANDLER) {
        my $now = $SIG{$name};
        $SIG{$name} = $HANDLER{$name} if !defined $now || $now eq '' || $now eq 'DEFAULT';
    }
    return;
}

sub RequestX(***$$$) {
    my @arguments = @_;
    _handle_signals() if !$is_handling;
    $FCGIPM::Compat::Managed::has_opened = 1;
    if (defined $arguments[4]) {
        my $descriptor = fileno $arguments[4];
        $arguments[4] = $descriptor if defined $descriptor;
    }
    return __PACKAGE__->create(@arguments);
}

sub Accept($) {
    FCGIPM::Compat::Managed::start_manager($_[0]) if $FCGIPM::Compat::Managed::is_undecided;
    goto &FCGIPM::Request::Accept;
}

# In a stream of one direction, the fields of the other direction are those of a closed stream.
sub stream_in {
    my $class = shift;
    my $stream = FCGI::Stream->FCGIPM::Stream::Input::new(@_);
    @$stream[ FCGIPM::Stream::Output::GATHERED, FCGIPM::Stream::Output::CLOSED ] = (\my $nothing, 1);
    $nothing = '';
    return $stream;
}

sub stream_out {
    my $class = shift;
    my $stream = FCGI::Stream->FCGIPM::Stream::Output::new(@_);
    FCGIPM::Stream::Input::end($stream);
    $stream->[FCGIPM::Stream::Input::FAILURE] = 0;
    return $stream;
}

# A stream must know its handle to reopen it.
sub create {
    my $class = shift;
    my $self = $class->SUPER::create(@_);
    for my $place (0 .. 2) {
        my $stream = $self->{streams}[$place];
        # Descriptor 0 may be the listening socket.
        my $is_own = $place == 0 && $self->{socket} == 0;
        $stream->handle($self->{handles}[$place], $is_own ? undef : $place);
    }
    return $self;
}

package FCGI::Stream;

# Both directions in one class, as in FCGI. NUMBER is 0 for an input. Methods that are called for
# each line are inherited, and find the other direction closed.

use mro 'c3';

our @ISA = qw(FCGIPM::Stream::Output FCGIPM::Stream::Input);

# GLOB and DESCRIPTOR are this class's own fields, behind those of an input.
use constant { NUMBER => 2, CLOSED => 3, GLOB => 9, DESCRIPTOR => 10 };

BEGIN {
    no strict 'refs';
    for my $method (qw(begin end at_end CLOSE)) {
        my ($of_output, $of_input) = map { \&{"FCGIPM::Stream::${_}::$method"} } qw(Output Input);
        FCGIPM::Alias::alias("FCGI::Stream::$method", sub { goto &{ $_[0][NUMBER] ? $of_output : $of_input } });
    }
}

sub READ {
    return 0 if $_[0][NUMBER] && @_ == 3;
    goto &FCGIPM::Stream::Input::READ;
}

# Programs wrap methods by their full names.
BEGIN {
    FCGIPM::Alias::alias_all('FCGI::Stream', 'FCGIPM::Stream::Output', qw(PRINT PRINTF WRITE));
    FCGIPM::Alias::alias_all('FCGI::Stream', 'FCGIPM::Stream::Input',  qw(READLINE GETC));
    FCGIPM::Alias::alias_all('FCGI::Stream', 'FCGIPM::Stream', qw(TIEHANDLE UNTIE SEEK TELL BINMODE FILENO EOF));
}

sub handle {
    my ($stream, $glob, $descriptor) = @_;
    Scalar::Util::weaken($stream->[GLOB] = $glob);
    my $name = Scalar::Util::reftype($glob) eq 'GLOB' ? *{$glob}{PACKAGE} . '::' . *{$glob}{NAME} : '';
    $stream->[DESCRIPTOR] = $name =~ /\Amain::STD(?:IN|OUT|ERR)\z/ ? $descriptor : undef;
    return;
}

# Only an output can be reopened.
sub reopen {
    my ($stream) = @_;
    $stream->[CLOSED] = 0 if $stream->[NUMBER];
    return;
}

sub OPEN {
    my ($stream, @arguments) = @_;
    require FCGIPM::Compat::Redirected;
    my $redirected = FCGIPM::Compat::Redirected->new($stream, @$stream[ GLOB, DESCRIPTOR ]);
    return $redirected->redirect(scalar caller, @arguments);
}

1;

__END__

=head1 NAME

FCGIPM::Compat::FCGI - what C<use FCGI> loads under FCGIPM::Compat

=head1 SYNOPSIS

    #!/usr/bin/perl
    use strict;
    use warnings;
    use FCGIPM::Compat;
    use FCGI;

    my $count   = 0;
    my $request = FCGI::Request();
    while ($request->Accept() >= 0) {
        print "Content-Type: text/plain\r\n\r\n", ++$count, "\n";
    }

=head1 DESCRIPTION

The functions and methods of FCGI 0.82 in the package C<FCGI>, implemented by L<FCGIPM> and
L<FCGIPM::Request>. The handles are tied to C<FCGI::Stream>, which is L<FCGIPM::Stream>.

As with libfcgi, TERM and USR1 end the program after its request unless it handles them itself, and
PIPE does not end it.

OpenSocket replaces the file of a socket on which no process answers, and an empty file. FCGI
replaces any file.

=head1 SEE ALSO

L<FCGIPM::Compat>

=cut
