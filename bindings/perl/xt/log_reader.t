use strict;
use warnings;
use lib qw(t/lib xt/lib);
use Fcntl;
use Test::More;
use Workers;

# The reader of the manager's log may exit or stop reading: the manager and its workers continue.

{
    my $daemon = daemon(options => 'n_processes => 2');
    my $first = worker_of($daemon->ask);
    # From here on nothing is read. The pipe holds 64 KiB, so the next write to it would block.
    open my $log, '>', "/proc/${\ $daemon->pid}/fd/2" or die "the log: $!";
    fcntl $log, F_SETFL, O_WRONLY | O_NONBLOCK or die "fcntl: $!";
    1 while syswrite $log, "filled\n";
    ok($!{EAGAIN}, 'the log is full');
    kill KILL => $first;
    my $answer = '';
    for (1 .. 1000) { last if ($answer = worker_of(eval { $daemon->ask } || { stdout => '' })) ne '' && $answer ne $first }
    isnt($answer, '', 'a worker answers although the log is full');
    $daemon->signal('HUP');
    my $reload;
    do { $reload = status($daemon)->{reload} } until $reload->{done};
    is($reload->{done}, 1, 'a reload succeeds');
    kill TERM => $daemon->pid;
    local $SIG{ALRM} = sub { die "the manager waits for the reader of its log" };
    alarm Daemon::LIMIT;
    waitpid delete $daemon->{pid}, 0;
    alarm 0;
    is($?, 0, 'TERM stops it');
}

my $daemon = daemon(options => 'n_processes => 2');
my $first = worker_of($daemon->ask);
isnt($first, '', 'a worker answers');
close $daemon->{log};
$daemon->signal('HUP');
my $reload;
do { $reload = status($daemon)->{reload} } until $reload->{done};
is($reload->{done}, 1, 'a reload succeeds without a reader');
kill KILL => $_->{pid} for @{ status($daemon)->{workers} };
my $answer = '';
for (1 .. 1000) { last if ($answer = worker_of(eval { $daemon->ask } || { stdout => '' })) ne '' }
isnt($answer, '', 'killed workers are replaced');
kill TERM => $daemon->pid;
waitpid $daemon->pid, 0;
is($?, 0, 'TERM stops it with status 0');
delete $daemon->{pid};

done_testing;
