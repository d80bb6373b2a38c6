use strict;
use warnings;
use lib qw(t/lib xt/lib);
use File::Temp ();
use Test::More;
use Application;
use Compat;

# The W3C's validator, a CGI script, under Plack::App::WrapCGI. CGI::Compile turns it into a
# function, and localises all of %SIG in each request.

my $SCRIPT = '/usr/lib/cgi-bin/w3c-markup-validator/check';
-x $SCRIPT or BAIL_OUT("$SCRIPT is needed (packaging/setup.sh test)");
needs(qw(CGI::Compile CGI::Emulate::PSGI FCGI::ProcManager Plack::App::WrapCGI Plack::Handler::FCGI));

my $folder = File::Temp->newdir;
open my $psgi, '>', "$folder/app.psgi" or die "app.psgi: $!";
print {$psgi} "use Plack::App::WrapCGI; Plack::App::WrapCGI->new(script => '$SCRIPT')->to_app;\n";
close $psgi or die "app.psgi: $!";

sub start {
    my ($environment, $listener, $workers) = @_;
    $workers //= 2;
    return application(
        command     => [ 'env', '-u', 'FCGI_SOCKET_PATH', qw(plackup -E production -s FCGI --nproc), $workers, "$folder/app.psgi" ],
        in          => "$folder",
        environment => $environment,
        listener    => $listener,
    );
}

sub form {
    my ($body, %with) = @_;
    my $document = <<"END";
<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Strict//EN" "http://www.w3.org/TR/xhtml1/DTD/xhtml1-strict.dtd">
<html xmlns="http://www.w3.org/1999/xhtml"><head><title>A city</title></head><body>$body</body></html>
END
    my %field = (fragment => $document, %with);
    s/([^A-Za-z0-9])/sprintf '%%%02X', ord $1/ge for values %field;
    return join '&', map { "$_=$field{$_}" } sort keys %field;
}

my @page = (
    [ form("<p>Gr\xc3\xbc\xc3\x9fe</p>"),            qr/^X-W3C-Validator-Status: Valid\r/m ],
    [ form('<p>not closed'),                         qr/^X-W3C-Validator-Status: Invalid\r/m ],
    [ form('<p>text</p>', output => 'soap12'),       qr{<m:validity>true</m:validity>} ],
    [ form('<nonsense/>', output => 'json'),         qr/"type": *"error"/ ],
    [ form("<p>Gr\xc3\xbc\xc3\x9fe</p>", ss => 1, outline => 1), qr/^X-W3C-Validator-Status: Valid\r/m ],
);
# One worker, because CGI warns once in each process.
pages_alike('validator', sub { start($_[0], undef, 1) }, [ map { page('', script => '/check', body => $_->[0]) } @page ],
    workers   => 1,
    contains  => [ map { $_->[1] } @page ],
    anonymous => sub {
        my ($text) = @_;
        # The time in messages of CGI::Carp.
        $text =~ s/^\[\w{3} \w{3} [ \d]\d [\d:]{8} \d{4}\]/[WHEN]/mg;
        return $text;
    },
);

open my $body, '>', "$folder/body" or die "body: $!";
print {$body} $page[2][0];
close $body or die "body: $!";
undisturbed('validator', \&start,
    load   => [ '--script-name', '/check', '--uri', '/check', '--body-file', "$folder/body", '--param', 'CONTENT_TYPE=application/x-www-form-urlencoded' ],
    expect => '<m:validity>true</m:validity>',
);

done_testing;
