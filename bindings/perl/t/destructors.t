use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Program;

# When the hash of a request is filled, old values may be objects. Their DESTROY may do anything,
# with and without the compiled part.

my $PROGRAM = <<'PROGRAM';
use strict; use warnings; no warnings qw(once untie); use FCGIPM;
our (%env, $request, $is_armed);
{ package Mine; sub DESTROY { return if !$main::is_armed; $main::is_armed = 0; no warnings; ACTION } }
$request = FCGIPM::Request(\*STDIN, \*STDOUT, \*STDERR, \%env, 0);
for my $n (1 .. 3) {
    $request->Accept >= 0 or last;
    print "answer $n ", join ',', map { $env{$_} // '' } qw(NAME OTHER);
    $request->Finish;
    if ($n == 1) { $env{$_} = bless [], 'Mine' for PLACES; $is_armed = 1 }
}
PROGRAM

my %ACTION = (
    'undef *STDOUT'           => 'undef *STDOUT;',
    'undef of all handles'    => 'undef *$_ for qw(STDIN STDOUT STDERR);',
    'another STDOUT'          => '*STDOUT = *OTHER;',
    'STDOUT deleted'          => 'delete $main::{STDOUT};',
    'the hash cleared'        => '%main::env = ();',
    'every element deleted'   => 'delete @main::env{keys %main::env};',
    'more elements'           => '$main::env{"MORE_$_"} = $_ for 1 .. 2000;',
    'elements replaced'       => '$_ = bless [], "Mine" for values %main::env;',
    'no streams'              => 'my @kept = @{ $main::request->{streams} }; @{ $main::request->{streams} } = (); @{ $main::request->{streams} } = @kept;',
    'other handles'           => '@{ $main::request->{handles} } = map { \do { local *HANDLE } } 1 .. 3;',
    'the hash forgotten'      => '$main::request->{environment} = {};',
    'the request ended'       => '$main::request->Finish;',
    'the request forgotten'   => 'undef $main::request;',
    'an exception'            => 'die "ignored";',
);
for my $what (sort keys %ACTION) {
    for my $places ('"NAME"', '"NAME", "OTHER"', '"FOREIGN"', '"NAME", "FOREIGN"') {
        (my $text = $PROGRAM) =~ s/ACTION/$ACTION{$what}/;
        $text =~ s/PLACES/$places/;
        my $outcome = Program::run(text => $text,
            requests => [ map { { params => [ NAME => "name $_", OTHER => "other $_" ] } } 1 .. 3 ]);
        my $name = "$what, at $places";
        is($outcome->{status} & 127, 0, "$name: no crash") or diag($outcome->{stderr});
        like($outcome->{responses}[0]{stdout}, qr/answer 1 name 1,other 1\z/, "$name: the first request is served");
        like($outcome->{responses}[2]{stdout}, qr/answer 3 name 3,other 3\z/, "$name: the third is served")
            if $what =~ /\A(?:undef|the hash cleared|every|more|elements|an exception)/;
    }
}

done_testing;
