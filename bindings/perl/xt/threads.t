use strict;
use warnings;
use lib qw(t/lib xt/lib);
use Config;
use Test::More;
use SameProgram;

# Threads with one request each, as in FCGI's own example.

BAIL_OUT('this perl has no threads') if !$Config{useithreads};

my $HEAD = "use strict; use warnings; use threads; use threads::shared; use FCGI qw[]; use IO::Handle qw[];\n";
my @REQUESTS = map { { params => [ NAME => "value $_" ], stdin => "body $_\n" } } 1 .. 6;

same('a request in each thread', ways => ['compat'], requests => [ map { {%$_} } @REQUESTS ], contains => qr/served 6/, text => $HEAD . <<'PROGRAM');
my $left : shared = 6;
my @count : shared = (0) x 3;
sub serve {
    my ($number) = @_;
    my %env;
    my ($in, $out, $err) = map { IO::Handle->new } 1 .. 3;
    my $request = FCGI::Request($in, $out, $err, \%env);
    while (do { lock $left; $left-- > 0 } && $request->Accept >= 0) {
        my $line = <$in>;
        print $out "$env{NAME}: $line";
        print $err "to the log\n";
        { lock @count; $count[$number]++ }
        $request->Flush;
    }
    $request->Finish;
}
$_->join for map { threads->create(\&serve, $_) } 0 .. 2;
my $sum = 0; $sum += $_ for @count;
print "served $sum\n";
PROGRAM
# A request that was created before stays with its thread. The original crashes.
sub ours {
    my ($name, $expected, $requests, $text) = @_;
    my $outcome = SameProgram::outcomes(ways => ['compat'], requests => $requests, text => $HEAD . $text);
    my $got = $outcome->{compat};
    is_deeply([ map({ $_->{stdout} } @{ $got->{responses} }), @$got{qw(stdout stderr status)} ], $expected, $name) or diag(explain($got));
    isnt($outcome->{original}{status}, 0, "$name: the original fails");
    return;
}

ours('a thread created beside a request', [ (map { "value $_ 42\n" } 1 .. 3), "end\n", '', 0 ], [ map { {%$_} } @REQUESTS[ 0 .. 2 ] ], <<'PROGRAM');
my ($in, $out, $err) = map { IO::Handle->new } 1 .. 3;
my $request = FCGI::Request($in, $out, $err, \my %env);
for (1 .. 3) {
    $request->Accept;
    my $computed = threads->create(sub { 6 * 7 })->join;
    print $out "$env{NAME} $computed\n";
}
$request->Finish;
print "end\n";
PROGRAM
ours('threads created in a request on STDOUT', [ "before\non\n", '', '', 0 ], [ {%{ $REQUESTS[0] }} ], <<'PROGRAM');
my $request = FCGI::Request();
$request->Accept;
print "before\n";
$_->join for map { threads->create(sub { 1 }) } 1 .. 5;
print "on\n";
PROGRAM

done_testing;
