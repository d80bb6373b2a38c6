use strict;
use warnings;
use CGI::Fast;
use Digest::SHA qw(sha256_hex);

my $requests = 0;
while (my $q = CGI::Fast->new) {
    $requests++;
    my $path = $ENV{REQUEST_URI} =~ s/\?.*//sr;
    my $body = $q->param('POSTDATA') // '';
    if    ($path eq '/hash') { print $q->header('text/plain'), sha256_hex($body), ' ', length $body, "\n" }
    elsif ($path eq '/echo') { print $q->header(-type => 'application/octet-stream', -charset => ''), $body }
    elsif ($path eq '/env')  { print $q->header('text/plain'), map { "$_=$ENV{$_}\n" } sort keys %ENV }
    elsif ($path eq '/bytes') {
        my $missing = $q->param('n');
        print $q->header(-type => 'application/octet-stream', -charset => '', -content_length => $missing);
        for (; $missing > 0; $missing -= 65_536) {
            print substr('0123456789abcdef' x 4096, 0, $missing) or last;
        }
    }
    elsif ($path eq '/headers') {
        print $q->header(-type => 'text/plain', map { ("-x_header_$_" => "value $_") } 1 .. $q->param('n'));
        print "headers\n";
    }
    else {
        print STDERR scalar $q->param('msg'), "\n" if $path eq '/stderr';
        print $q->header('text/plain'), "worker $$\nrequest $requests\n";
    }
}
