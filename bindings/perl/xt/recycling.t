use strict;
use warnings;
use lib qw(t/lib xt/lib);
use Test::More;
use Workers;

# Workers that reach max_requests, max_memory or max_lifetime.

sub workers_of {
    my ($daemon, $count) = @_;
    return map { worker_of($daemon->ask) } 1 .. $count;
}

{
    my $daemon = daemon(options => 'n_processes => 1, max_requests => 3');
    my @workers = map {
        my @served = workers_of($daemon, 3);
        is(scalar(keys %{ { map { $_ => 1 } @served } }), 1, 'three requests are served by the same worker');
        $daemon->wait_for(qr/recycling worker \(pid $served[0]\): it has reached max_requests/);
        $daemon->wait_for(qr/server \(pid $served[0]\) exited with status 0/);
        $served[0];
    } 1 .. 3;
    is(scalar(keys %{ { map { $_ => 1 } @workers } }), 3, 'the next three by another');
    is(status($daemon)->{recycled}, 3, 'fcgipm status counts them');
    $daemon->stop;
    unlike($daemon->log, qr/status [1-9]|emergency/, 'the replacement was ready before');
}

# On one connection.
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
    cmp_ok(scalar(keys %served), '>=', 6, 'the workers behind a keep-alive connection are recycled');
    is($lost, undef, 'no request is lost');
    $daemon->stop;
}

# A subclass that counts requests itself and exits in pm_post_dispatch, as
# FCGI::ProcManager::MaxRequests does.
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
    is(worker_of($last), $worker, 'a worker that exits in pm_post_dispatch has answered its request');
    like($last->{stderr}, qr/server \(pid $worker\): safe exit after max_requests/, 'with the message of the original');
    $daemon->wait_for(qr/server \(pid $worker\) exited with status 0/);
    isnt(worker_of($daemon->ask), $worker, 'it is replaced');
    $daemon->stop;
}

# The manager checks each worker's memory.
{
    my $daemon = daemon(options => "n_processes => 1, max_memory => '64m'", before => 'my $hoard = "";', page => '$hoard .= "x" x (96 << 20) if $_[0]; print length $hoard');
    my $worker = worker_of($daemon->ask);
    like($daemon->ask(params => [ ASK => 'grow' ])->{stdout}, qr/worker $worker 100663296\z/, 'a page grows a string');
    $daemon->wait_for(qr/recycling worker \(pid $worker\): it has reached max_memory/);
    $daemon->wait_for(qr/server \(pid $worker\) exited with status 0/);
    like($daemon->ask->{stdout}, qr/worker (?!$worker )\d+ 0\z/, 'its worker is replaced');
    $daemon->stop;
    is(scalar(() = $daemon->log =~ /recycling/g), 1, 'no other worker is');
}
{
    my $daemon = daemon(options => 'n_processes => 1, max_lifetime => 1');
    my $worker = $daemon->wait_for(qr/server \(pid (\d+)\) started/);
    $daemon->wait_for(qr/recycling worker \(pid $worker\): it has reached max_lifetime/);
    $daemon->wait_for(qr/server \(pid $worker\) exited with status 0/);
    isnt(worker_of($daemon->ask), $worker, 'a worker that reaches max_lifetime is replaced');
    $daemon->stop;
}

done_testing;
