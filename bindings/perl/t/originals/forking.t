use strict;
use warnings;
use Test::More;
use lib 't/lib';

# Programs that fork in a request: the same text on the original and here.

use SameProgram;

sub lives {
    my ($pid) = @_;
    open my $file, '<', "/proc/$pid/stat" or return 0;
    return <$file> =~ m{\) S};    # it sleeps, and is not about to end
}

# The first request, to the end of its connection; the child that the response names is alive then, and is ended.
my $to_the_end = sub {
    my ($socket) = @_;
    my $client   = FastCGIClient->new($socket);
    my $response = $client->call({});
    my $pid      = $response->{stdout} =~ s/child (\d+)/child N/ ? $1 : 0;
    $response->{rest}         = () = $client->read_record;
    $response->{has_survivor} = $pid && lives($pid);
    kill KILL => $pid if $pid;
    return $response;
};

for my $ending ('', '$request->Finish;', 'undef $request; last;') {
    same("the client sees the end while a child lives ($ending)", requests => [$to_the_end], contains => qr/child N/, loop => <<"STATEMENTS");
        my \$pid = fork // die;
        if (!\$pid) { untie *STDOUT; untie *STDERR; setpgrp; sleep 20; require POSIX; POSIX::_exit(0) }
        print "child \$pid";
        $ending
STATEMENTS
}

done_testing;
