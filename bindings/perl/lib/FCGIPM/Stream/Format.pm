package FCGIPM::Stream::Format;

# perl's write() ignores ties: it would write the page to the real standard output. This function
# replaces it in code that is compiled from now on, and differs only for handles of a request.

use strict;
use warnings;

use Symbol ();

our $VERSION = '0.1.0';

sub write_format (;*) {
    my $package = caller;
    my $handle = Symbol::qualify_to_ref(@_ ? $_[0] : select, $package);
    my $stream = tied *$handle;
    return CORE::write($handle) if !ref $stream || !UNIVERSAL::isa($stream, 'FCGIPM::Stream::Output');

    # The page is written to a handle in memory, which gets the state of the request's handle.
    my ($text, @state) = ('', _state($handle));
    open my $page, '>', \$text or return '';
    _set_state($page, $package, @state);
    my $written = CORE::write($page);
    @state = _state($page);
    close $page;
    _set_position($handle, @state);
    local ($\, $,);
    return $written && $stream->PRINT($text);
}

# Names of the format and of the top format, page length, lines left, page number.
sub _state {
    my ($handle) = @_;
    my $selected = select $handle;
    my @state = ($~, $^, $=, $-, $%);
    select $selected;
    return @state;
}

sub _set_state {
    my ($page, $package, $format, $top, @position) = @_;
    $top = Symbol::qualify($top, $package);
    my $has_top = do { no strict 'refs'; defined *{$top}{FORMAT} };
    my $selected = select $page;
    $~ = Symbol::qualify($format, $package);
    # A top format that is set must exist. Otherwise perl searches for the default one.
    $^ = $top if $has_top;
    select $selected;
    _set_position($page, undef, undef, @position);
    return;
}

sub _set_position {
    my ($handle, undef, undef, $length, $left, $number) = @_;
    my $selected = select $handle;
    ($=, $-, $%) = ($length, $left, $number);
    select $selected;
    return;
}

{
    no warnings 'once';
    *CORE::GLOBAL::write = \&write_format if !defined &CORE::GLOBAL::write;
}

1;

__END__

=head1 NAME

FCGIPM::Stream::Format - formats on the handles of a request

=head1 SYNOPSIS

    #!/usr/bin/perl
    use strict;
    use warnings;
    use FCGIPM;

    our ($name, $price);
    format STDOUT =
    @<<<<<<<<<< @###.##
    $name,      $price
    .

    my $request = FCGIPM::Request();
    while ($request->Accept >= 0) {
        print "Content-Type: text/plain\r\n\r\n";
        ($name, $price) = ('tea', 4.2);
        write;
    }

=head1 DESCRIPTION

L<FCGIPM> loads this module. Loading it overrides C<write> for code that is compiled later. On a
handle of a request, C<write> puts the page into the response. On any other handle it is perl's own.

=cut
