package FCGIPM::Stream;

# The class of the objects that STDIN, STDOUT and STDERR are tied to during a request: what the two
# directions have in common, and the operations of the other direction, which fail.

use strict;
use warnings;

our $VERSION = '0.1.0';

# A stream serves many requests and is tied again for each, so tie() returns the object itself.
sub TIEHANDLE {
    my ($stream) = @_;
    return ref $stream ? $stream : _unsupported('TIEHANDLE');
}

# Without it, perl warns at untie() that there are other references to the object. There always are.
sub UNTIE { return }

sub OPEN { return _unsupported('OPEN') }
sub SEEK { return _unsupported('SEEK') }
sub TELL { return _unsupported('TELL') }

# Streams carry bytes, so layers do nothing.
sub BINMODE { return }

sub FILENO { return $_[0]->at_end ? undef : -1 }
sub EOF    { return !!$_[0]->at_end }

# Operations of the other direction.
sub PRINT    { return undef }    ## no critic (ProhibitExplicitReturnUndef): one value in list context, too
sub PRINTF   { return undef }
sub WRITE    { return undef }
sub READ     { return 0 }
sub READLINE { return }
sub GETC     { return undef }

# Programs may match these messages, so they name FCGI's class.
sub _unsupported {
    my ($operation) = @_;
    require Carp;
    Carp::croak("Operation '$operation' not supported on FCGI::Stream handle");
}

# The statement of the program that used the handle: file, line, warning mask, hints.
sub _user {
    for (my $level = 1;; $level++) {
        my @frame = caller $level;
        return @frame[ 1, 2, 9, 8 ] if !@frame || $frame[0] !~ /^FCGIPM::Stream(?:::|\z)/;
    }
}

# " at FILE line N.", with the handle that was read last, as in perl's own messages.
sub _place {
    my ($file, $line) = @_;
    my $place = " at $file line $line";
    if (my $handle = ${^LAST_FH}) {
        my $unit = defined $/ && $/ eq "\n" ? 'line' : 'chunk';
        $place .= sprintf ', <%s> %s %d', *{$handle}{NAME}, $unit, $. if $.;
    }
    return "$place.\n";
}

# An integer as XS code converts it: 0 for undef and for text, with perl's warnings for these.
sub _integer {
    my ($value) = @_;
    if (!defined $value) {
        _warn(uninitialized => 'Use of uninitialized value in subroutine entry');
        return 0;
    }
    return $value if $value =~ /\A-?[0-9]+\z/;
    require Scalar::Util;
    _warn(numeric => qq{Argument "$value" isn't numeric in subroutine entry})
        if !ref $value && !Scalar::Util::looks_like_number($value);
    no warnings 'numeric';
    return int $value;
}

sub _die {
    my ($message) = @_;
    die $message . _place(_user());
}

# A warning like one of a built-in function: at the program's line, and as the program's pragmas
# say. Category utf8 is on by default.
sub _warn {
    my ($category, $message) = @_;
    my ($file, $line, $mask) = _user();
    my $offset = $warnings::Offsets{$category};
    my $default = $category eq 'utf8' || $^W;
    my $on = defined $mask ? vec($mask, $offset, 1) : $default;
    return if !$on;
    die $message . _place($file, $line) if defined $mask && vec $mask, $offset + 1, 1;
    warn $message . _place($file, $line);
    return;
}

# The bytes of a string that perl stores as UTF-8: one byte per character. If a character is above
# 0xFF, the UTF-8 itself, after a warning; under `use bytes` always the UTF-8, without a warning.
sub _bytes {
    my ($operation, $string) = @_;
    my $hints = (_user())[3];
    if (!($hints & $bytes::hint_bits)) {
        return $string if utf8::downgrade($string, 1);
        _warn(utf8 => "Use of wide characters in FCGI::Stream::$operation is deprecated"
                . ' and will stop working in a future version of FCGI');
    }
    utf8::encode($string);
    return $string;
}

require bytes;    # for $bytes::hint_bits; loading is not enabling

1;

__END__

=head1 NAME

FCGIPM::Stream - the handles of a request

=head1 SYNOPSIS

    #!/usr/bin/perl
    use strict;
    use warnings;
    use FCGIPM;

    my $socket  = FCGIPM::OpenSocket(':9005', 100);
    my $request = FCGIPM::Request(\*STDIN, \*STDOUT, \*STDERR, \%ENV, $socket);

    while ($request->Accept >= 0) {
        print "Content-Type: text/plain\r\n\r\n";
        while (my $line = <STDIN>) {
            print length $line, "\n";
        }
        print STDERR "this lands in the web server's error log\n";
    }

=head1 DESCRIPTION

Between C<Accept> and C<Finish> the three handles of a request are tied to objects of this class:
L<FCGIPM::Stream::Input> and L<FCGIPM::Stream::Output>. C<print>, C<printf>, C<say>, C<write>,
C<syswrite>, C<read>, C<sysread>, C<getc>, C<readline>, C<eof>, C<fileno>, C<binmode> and C<close>
work on them as on the handles of FCGI 0.82. C<open>, C<seek> and C<tell> croak, as with FCGI.

Streams carry bytes, so encode text before printing it. A string with a character above 0xFF is sent
as UTF-8 after the warning C<Use of wide characters in FCGI::Stream::PRINT is deprecated and will
stop working in a future version of FCGI> (category C<utf8>). C<binmode> and its layers change
nothing and return nothing.

Output is gathered. It is passed to the library in pieces of 32 KiB, on C<< $request->Flush >>,
after each C<print> while C<$|> of the selected handle is true, and when the request ends.

=head1 DIFFERENCES FROM FCGI 0.82

=over 4

=item *

C<say> ends its line, and C<print> honours C<$,> and C<$\>.

=item *

C<readline> in list context returns all lines; FCGI returns one line. With an undefined C<$/> it
reads everything; FCGI reads one paragraph.

=item *

C<$/ = \N> reads records of N bytes.

=item *

C<write> (formats) goes to the response.

=item *

If the input ends before the web server has sent its end (it disconnected, aborted the request or
was too slow), C<read> and C<sysread> return undef and set C<$!>. FCGI reports a normal end.

=item *

C<printf> does not warn about arguments that are missing, undefined or not numeric. FCGI does under
C<-w>, and names a line of its own code.

=back

=head1 SEE ALSO

L<FCGIPM>, L<FCGIPM::Request>

=cut
