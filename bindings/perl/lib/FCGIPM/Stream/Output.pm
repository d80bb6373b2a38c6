package FCGIPM::Stream::Output;

# STDOUT or STDERR of a request. Small writes are gathered, and passed to the library in one call.

use strict;
use warnings;

use parent 'FCGIPM::Stream';

use FCGIPM::Alias;
use FCGIPM::Library;
use FCGIPM::XS;

our $VERSION = '0.1.0';

# GATHERED refers to the gathered bytes. The request has the same reference, because in global
# destruction perl clears references to objects first, and the request must still be able to send.
#
# HELD refers to bytes that a child of the process that accepted the request could not pass on: the
# request is the parent's until the parent leaves it to the child, or the child continues it.
# (Fields 4 to 10 belong to other streams.)
use constant { GATHERED => 0, HANDLE => 1, NUMBER => 2, CLOSED => 3, HELD => 11 };

use constant GATHER_LIMIT => 32 * 1024;

# The gathered bytes begin with a mark, which is not sent. Perl stores this byte as two once a
# string stored as UTF-8 was appended, and it is another byte while the stream is closed. So for
# print, one comparison of the first byte covers both unusual cases.
use constant { MARK => 0xFF, OPEN_MARK => "\xFF", CLOSED_MARK => "\0" };

sub new {
    my ($class, $gathered, $handle, $number, $held) = @_;
    $$gathered = CLOSED_MARK;
    $$held = '';
    my $stream = bless [ $gathered, $handle, $number, 1 ], $class;
    $stream->[HELD] = $held;
    return $stream;
}

# Begin and end of a request.

sub begin {
    my ($stream) = @_;
    ${ $stream->[GATHERED] } = OPEN_MARK;
    $stream->[CLOSED] = 0;
    return;
}

sub end {
    my ($stream) = @_;
    $stream->[CLOSED] = 1;
    ${ $stream->[GATHERED] } = CLOSED_MARK;
    ${ $stream->[HELD] } = '';
    return;
}

# The library's request that this child has continued. It must not be freed: that would end it.
my $continued;

sub is_continued {
    my ($handle) = @_;
    return defined $continued && defined $$handle && $continued == $$handle;
}

# When a child continues a request, the bytes that it has held back are sent with those it has
# gathered.
sub release_held {
    my ($gathered, $held) = @_;
    return if !length $$held;
    substr($$gathered, 1, 0) = $$held if length $$gathered && ord $$gathered == MARK;
    $$held = '';
    return;
}

sub at_end { return $_[0][CLOSED] }

# Returns the gathered bytes, without the mark, at the end of a request.
sub take_gathered {
    my ($gathered) = @_;
    my $bytes = $$gathered;
    $$gathered = CLOSED_MARK;
    substr $bytes, 0, 1, '';
    return $bytes;
}

# Passes the gathered bytes to the library. Returns false, with $! set, if the connection is closed.
sub pass {
    my ($stream) = @_;
    my $gathered = $stream->[GATHERED];
    return 1 if length $$gathered <= 1 && !length ${ $stream->[HELD] };
    # Emptied first: if a signal handler dies while the write waits for the peer, nothing is sent
    # twice.
    my $bytes = $$gathered;
    $$gathered = OPEN_MARK;
    substr $bytes, 0, 1, '';
    return _pass_in_order($stream, $bytes);
}

sub flush {
    my ($stream) = @_;
    return if !$stream->pass;
    my ($result, $errno) = (0, 0);
    {
        local $! = 0;
        $result = FCGIPM::Library::request_flush(${ $stream->[HANDLE] });
        if ($result == FCGIPM::Library::EFORKED) {
            FCGIPM::Library::request_continue_in_child($continued = ${ $stream->[HANDLE] });
            release_held(@$stream[ GATHERED, HELD ]);
            $result = $stream->pass ? FCGIPM::Library::request_flush(${ $stream->[HANDLE] }) : 0;
        }
        $errno = $! + 0;
    }
    return $result == 0 ? 1 : _fail($stream, $result, $errno);
}

# The methods of perltie.

# FCGIPM::XS calls this for unusual arguments. Without it, a page may consist of thousands of these
# calls, so the usual case (one string, neither empty nor large) makes no call, has no variables,
# and reads few of perl's special variables: each of these costs as much as the append. That a
# string was stored as UTF-8 shows afterwards, by the mark.
sub print_in_perl {
    return &_print_items if @_ != 2 || ref $_[1] || (length $_[1] || GATHER_LIMIT) >= GATHER_LIMIT || defined $\;
    ${ $_[0][GATHERED] } .= $_[1];
    use bytes;
    return &_print_unusual if ord ${ $_[0][GATHERED] } != MARK;
    return $_[0]->pass && ($| ? $_[0]->flush : 1) if $| || length ${ $_[0][GATHERED] } > GATHER_LIMIT;
    1;
}

BEGIN { FCGIPM::Alias::alias('FCGIPM::Stream::Output::PRINT', $FCGIPM::XS::is_loaded ? \&FCGIPM::XS::print_items : \&print_in_perl) }

# The string that print_in_perl has appended is stored as UTF-8, or the stream is closed.
sub _print_unusual {
    my ($stream) = @_;
    my $gathered = $stream->[GATHERED];
    if ($stream->[CLOSED]) { $$gathered = CLOSED_MARK }
    else {
        substr($$gathered, -length $_[1]) = '';
        utf8::downgrade($$gathered);
    }
    return _put($stream, _item($_[1]));
}

# Any number of items of any kind. say() sets $\.
sub _print_items {
    my $stream = shift;
    return _put($stream, utf8::is_utf8($_[0]) ? _item($_[0]) : $_[0])
        if @_ == 1 && !ref $_[0] && defined $_[0] && !defined $\;
    if (defined $, || defined $\ || $stream->[CLOSED]) {
        my $bytes = join $, // '', map { _item($_) } @_;
        return _put($stream, $bytes . _item($\ // ''));
    }
    my $gathered = $stream->[GATHERED];
    $$gathered .= !defined || ref || utf8::is_utf8($_) ? _item($_) : $_ for @_;
    return undef if length $$gathered > GATHER_LIMIT && !$stream->pass;
    return $| ? $stream->flush : 1;
}

# The bytes of one item, separately: a wide character must not turn the other items into UTF-8.
sub _item {
    my ($item) = @_;
    if (!defined $item) {
        FCGIPM::Stream::_warn(uninitialized => 'Use of uninitialized value in subroutine entry');
        return '';
    }
    $item = "$item";
    return utf8::is_utf8($item) ? FCGIPM::Stream::_bytes(PRINT => $item) : $item;
}

# Through PRINT, which programs may have wrapped. Without warnings about missing arguments: they
# would name a line of this module.
sub PRINTF {
    my $stream = shift;
    no warnings;
    my $text = sprintf shift, @_;
    local $\ if defined $\;
    return $stream->PRINT($text);
}

# As with FCGI, a length that is negative or too large means the rest of the string.
sub WRITE {
    FCGIPM::Stream::_die('Usage: FCGI::Stream::WRITE(stream, bufsv, len, ...)') if @_ < 3;
    my ($stream, $bytes, $length, $offset) = @_;
    $length = FCGIPM::Stream::_integer($length);
    $offset = @_ == 4 ? FCGIPM::Stream::_integer($offset) : 0;
    if (!defined $bytes) {
        FCGIPM::Stream::_warn(uninitialized => 'Use of uninitialized value in subroutine entry');
        $bytes = '';
    }
    $bytes = FCGIPM::Stream::_bytes(WRITE => $bytes) if utf8::is_utf8($bytes);
    $offset += length $bytes if $offset < 0;
    return undef if $offset < 0 || $offset >= length $bytes;
    my $rest = length($bytes) - $offset;
    $length = $rest if $length < 0 || $length > $rest;
    return _put($stream, substr $bytes, $offset, $length) ? int $length : undef;
}

sub CLOSE {
    my ($stream) = @_;
    my $passed = $stream->[CLOSED] || $stream->pass;
    end($stream);
    return !!$passed;
}

# Uses $_[1] without a copy, which may be large.
sub _put {
    my ($stream) = @_;
    my $length = length $_[1];
    return $length ? undef : 1 if $stream->[CLOSED];
    my $gathered = $stream->[GATHERED];
    if (length($$gathered) + $length <= GATHER_LIMIT) {
        $$gathered .= $_[1];
    }
    else {
        return undef if !$stream->pass || !_pass_in_order($stream, $_[1]);
    }
    return $| ? $stream->flush : 1;
}

# Passes the bytes to the library, after those that are held. A successful print leaves $!
# unchanged, so that a program may print before it reports another error.
sub _pass_in_order {
    my ($stream) = @_;
    my $held = $stream->[HELD];
    if (length $$held) {
        my $has_written = _write($stream, $$held);
        return undef if !defined $has_written;
        if (!$has_written) { $$held .= $_[1]; return 1 }
        $$held = '';
    }
    my $has_written = _write($stream, $_[1]);
    return $has_written if !defined $has_written || $has_written;
    $$held .= $_[1];
    return 1;
}

# Returns true, undef after an error, or 0 if the request belongs to another process.
sub _write {
    my ($stream) = @_;
    my ($written, $errno) = (0, 0);
    {
        local $! = 0;
        $written = FCGIPM::Library::request_write(${ $stream->[HANDLE] }, $stream->[NUMBER], $_[1], length $_[1]);
        $errno = $! + 0;
    }
    return 1 if $written >= 0;
    return 0 if $written == FCGIPM::Library::EFORKED;
    return _fail($stream, $written, $errno);
}

# After an error nothing more can be sent: the stream is closed until the next request.
sub _fail {
    my ($stream, $code, $errno) = @_;
    $! = $errno;
    FCGIPM::Library::set_errno($code);
    end($stream);
    return undef;
}

1;

__END__

=head1 NAME

FCGIPM::Stream::Output - STDOUT and STDERR of a request

=head1 SYNOPSIS

    #!/usr/bin/perl
    use strict;
    use warnings;
    use FCGIPM;

    my $request = FCGIPM::Request();
    while ($request->Accept >= 0) {
        print "Content-Type: text/plain\r\n\r\n";
        printf "%s\n", ref tied *STDOUT;    # FCGIPM::Stream::Output
    }

=head1 DESCRIPTION

See L<FCGIPM::Stream>. The methods are those of L<perltie>, and two for the request that owns the
stream. C<pass> passes the gathered output to the library. C<flush> also makes the library send it.

In a child of the process that accepted the request, C<pass> keeps the output until the request
belongs to the child. C<flush> sends it in any case.

=cut
