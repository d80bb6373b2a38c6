# The test page, with Perl's FCGI.
use strict;
use warnings;
use FCGI;

my $request = FCGI::Request();
while ($request->Accept() >= 0) {
    my ($what) = split /&/, $ENV{QUERY_STRING} // '';
    $what //= '';
    if ($what eq 'status') {
        print "Status: 418 Teapot\r\nContent-Type: text/plain\r\n\r\nshort and stout\n";
    } elsif ($what eq '304') {
        print "Status: 304 Not Modified\r\nETag: \"x\"\r\n\r\n";
    } elsif ($what eq 'stderr') {
        print STDERR "a line for the log\n";
        print "Content-Type: text/plain\r\n\r\nsaid\n";
    } elsif ($what eq 'large') {
        print "Content-Type: text/plain\r\n\r\n", 'x' x 3_000_000;
    } elsif ($what eq 'nothing') {
        print "Content-Type: text/plain\r\n\r\n";
    } elsif ($what eq 'body') {
        # Reads all of it first: nginx stops sending the body when the response begins.
        my $body = '';
        while (read STDIN, my $piece, 7000) { $body .= $piece }
        print "Content-Type: application/octet-stream\r\n\r\n", $body;
    } elsif ($what eq 'ignore') {
        print "Content-Type: text/plain\r\n\r\nignored\n";
    } else {
        print "Content-Type: text/plain\r\n\r\n";
        printf "%s=%s\n", $_, $ENV{$_} // '' for qw(REQUEST_METHOD QUERY_STRING CONTENT_LENGTH CONTENT_TYPE SCRIPT_NAME
            DOCUMENT_URI SERVER_PROTOCOL HTTP_X_TEST HTTP_COOKIE);
        printf "%s\n", join ',', sort grep { !/PORT|^DOCUMENT_ROOT/ } keys %ENV if $what eq 'all';
    }
}
