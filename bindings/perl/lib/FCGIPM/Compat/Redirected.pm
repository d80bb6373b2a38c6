package FCGIPM::Compat::Redirected;

# STDIN, STDOUT or STDERR of a request after the program has reopened it. The handle stays tied, to
# recognise the `open STDOUT, '>&', $saved` that ends the redirection.

use strict;
use warnings;

use IO::Handle ();
use POSIX ();
use Scalar::Util ();
use Symbol ();

use FCGIPM::Stream;

our $VERSION = '0.1.0';

our @ISA = 'FCGIPM::Stream';

# descriptor   the number of the descriptor that programs inherit for this handle, or undef
# saved        a duplicate of what it was before
# target       a handle, or another stream of the request
sub new {
    my ($class, $stream, $glob, $descriptor) = @_;
    my $self = bless { stream => $stream, glob => $glob, descriptor => $descriptor }, $class;
    Scalar::Util::weaken($self->{glob});
    return $self;
}

# $package: where names of handles are resolved.
sub redirect {
    my ($self, $package, $mode, @what) = @_;
    my $source;
    if    (@what  && $mode =~ /\A\s*(\+?(?:<|>>?))&=?\s*(.*)\z/s)  { ($mode, $source) = ("$1&$2", _handle($what[0], $package)) }
    elsif (!@what && $mode =~ /\A\s*(\+?(?:<|>>?))&=?\s*(.+?)\s*\z/s) { ($mode, $source) = ("$1&", _handle($2, $package)) }

    if (defined $source) {
        my $tied = ref $source && tied *$source;
        $tied = $tied->{target} if $tied && ref $tied eq __PACKAGE__;
        return $self->_restore if $tied && $tied == $self->{stream};
        if ($tied && $tied->isa('FCGIPM::Stream')) {
            my $number = _number($source);
            $self->_become(POSIX::dup($number)) if defined $number;
            return $self->_take($tied);
        }
        my $descriptor = ref $source ? fileno $source : $source;
        if (defined $descriptor && $descriptor < 0) { $! = POSIX::EBADF(); return undef }
        return $self->_restore if defined $descriptor && $self->_is_original($descriptor);
        @what = $source;
    }
    my $target;
    # The syntax with two arguments differs from that with three.
    my $opened = @what ? open $target, $mode, @what : open $target, $mode;
    return $opened if !$opened;
    $target->autoflush;
    my $descriptor = fileno $target;
    $self->_become(POSIX::dup($descriptor)) if defined $descriptor && $descriptor >= 0;
    return $self->_take($target);
}

# A handle, or the number of a descriptor without a handle.
sub _handle {
    my ($what, $package) = @_;
    return $what if ref $what || ref \$what eq 'GLOB';
    return (\*STDIN, \*STDOUT, \*STDERR)[$what] if $what =~ /\A[012]\z/;
    return $what =~ /\A-?\d+\z/ ? $what : Symbol::qualify_to_ref($what, $package);
}

sub _number {
    my ($handle) = @_;
    return { STDIN => 0, STDOUT => 1, STDERR => 2 }->{ *{$handle}{PACKAGE} eq 'main' ? *{$handle}{NAME} : '' };
}

sub _take {
    my ($self, $target) = @_;
    $self->{target} = $target;
    tie *{ $self->{glob} }, $self;
    return 1;
}

# Makes the descriptor a duplicate of the argument, also for programs that are started. Closes the
# argument.
sub _become {
    my ($self, $descriptor) = @_;
    return if !defined $descriptor;
    if (defined $self->{descriptor}) {
        $self->{saved} = POSIX::dup($self->{descriptor}) if !defined $self->{saved};
        POSIX::dup2($descriptor, $self->{descriptor});
    }
    POSIX::close($descriptor);
    return;
}

sub _is_original {
    my ($self, $descriptor) = @_;
    my $original = defined $self->{saved} ? $self->{saved} : $self->{descriptor};
    return 0 if !defined $original;
    my @files = map { [ POSIX::fstat($_) ] } $original, $descriptor;
    return @{ $files[0] } && @{ $files[1] } && "@{ $files[0] }[0, 1]" eq "@{ $files[1] }[0, 1]";
}

sub _restore {
    my ($self) = @_;
    $self->UNTIE;
    $self->{stream}->reopen;
    tie *{ $self->{glob} }, $self->{stream};
    return 1;
}

# Also called at the end of the request, so that the next one starts with the original descriptor.
sub UNTIE {
    my ($self) = @_;
    my $saved = delete $self->{saved};
    delete $self->{target};
    return if !defined $saved;
    POSIX::dup2($saved, $self->{descriptor});
    POSIX::close($saved);
    return;
}

sub OPEN { my ($self, @arguments) = @_; return $self->redirect(scalar caller, @arguments) }

# All other operations act on the target.

sub _stream {
    my ($self) = @_;
    return Scalar::Util::blessed($self->{target}) && $self->{target}->isa('FCGIPM::Stream') ? $self->{target} : undef;
}

sub PRINT {
    my $self = shift;
    my $stream = $self->_stream;
    return $stream ? $stream->PRINT(@_) : print { $self->{target} } @_;
}

sub PRINTF {
    my ($self, $format, @values) = @_;
    my $stream = $self->_stream;
    return $stream ? $stream->PRINTF($format, @values) : printf { $self->{target} } $format, @values;
}

sub WRITE {
    my ($self, $bytes, $length, $offset) = @_;
    my $stream = $self->_stream;
    return $stream ? $stream->WRITE($bytes, $length, $offset) : syswrite $self->{target}, $bytes, $length, $offset || 0;
}

sub READ {
    my $self = shift;
    my $stream = $self->_stream;
    return $stream->READ(@_) if $stream;
    return read $self->{target}, $_[0], $_[1], defined $_[2] ? $_[2] : 0;
}

sub READLINE { my ($self) = @_; my $stream = $self->_stream; return $stream ? $stream->READLINE : readline $self->{target} }
sub GETC     { my ($self) = @_; my $stream = $self->_stream; return $stream ? $stream->GETC : getc $self->{target} }
sub at_end   { my ($self) = @_; my $stream = $self->_stream; return $stream ? $stream->at_end : eof $self->{target} }
sub FILENO   { my ($self) = @_; my $stream = $self->_stream; return $stream ? $stream->FILENO : fileno $self->{target} }
sub SEEK     { my ($self, $to, $from) = @_; return $self->_stream ? 0 : seek $self->{target}, $to, $from }
sub TELL     { my ($self) = @_; return $self->_stream ? -1 : tell $self->{target} }

sub BINMODE {
    my ($self, $layers) = @_;
    return if $self->_stream;
    return defined $layers ? binmode $self->{target}, $layers : binmode $self->{target};
}

sub CLOSE { my ($self) = @_; return $self->_stream ? 1 : close $self->{target} }

1;

__END__

=head1 NAME

FCGIPM::Compat::Redirected - a handle of a request that the program has reopened

=head1 SYNOPSIS

    #!/usr/bin/perl
    use strict;
    use warnings;
    use FCGIPM::Compat;
    use FCGI;

    my $request = FCGI::Request();
    while ($request->Accept >= 0) {
        open my $saved, '>&', \*STDOUT or die "dup: $!";
        open STDOUT, '>', '/tmp/report' or die "/tmp/report: $!";
        system 'date';                  # into the file
        print "and this\n";
        open STDOUT, '>&', $saved or die "dup: $!";
        print "Content-Type: text/plain\r\n\r\ndone\n";    # to the client
    }

=head1 DESCRIPTION

FCGI 0.82 croaks when a program opens STDIN, STDOUT or STDERR during a request. Under
L<FCGIPM::Compat> this works as in any other program, and commands that the program starts use the
reopened handle, too. The redirection ends when the handle is opened to a duplicate of what it was
before, or to itself, and at the latest when the request ends.

C<< open STDERR, '>&', \*STDOUT >> sends what is printed to STDERR to the client.

If the request's listening socket is descriptor 0, commands keep their standard input.

=cut
