use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Workers;

# Whoever reads the manager's log may go away: the manager goes on, and so do its workers.

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
