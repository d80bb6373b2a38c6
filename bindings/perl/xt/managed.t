use strict;
use warnings;
use lib qw(t/lib xt/lib);
use Test::More;
use FastCGIClient;
use Program;

# FCGIPM_N_PROCESSES with a script that has no manager.

my $FAST = <<'PROGRAM';
use strict; use warnings; use CGI::Fast;
while (my $q = CGI::Fast->new) { print $q->header('text/plain'), 'worker ', $$, ' of ', getppid, ' ', scalar $q->param('name'), "\n" }
PROGRAM

my %ask = (params => [ REQUEST_METHOD => 'GET', QUERY_STRING => 'name=tea' ]);

sub serve {
    my ($text, $environment, $ask) = @_;
    my $manager;
    my $outcome = Program::run(
        text         => $text,
        environment  => { PERL5OPT => '-MFCGIPM::Compat', %$environment },
        signal_at_end => 'TERM',
        requests     => [ sub { $manager = $_[1]; $ask->(@_) } ],
    );
    return ($outcome, $manager);
}

# Five concurrent requests with delayed bodies, until each of the workers has served one: at first,
# some workers may not be in Accept yet.
my $all_at_once = sub {
    my ($socket) = @_;
    my (@all, %worker);
    while (keys %worker < 5) {
        my @held = map { _held($socket) } 1 .. 5;
        for my $each (@held) {
            my ($client, $rest) = @$each;
            $client->send_bytes($rest);
            push @all, my $response = $client->response;
            $worker{ $response->{stdout} =~ /worker (\d+)/ ? $1 : return @all } = 1;
        }
    }
    return @all;
};

sub _held {
    my ($socket) = @_;
    my $client = FastCGIClient->new($socket);
    my $bytes = $client->request_bytes({ params => [ REQUEST_METHOD => 'POST', QUERY_STRING => 'name=tea', CONTENT_LENGTH => 8 ], stdin => 'name=tea' });
    $client->send_bytes(substr $bytes, 0, -16);
    return [ $client, substr $bytes, -16 ];
}

{
    my ($outcome, $manager) = serve($FAST, { FCGIPM_N_PROCESSES => 5 }, $all_at_once);
    my %worker;
    for my $response (@{ $outcome->{responses} }) {
        my ($pid, $parent) = $response->{stdout} =~ /worker (\d+) of (\d+) /;
        is($parent, $manager, 'a worker of the script answers');
        $worker{$pid}++ if defined $pid;
    }
    is(scalar keys %worker, 5, 'all five workers do');
    is($outcome->{status}, 0, 'TERM stops it');
    my @started = $outcome->{stderr} =~ /server \(pid \d+\) started/g;
    is(scalar @started, 5, 'five workers were started');
}

{
    my $one = sub { FastCGIClient->ask($_[0], %ask) };
    my ($outcome, $manager) = serve($FAST, {}, $one);
    like($outcome->{responses}[0]{stdout}, qr/worker $manager /, 'without the variable the script serves alone');

    (my $own = $FAST) =~ s/(?=while)/use FCGI::ProcManager; FCGI::ProcManager->new({ n_processes => 1 })->pm_manage; /;
    ($outcome, $manager) = serve($own, { FCGIPM_N_PROCESSES => 2 }, $one);
    like($outcome->{responses}[0]{stdout}, qr/ of $manager /, "with a manager of its own, the script gets no other");
    my @managers = $outcome->{stderr} =~ /manager \(pid \d+\): initialized/g;
    is(scalar @managers, 1, 'there is one manager');

    # Programs find their own file by $0, and CGI::Carp begins its messages with it.
    (my $named = $FAST) =~ s/'worker '/"\$0 is [\$0]", 'worker '/;
    ($outcome) = serve($named, { FCGIPM_N_PROCESSES => 1 }, $one);
    like($outcome->{responses}[0]{stdout}, qr/\[program\.pl\]/, q{a script without a manager of its own keeps $0});
    $named =~ s/(?=while)/use FCGI::ProcManager; FCGI::ProcManager->new({ n_processes => 1 })->pm_manage; /;
    ($outcome) = serve($named, {}, $one);
    like($outcome->{responses}[0]{stdout}, qr/\[perl-fcgi\]/, 'a script with its own manager has the manager\'s name');

    my $socket = 'use FCGI; my $s = FCGI::OpenSocket("own", 5); my $r = FCGI::Request(\*STDIN, \*STDOUT, \*STDERR, {}, $s, 0); open my $f, ">", "ready"; close $f; while ($r->Accept >= 0) { print "worker $$ of ", getppid }';
    ($outcome, $manager) = serve($socket, { FCGIPM_N_PROCESSES => 2 }, sub {
        (my $own = $_[0]) =~ s/socket\z/own/;
        until (-S $own && -e ($own =~ s/own\z/ready/r)) { select undef, undef, undef, 0.001 }
        return FastCGIClient->ask($own);
    });
    like($outcome->{responses}[0]{stdout}, qr/ of $manager\z/, 'a script with its own socket');
}

{
    my $dir = File::Temp->newdir;
    open my $file, '>', "$dir/cgi.pl" or die $!;
    print {$file} $FAST;
    close $file;
    local @ENV{qw(PERL5OPT PERL5LIB FCGIPM_N_PROCESSES REQUEST_METHOD QUERY_STRING)} = ('-MFCGIPM::Compat', 'lib', 5, 'GET', 'name=tea');
    my $shown = `$^X $dir/cgi.pl </dev/null 2>&1`;
    like($shown, qr/\AContent-Type: [^\n]+\s+worker \d+ of \d+ tea\n\z/, 'as CGI it answers once, without workers');
}

done_testing;
