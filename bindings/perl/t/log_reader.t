use strict;
use warnings;
use lib 't/lib';
use Fcntl;
use Test::More;
use Workers;

# Whoever reads the manager's log may go away, or stand still: the manager goes on, and so do its workers.

{
    my $daemon = daemon(options => 'n_processes => 2');
    my $first = worker_of($daemon->ask);
    # Nobody reads from here on. The pipe holds 64 KiB; whoever writes into it next would wait.
    open my $log, '>', "/proc/${\ $daemon->pid}/fd/2" or die "the log: $!";
    fcntl $log, F_SETFL, O_WRONLY | O_NONBLOCK or die "fcntl: $!";
    1 while syswrite $log, "filled\n";
    ok($!{EAGAIN}, 'the log is full');
    kill KILL => $first;
    my $answer = '';
    for (1 .. 1000) { last if ($answer = worker_of(eval { $daemon->ask } || { stdout => '' })) ne '' && $answer ne $first }
    isnt($answer, '', 'beside a full log a worker answers');
    $daemon->signal('HUP');
    my $reload;
    do { $reload = status($daemon)->{reload} } until $reload->{done};
    is($reload->{done}, 1, 'and a reload is done');
    kill TERM => $daemon->pid;
    local $SIG{ALRM} = sub { die "the manager waits for the reader of its log" };
    alarm Daemon::LIMIT;
    waitpid delete $daemon->{pid}, 0;
    alarm 0;
    is($?, 0, 'and it stops');
}

my $daemon = daemon(options => 'n_processes => 2');
my $first = worker_of($daemon->ask);
isnt($first, '', 'a worker answers');
close $daemon->{log};
$daemon->signal('HUP');
my $reload;
do { $reload = status($daemon)->{reload} } until $reload->{done};
is($reload->{done}, 1, 'a reload without a reader is done');
kill KILL => $_->{pid} for @{ status($daemon)->{workers} };
my $answer = '';
for (1 .. 1000) { last if ($answer = worker_of(eval { $daemon->ask } || { stdout => '' })) ne '' }
isnt($answer, '', 'killed workers are replaced');
kill TERM => $daemon->pid;
waitpid $daemon->pid, 0;
is($?, 0, 'and it stops as ever');
delete $daemon->{pid};

done_testing;
