use strict;
use warnings;
use lib qw(t/lib xt/lib);
use Test::More;
use Time::HiRes 'time';
use Workers;

# The number of workers follows the load. A page waits until its test opens the gate.

my $PAGE = 'if ($_[0]) { select undef, undef, undef, 0.01 until -e $_[0] }';

sub clients {
    my ($daemon, $count, $gate) = @_;
    my @clients = map { FastCGIClient->new($daemon->dir . '/socket') } 1 .. $count;
    $_->send_bytes($_->request_bytes({ params => [ ASK => $gate ] })) for @clients;
    return @clients;
}

sub until_status {
    my ($daemon, $test) = @_;
    for (1 .. 600) {
        my $status = status($daemon);
        return 1 if $test->($status);
        select undef, undef, undef, 0.05;
    }
    diag(explain(status($daemon)));
    return 0;
}

sub open_gate { open my $file, '>', $_[0] or die "$_[0]: $!"; return }

for my $pm (qw(dynamic ondemand)) {
    my $daemon = daemon(page => $PAGE, options => "n_processes => 12, pm => '$pm', min_spare => 1, max_spare => 2, process_idle_timeout => 0.5");
    $daemon->wait_for(qr/manager \(pid \d+\): initialized/);
    my $first = $pm eq 'dynamic' ? 1 : 0;
    ok(until_status($daemon, sub { $_[0]{ready} == $first }), "$pm starts with $first");
    my $gate = $daemon->dir . '/gate';
    my $begun = time;
    my @clients = clients($daemon, 12, $gate);
    ok(until_status($daemon, sub { $_[0]{busy} == 12 }), 'twelve concurrent requests get twelve workers');
    diag(sprintf '%s: twelve workers after %.2f s', $pm, time - $begun);
    open_gate($gate);
    my %served = map { worker_of($_->response) => 1 } @clients;
    is(scalar(grep { length } keys %served), 12, 'each its own');
    my $most = $pm eq 'dynamic' ? 2 : 0;
    ok(until_status($daemon, sub { $_[0]{ready} <= $most && $_[0]{retiring} == 0 }), 'idle workers exit');
    like($daemon->ask->{stdout}, qr/worker \d+/, 'a request is still served');
    is($daemon->stop, 0, 'TERM stops it');
    unlike($daemon->log, qr/status [1-9]|emergency/, 'no worker failed');
    unlike($daemon->log, qr/number of workers/, 'a change by load is not logged');
}

# TTIN and TTOU.
{
    my $daemon = daemon(options => 'n_processes => 2');
    $daemon->wait_for(qr/initialized/) for 1 .. 3;
    $daemon->signal('TTIN');
    $daemon->wait_for(qr/received signal TTIN/);
    $daemon->wait_for(qr/number of workers set to 3/);
    ok(until_status($daemon, sub { $_[0]{ready} == 3 }), 'TTIN adds a worker');
    $daemon->signal('TTOU');
    $daemon->wait_for(qr/number of workers set to 2/);
    $daemon->wait_for(qr/exited with status 0/);
    ok(until_status($daemon, sub { $_[0]{ready} == 2 }), 'TTOU removes a worker');
    $daemon->stop;
}

for (
    [ "n_processes => 2, pm => 'elastic'", qr/option pm: 'elastic' is not one of: static, dynamic, ondemand/ ],
    [ "n_processes => 2, pm => 'dynamic', min_spare => 3", qr/option start_servers: 3 is more than n_processes = 2/ ],
    [ "n_processes => 5, pm => 'dynamic', min_spare => 3, max_spare => 1", qr/option max_spare: 1 is less than min_spare = 3/ ],
) {
    my ($options, $message) = @$_;
    my $daemon = daemon(options => $options);
    isnt($daemon->ended, 0, "$options: the program exits");
    like($daemon->log, $message, 'the message names the option');
}

done_testing;
