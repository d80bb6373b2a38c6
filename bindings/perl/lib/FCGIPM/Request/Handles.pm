package FCGIPM::Request::Handles;

# The three handles of a request: STDIN, STDOUT and STDERR, or what the program passed instead. They
# are tied to the request's streams while it is served.

use strict;
use warnings;

our $VERSION = '0.1.0';

# In this order, because one handle may be passed twice: it becomes the first of the two. A handle
# that the program has tied to an object of its own keeps it.
sub bind {
    my ($request) = @_;
    my $streams = $request->{streams};
    my ($in, $out, $err) = @{ $request->{handles} };
    tie *$out, $streams->[1] if !tied *$out;
    tie *$err, $streams->[2] if !tied *$err;
    tie *$in,  $streams->[0] if !tied *$in;
    $request->{bound} = 1;
    return;
}

sub unbind {
    my ($request) = @_;
    $request->{bound} = 0;
    no warnings 'untie';
    defined and untie *$_ for @{ $request->{handles} };
    return;
}

1;
