use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Program;

# Methods that FCGI does not have, and what carries over from request to request.

sub serve {
    my ($statements, @requests) = @_;
    return Program::run(text => <<"PROGRAM", requests => @requests ? \@requests : [ {} ]);
use strict; use warnings; use FCGIPM;
my \$request = FCGIPM::Request();
for (1 .. ${\ scalar(@requests || 1) }) {
    last if \$request->Accept < 0;
$statements
}
PROGRAM
}

sub first_answer { return serve(@_)->{responses}[0]{stdout} }

my @PARAMS = (params => [ NAME => 'value', HTTP_PROXY => 'p', EMPTY => '', "WITH=SIGN" => 'x' ]);

is(first_answer(q{print $request->Param('NAME'), defined $request->Param('NONE') ? 1 : 0, length $request->Param('EMPTY')}, {@PARAMS}),
    'value00', 'Param finds one parameter');
is(first_answer(q{my %p = $request->Params; print join ',', map { "$_:$p{$_}" } sort keys %p}, {@PARAMS}),
    'EMPTY:,FCGI_ROLE:RESPONDER,HTTP_PROXY:p,NAME:value,WITH=SIGN:x', 'Params returns all parameters');
is(first_answer(q{print $request->Param('HTTP_PROXY'), $ENV{HTTP_PROXY} // 'none'}, {@PARAMS}), 'pnone', 'HTTP_PROXY is not in %ENV');
is(first_answer(q{print $request->PeerAddress}), 'unix:', 'PeerAddress');
is(first_answer(q{print $request->Aborted ? 1 : 0}), '0', 'Aborted');
is(serve(q{$request->SetExitStatus(7)})->{responses}[0]{app_status}, 7, 'SetExitStatus');
{
    my $outcome = serve(q{$request->SetExitStatus(7) if $ENV{FIRST}; print "x"}, { params => [ FIRST => 1 ] }, {});
    is_deeply([ map { $_->{app_status} } @{ $outcome->{responses} } ], [ 7, 0 ], 'the exit status applies to one request');
}
{
    my $outcome = Program::run(text => <<'PROGRAM', requests => []);
use strict; use warnings; use FCGIPM;
my $request = FCGIPM::Request();
my @none = $request->Params;
print scalar(@none), map { defined $_ ? $_ : 'undef' } $request->Param('X'), $request->PeerAddress, $request->SetExitStatus(1), $request->Aborted ? 1 : 0;
PROGRAM
    is($outcome->{stdout}, '0undefundef-10', 'before the first request there are no values');
}
{
    my $outcome = Program::run(text => <<'PROGRAM', requests => [ {}, {} ]);
use strict; use warnings; use FCGIPM;
my $request = FCGIPM::Request();
$request->Accept;
print "the parent\n";
$request->Finish;
my $pid = fork;
if (!$pid) { $request->Accept; print "the child\n"; exit 0 }
waitpid $pid, 0;
PROGRAM
    is($outcome->{responses}[1]{stdout}, "the child\n", 'a request object from before a fork works in the child');
}
{
    my $outcome = serve(q{print $request->Aborted ? 1 : 0; my $n = read STDIN, my $b, 100; print STDERR defined $n ? $n : "undef, $!", $request->Aborted ? ' aborted' : ''; },
        sub {
            my ($socket) = @_;
            my $client = FastCGIClient->new($socket);
            my $bytes = $client->request_bytes({ stdin => 'part' });
            # All but the end of STDIN, then ABORT_REQUEST.
            substr($bytes, -8) = $client->record(ABORT => '');
            $client->send_bytes($bytes);
            return $client->response;
        });
    is($outcome->{responses}[0]{stderr}, '4 aborted', 'an aborted request: earlier input can be read, and Aborted is true');
}
for ([ 3, 4, 'in small reads' ], [ 10_000, 0, 'in large reads' ]) {
    my ($size, $second, $how) = @$_;
    my $outcome = serve(
        "my \$n = read STDIN, my \$b, $size; my \$m = $second ? read(STDIN, \$b, 100) : 0; my \$k = read STDIN, \$b, $size;"
            . q{ my $why = $!{ECONNRESET} ? 'reset' : $!; my $eof = eof STDIN; $request->Finish; print join ' ', $n + $m, $k // 'undef', $why, $eof},
        sub {
            my ($socket) = @_;
            my $client = FastCGIClient->new($socket);
            my $bytes = $client->request_bytes({ stdin => 'partial' });
            $client->send_bytes(substr $bytes, 0, -8);
            shutdown $client->socket, 1;
            return $client->response;
        });
    is($outcome->{stdout}, '7 undef reset 1', "a truncated input differs from a complete one, $how");
}
{
    my $outcome = serve(q{$SIG{PIPE} = sub { print STDERR "SIGPIPE\n" }; my $ok = 1; for (1 .. 2_000) { $ok = print('x' x 50_000) or last }
        my $why = $!{EPIPE} || $!{ECONNRESET} ? 'closed' : $!; my $again = print "x"; $request->Finish; print $ok ? 'all written' : $why, $again ? 1 : 0},
        sub {
            my ($socket) = @_;
            my $client = FastCGIClient->new($socket);
            $client->send_bytes($client->request_bytes({}));
            $client->read_record;
            close $client->socket;
            return {};
        });
    is($outcome->{stdout}, 'closed0', 'after the peer has disconnected, print fails with $! set and without SIGPIPE');
}
{
    my $outcome = serve(q{$! = 5; print "small"; print 'x' x 100_000; $request->Flush; my $l = <STDIN>; print $! + 0});
    like($outcome->{responses}[0]{stdout}, qr/x5\z/, 'printing and reading do not change $!');
}
{
    my $outcome = serve(q{print "a" x 10; print "b" x 10 for 1 .. 100; print STDERR "e"});
    is($outcome->{responses}[0]{stdout_records}, 2, 'small prints are sent as one record');
}
{
    my @requests = map { { params => [ N => $_ ], stdin => "body $_", keep => 1 } } 1 .. 20;
    my $outcome = serve(q{my $b = <STDIN>; print "$ENV{N} $b"}, sub {
        my $client = FastCGIClient->new($_[0]);
        return { all => join ',', map { $client->call($_)->{stdout} } @requests };
    }, (sub { {} }) x 19);
    is($outcome->{responses}[0]{all}, join(',', map {"$_ body $_"} 1 .. 20), 'requests on a keep-alive connection');
}
{
    my $outcome = Program::run(requests => [ ({}) x 2 ], text => <<'PROGRAM');
use strict; use warnings; use threads; use FCGIPM;
my $request = FCGIPM::Request();
$request->Accept; print "one"; $request->Finish;
threads->create(sub { 1 })->join;
$request->Accept; print "two";
PROGRAM
    is(join(' ', map { $_->{stdout} } @{ $outcome->{responses} }), 'one two', 'the end of a thread does not free the request');
}

done_testing;
