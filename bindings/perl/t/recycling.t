use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Workers;

# Workers that have served enough, grown too much, or lived for too long.

sub workers_of {
    my ($daemon, $count) = @_;
    return map { worker_of($daemon->ask) } 1 .. $count;
}

{
    my $daemon = daemon(options => 'n_processes => 1, max_requests => 3');
    my @workers = map {
        my @served = workers_of($daemon, 3);
        is(scalar(keys %{ { map { $_ => 1 } @served } }), 1, 'three requests have the same worker');
        $daemon->wait_for(qr/recycling worker \(pid $served[0]\): it has reached max_requests/);
        $daemon->wait_for(qr/server \(pid $served[0]\) exited with status 0/);
        $served[0];
    } 1 .. 3;
    is(scalar(keys %{ { map { $_ => 1 } @workers } }), 3, 'the next three another');
    is(status($daemon)->{recycled}, 3, 'and fcgipm status counts them');
    $daemon->stop;
    unlike($daemon->log, qr/status [1-9]|emergency/, 'the successor was there before');
}

# On one connection, all of it.
{
    my $daemon = daemon(options => 'n_processes => 2, max_requests => 5, max_requests_jitter => 3');
    my $client = FastCGIClient->new($daemon->dir . '/socket');
    my (%served, $lost);
    for (1 .. 6) {
        for (1 .. 10) {
            my $response = $client->call({ keep => 1 });
            $response->{ended} ? $served{ worker_of($response) }++ : $lost++;
        }
        $daemon->wait_for(qr/recycling worker \(pid \d+\): it has reached max_requests/);
    }
    cmp_ok(scalar(keys %served), '>=', 6, 'a kept connection sees its workers recycled');
    is($lost, undef, 'and loses no request');
    $daemon->stop;
}

# FCGI::ProcManager::MaxRequests does it from outside, and leaves in pm_post_dispatch.
{
    my $daemon = daemon(class => 'Counting', options => 'n_processes => 1', before => <<'BEFORE');
{
    package Counting;
    our @ISA = 'FCGIPM::ProcManager';
    sub handling_init { my $self = shift; $self->SUPER::handling_init; $self->{left} = 2 }
    sub pm_post_dispatch {
        my $self = shift;
        $self->pm_exit('safe exit after max_requests') if --$self->{left} == 0;
        return $self->SUPER::pm_post_dispatch;
    }
}
BEFORE
    my $worker = worker_of($daemon->ask);
    my $last = $daemon->ask;
    is(worker_of($last), $worker, 'a subclass that counts by itself, and exits in pm_post_dispatch, has answered by then');
    like($last->{stderr}, qr/server \(pid $worker\): safe exit after max_requests/, 'and says what it said on the original');
    $daemon->wait_for(qr/server \(pid $worker\) exited with status 0/);
    isnt(worker_of($daemon->ask), $worker, 'and is replaced');
    $daemon->stop;
}

# The manager looks at each worker's memory once in ten seconds.
{
    my $daemon = daemon(options => "n_processes => 1, max_memory => '64m'", before => 'my $hoard = "";', page => '$hoard .= "x" x (96 << 20) if $_[0]; print length $hoard');
    my $worker = worker_of($daemon->ask);
    like($daemon->ask(params => [ ASK => 'grow' ])->{stdout}, qr/worker $worker 100663296\z/, 'a page grows a string');
    $daemon->wait_for(qr/recycling worker \(pid $worker\): it has reached max_memory/);
    $daemon->wait_for(qr/server \(pid $worker\) exited with status 0/);
    like($daemon->ask->{stdout}, qr/worker (?!$worker )\d+ 0\z/, 'and its worker is replaced');
    $daemon->stop;
    is(scalar(() = $daemon->log =~ /recycling/g), 1, 'and no other');
}
{
    my $daemon = daemon(options => 'n_processes => 1, max_lifetime => 1');
    my $worker = $daemon->wait_for(qr/server \(pid (\d+)\) started/);
    $daemon->wait_for(qr/recycling worker \(pid $worker\): it has reached max_lifetime/);
    $daemon->wait_for(qr/server \(pid $worker\) exited with status 0/);
    isnt(worker_of($daemon->ask), $worker, 'a worker that has lived long enough is replaced');
    $daemon->stop;
}

done_testing;
