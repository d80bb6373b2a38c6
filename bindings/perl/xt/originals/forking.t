use strict;
use warnings;
use Test::More;
use lib qw(t/lib xt/lib);

# Programs that fork in a request, on the original and here.

use SameProgram;

# The first request, to the end of its connection. The child that the response names is still
# running then.
my $to_the_end = sub {
    my ($socket) = @_;
    my $client   = FastCGIClient->new($socket);
    my $response = $client->call({});
    my $pid      = $response->{stdout} =~ s/child (\d+)/child N/ ? $1 : 0;
    $response->{rest}         = () = $client->read_record;
    $response->{has_survivor} = !-e $socket =~ s{socket\z}{ended}r;
    kill KILL => $pid if $pid;
    return $response;
};

for my $ending ('', '$request->Finish;', 'undef $request; last;') {
    same("the client sees the end while a child lives ($ending)", requests => [$to_the_end], contains => qr/child N/, loop => <<"STATEMENTS");
        my \$pid = fork // die;
        if (!\$pid) { untie *STDOUT; untie *STDERR; setpgrp; sleep 20; open my \$file, '>', 'ended'; require POSIX; POSIX::_exit(0) }
        print "child \$pid";
        $ending
STATEMENTS
}

# The parent leaves the request to a child.

my $BODY = join '', map { "line $_\n" } 1 .. 30_000;    # more than one read, and more than a socket holds

for my $body ("a body\n", $BODY) {
    for my $keep (0, 1) {
        my $ask = sub {
            my ($socket) = @_;
            my $client   = FastCGIClient->new($socket);
            my $response = $client->call({ stdin => $body, keep => $keep });
            my $is_over  = !$client->read_record;
            return { %$response, is_over => $is_over };
        };
        my %with = (requests => [ $ask, $ask ], contains => qr/\A(?:begun )?got \d+/);
        my $what = length($body) . " bytes, keep $keep";
        same("a child reads, prints and finishes ($what)", %with, loop => <<'STATEMENTS');
            if (my $pid = fork // die) { $request->Detach; next }
            my $body = join '', map { scalar <STDIN> // '' } 1 .. 30_001;
            print 'got ', length $body, " $body";
            print STDERR 'a message';
            $request->Finish;
            require POSIX; POSIX::_exit(0);
STATEMENTS
        same("a child prints and exits ($what)", %with, loop => <<'STATEMENTS');
            print 'begun ';
            if (my $pid = fork // die) { $request->Detach; next }
            read STDIN, my $body, 1_000_000;
            print 'got ', length $body, " $body";
            exit;
STATEMENTS
        same("a child exits before the parent leaves it the request ($what)", %with, loop => <<'STATEMENTS');
            pipe my $reader, my $writer or die;
            if (my $pid = fork // die) { close $writer; () = <$reader>; $request->Detach; next }
            read STDIN, my $body, 1_000_000;
            print 'got ', length $body, " $body";
            close $writer;
            exit;
STATEMENTS
        same("Attach in the child ($what)", %with, loop => <<'STATEMENTS');
            $request->Detach;
            if (my $pid = fork // die) { waitpid $pid, 0; next }
            $request->Attach;
            read STDIN, my $body, 1_000_000;
            print 'got ', length $body, " $body";
            $request->Finish;
            require POSIX; POSIX::_exit(0);
STATEMENTS
    }
}

# The parent continues a request that no child has taken.
same('Detach, then Attach', contains => qr/before after/, loop => <<'STATEMENTS');
    print 'before ';
    $request->Detach;
    system $^X, '-e', '1';
    $request->Attach;
    print 'after';
STATEMENTS

same('a child that prints with $| set adds to the response', contains => qr/one two three/, loop => <<'STATEMENTS');
    local $| = 1;
    print 'one ';
    if (!(my $pid = fork // die)) { print 'two '; require POSIX; POSIX::_exit(0) }
    wait;
    print 'three';
STATEMENTS

# A child that prints after the end of its request. On the original another client receives that.
{
    my $text = loop_of(<<'STATEMENTS', 2, 'pipe my $hear, my $tell or die; pipe my $done, my $end or die; $| = 1; my $count = 0;');
        if (!$count++) {
            print 'first';
            if (!(my $pid = fork // die)) {
                close $tell;
                close $done;
                () = <$hear>;
                print STDOUT 'late' for 1 .. 3;
                print STDERR 'late' for 1 .. 3;
                print STDOUT 'x' x 100_000;
                exit;
            }
            close $end;
        }
        else {
            print 'second ';
            close $tell;
            () = <$done>;
            print 'to the end';
        }
STATEMENTS
    my $ask = sub {
        my ($socket) = @_;
        my $client = FastCGIClient->new($socket);
        return map { $client->call({ keep => 1 }) } 1, 2;
    };
    my $outcome = SameProgram::outcomes(text => $text, requests => [$ask]);
    like($outcome->{original}{responses}[1]{stdout}, qr/late/, 'late output of a child: on the original it is in the next response');
    for my $way (@SameProgram::OURS) {
        my ($first, $second) = @{ $outcome->{$way}{responses} };
        is($first->{stdout},  'first',             "it is not in its own response ($way)");
        is($second->{stdout}, 'second to the end', "it is not in the next response ($way)");
        is($second->{stderr}, '',                  "neither are its messages ($way)");
        my @lines = $outcome->{$way}{stderr} =~ /^fcgipm: \(pid N\) output is dropped.*$/mg;
        is(scalar @lines, 1, "that is logged once ($way)") or diag($outcome->{$way}{stderr});
    }
}

# A child finishes a request that its parent continues: one of them answers.
{
    my $text = loop_of(<<'STATEMENTS', 2);
        print 'parent ';
        if (!(my $pid = fork // die)) { print 'child'; $request->Finish; require POSIX; POSIX::_exit(0) }
        wait;
        print 'continues';
STATEMENTS
    my $ask = sub {
        my ($socket) = @_;
        my $client   = FastCGIClient->new($socket);
        my $response = $client->call({ keep => 1 });
        my $rest     = () = $client->read_record;
        return { %$response, rest => $rest };
    };
    my $outcome = SameProgram::outcomes(text => $text, requests => [ $ask, $ask ], ways => \@SameProgram::OURS);
    for my $way (@SameProgram::OURS) {
        for my $response (@{ $outcome->{$way}{responses} }) {
            is($response->{stdout}, 'parent child', "the child has answered ($way)");
            is($response->{rest},   0,              "nothing follows ($way)");
        }
    }
}

done_testing;
