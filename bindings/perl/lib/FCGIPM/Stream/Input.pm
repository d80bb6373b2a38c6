package FCGIPM::Stream::Input;

# STDIN of a request. Bytes come from the library in chunks, and lines and characters are taken from
# a buffer without a call.

use strict;
use warnings;

use parent 'FCGIPM::Stream';

use Scalar::Util ();

use FCGIPM::Alias;
use FCGIPM::Library;
use FCGIPM::XS;

our $VERSION = '0.1.0';

# AT_END is true after a read has reached the end of the input; not after the last byte, because
# eof() means this on FCGI's handles. FAILURE is the library's error that ended the input.
#
# HANDLE and NUMBER are the same fields as in an output, and the others are behind an output's:
# under FCGIPM::Compat, one class is both.
use constant { HANDLE => 1, NUMBER => 2, BUFFER => 4, AT_END => 5, FAILURE => 6, ERRNO => 7, CLOSED => 8 };

use constant CHUNK => 64 * 1024;

# A read of a length in this range goes directly into the program's scalar. Not a longer one: the
# length may be a claim of the peer, and memory must only be used for bytes that have arrived.
use constant { DIRECT_FROM => 4 * 1024, DIRECT_TO => 1024 * 1024 };

# Where the library puts a chunk. vec() gives the scalar a buffer of its own, not shared with a
# constant.
my $chunk = '';
vec($chunk, CHUNK - 1, 8) = 0;

sub new {
    my ($class, $handle) = @_;
    my $stream = bless [], $class;
    @$stream[ HANDLE, NUMBER, FAILURE, ERRNO ] = ($handle, 0, 0, 0);
    $stream->end;
    return $stream;
}

# Begin and end of a request.

sub begin {
    my ($stream) = @_;
    @$stream[ BUFFER, AT_END, FAILURE, CLOSED ] = ('', 0, 0, 0);
    return;
}

sub end {
    my ($stream) = @_;
    @$stream[ BUFFER, AT_END, CLOSED ] = ('', 1, 1);
    return;
}

# After a call in the wrong order, close() reports failure.
sub refuse {
    my ($stream) = @_;
    @$stream[ FAILURE, ERRNO ] = (FCGIPM::Library::ESTATE, 0) if !$stream->[FAILURE];
    return;
}

sub at_end { return $_[0][AT_END] }

# The methods of perltie.

sub read_in_perl {
    FCGIPM::Stream::_die('Usage: FCGI::Stream::READ(stream, bufsv, len, ...)') if @_ < 3;
    FCGIPM::Stream::_die('Usage: FCGI::Stream::READ(STREAM, SCALAR, LENGTH [, OFFSET ])') if @_ > 4;
    my ($stream, undef, $length, $offset) = @_;
    $length = FCGIPM::Stream::_integer($length) if !defined $length || $length !~ /\A[0-9]+\z/;
    FCGIPM::Stream::_die('Negative length') if $length < 0;
    FCGIPM::Stream::_die('Modification of a read-only value attempted') if Scalar::Util::readonly($_[1]);
    $_[1] = defined $_[1] ? "$_[1]" : '' if !defined $_[1] || ref $_[1];
    $_[1] = FCGIPM::Stream::_bytes(READ => $_[1]) if utf8::is_utf8($_[1]);
    $offset = @_ > 3 ? FCGIPM::Stream::_integer($offset) : 0;
    my $held = length $_[1];
    FCGIPM::Stream::_die('Offset outside string') if $offset < -$held;
    $offset += $held if $offset < 0;
    if   ($offset > $held) { $_[1] .= "\0" x ($offset - $held) }
    else                   { substr($_[1], $offset) = '' }
    return $stream->_take($length, $_[1]);
}

BEGIN { FCGIPM::Alias::alias('FCGIPM::Stream::Input::READ', $FCGIPM::XS::is_loaded ? \&FCGIPM::XS::read_bytes : \&read_in_perl) }

sub GETC {
    my ($stream) = @_;
    return undef if !length $stream->[BUFFER] && !_fill($stream);
    return substr $stream->[BUFFER], 0, 1, '';
}

sub read_line_in_perl {
    my ($stream) = @_;
    my $separator = $/;
    if (wantarray) {
        return _all_lines($stream, $separator) if defined $separator && !ref $separator && length $separator;
        my @units;
        while (defined(my $unit = _unit($stream, $separator))) { push @units, $unit }
        return @units;
    }
    return _unit($stream, $separator);
}

BEGIN { FCGIPM::Alias::alias('FCGIPM::Stream::Input::READLINE', $FCGIPM::XS::is_loaded ? \&FCGIPM::XS::read_line : \&read_line_in_perl) }

sub CLOSE {
    my ($stream) = @_;
    my $failure = $stream->[FAILURE];
    $stream->end;
    return !$failure;
}

# One line, paragraph or record, or everything, depending on $/.
sub _unit {
    my ($stream, $separator) = @_;
    return _slurp($stream) if !defined $separator;
    return _record($stream, $$separator) if ref $separator;
    if (!length $separator) {
        do { $stream->[BUFFER] =~ s/\A\n+// } while !length $stream->[BUFFER] && _fill($stream);
        $separator = "\n\n";
    }
    my ($from, $width, $at) = (0, length $separator);
    while (($at = index $stream->[BUFFER], $separator, $from) < 0) {
        # The buffer may end with the beginning of a separator.
        $from = length($stream->[BUFFER]) - $width + 1;
        $from = 0 if $from < 0;
        _fill($stream) or return _rest($stream);
    }
    return substr $stream->[BUFFER], 0, $at + $width, '';
}

sub _all_lines {
    my ($stream, $separator) = @_;
    my $all = _slurp($stream);
    return if !defined $all;
    return split /^/, $all if $separator eq "\n";
    my ($from, $width, @lines) = (0, length $separator);
    while ((my $at = index $all, $separator, $from) >= 0) {
        push @lines, substr $all, $from, $at + $width - $from;
        $from = $at + $width;
    }
    push @lines, substr $all, $from if $from < length $all;
    return @lines;
}

sub _slurp {
    my ($stream) = @_;
    1 while _fill($stream);
    return _rest($stream);
}

sub _record {
    my ($stream, $length) = @_;
    my $record = '';
    return $stream->_take($length, $record) ? $record : undef;
}

# The rest, or undef if it is empty.
sub _rest {
    my ($stream) = @_;
    my $rest = $stream->[BUFFER];
    $stream->[BUFFER] = '';
    return length $rest ? $rest : undef;
}

# Appends $length bytes to the third argument, fewer at the end of the input. Returns their number,
# or undef on failure. Directly to the caller's scalar, so that a large body is in memory once.
sub _take {
    my ($stream, $length) = @_;
    my $missing = $length;
    if (my $held = length $stream->[BUFFER]) {
        $_[2] .= substr $stream->[BUFFER], 0, $missing, '';
        $missing -= $held < $missing ? $held : $missing;
    }
    elsif ($length >= DIRECT_FROM && $length <= DIRECT_TO && !length $_[2] && !$stream->[AT_END] && !tied $_[2]) {
        $missing -= _read_directly($stream, $length, $_[2]);
    }
    while ($missing > 0) {
        my $got = _read_chunk($stream);
        if (!$got) {
            return undef if $missing == $length && $stream->[FAILURE];
            last;
        }
        if ($got <= $missing) {
            $_[2] .= substr $chunk, 0, $got;
            $missing -= $got;
        }
        else {
            $_[2] .= substr $chunk, 0, $missing;
            $stream->[BUFFER] = substr $chunk, $missing, $got - $missing;
            $missing = 0;
        }
    }
    return $length - $missing;
}

# Reads a chunk into the buffer. Returns false at the end, and on failure with $! set.
sub _fill {
    my ($stream) = @_;
    my $got = _read_chunk($stream) or return 0;
    $stream->[BUFFER] .= substr $chunk, 0, $got;
    return 1;
}

# After a short read, the next read reports the cause.
sub _read_directly {
    my ($stream, $length) = @_;
    local $!;
    vec($_[2], $length - 1, 8) = 0;
    my $got = FCGIPM::Library::request_read_full(${ $stream->[HANDLE] }, $_[2], $length);
    $got = 0 if $got < 0;
    substr($_[2], $got) = '';
    return $got;
}

sub _read_chunk {
    my ($stream) = @_;
    return 0 if $stream->[CLOSED];
    return _fail($stream) if $stream->[AT_END];
    my ($got, $errno) = (0, 0);
    {
        local $! = 0;
        $got = FCGIPM::Library::request_read(${ $stream->[HANDLE] }, $chunk, CHUNK);
        # In a child of the process that accepted the request.
        $got = FCGIPM::Library::request_read(${ $stream->[HANDLE] }, $chunk, CHUNK)
            if $got == FCGIPM::Library::EFORKED && FCGIPM::Library::request_read_in_child(${ $stream->[HANDLE] }) == 0;
        $errno = $! + 0;
    }
    return $got if $got > 0;
    @$stream[ AT_END, FAILURE, ERRNO ] = (1, $got, $errno);
    return _fail($stream);
}

# Every read after a failure reports it again.
sub _fail {
    my ($stream) = @_;
    return 0 if !$stream->[FAILURE];
    $! = $stream->[ERRNO];
    FCGIPM::Library::set_errno($stream->[FAILURE]);
    return 0;
}

1;

__END__

=head1 NAME

FCGIPM::Stream::Input - STDIN of a request

=head1 SYNOPSIS

    #!/usr/bin/perl
    use strict;
    use warnings;
    use FCGIPM;

    my $request = FCGIPM::Request();
    while ($request->Accept >= 0) {
        my @lines = <STDIN>;
        print "Content-Type: text/plain\r\n\r\n", scalar @lines, " lines\n";
    }

=head1 DESCRIPTION

See L<FCGIPM::Stream>. The methods are those of L<perltie>, and two for the request that owns the
stream: C<begin> and C<end>.

=cut
