use strict;
use warnings;
use lib qw(t/lib xt/lib);
use Test::More;
use File::Temp ();
use Daemon;
use Workers qw(worker_of);

# Workers that run as another user than the manager. The tests need root.

my $PROGRAM = <<'PROGRAM';
use strict; use warnings; use Cwd (); use FCGIPM; use FCGIPM::ProcManager;
my $socket = FCGIPM::OpenSocket($ENV{FCGI_SOCKET_PATH}, 100);
my $request = FCGIPM::Request(\*STDIN, \*STDOUT, \*STDERR, \%%ENV, $socket);
my $manager = $$;
my $pm = FCGIPM::ProcManager->new({ n_processes => 1, %s }); $pm->pm_manage;
my $in_worker = "$<";
while ($request->Accept >= 0) {
    $pm->pm_pre_dispatch;
    my $kill = kill(0, $manager) ? 'may' : 'may not';
    print "worker $$: $in_worker, $<, $>, $(, $), in ", Cwd::getcwd(), ', nice ', getpriority(0, 0), ", $kill signal the manager";
    $pm->pm_post_dispatch;
}
PROGRAM

sub daemon {
    my ($options, %environment) = @_;
    return Daemon->start(text => sprintf($PROGRAM, $options), environment => \%environment);
}

is($>, 0, 'these tests run as root') or BAIL_OUT('these tests change the user: run them as root');
my ($uid, $gid) = (getpwnam 'nobody')[2, 3];
my $priority = getpriority(0, 0) + 3;

{
    my $daemon = daemon("user => 'nobody', chdir => '/usr', priority => $priority");
    my $response = $daemon->ask;
    like($response->{stdout}, qr/: $uid, $uid, $uid, $gid $gid, $gid $gid, in \/usr, nice $priority, may not signal/,
        'from pm_manage on, the worker has the identity of the options');
    open my $status, '<', '/proc/' . $daemon->pid . '/status' or die $!;
    like(join('', <$status>), qr/^Uid:\t0\t0\t0\t0$/m, 'the manager remains root');

    my $old = worker_of($response);
    $daemon->signal('HUP');
    $daemon->wait_for(qr/server \(pid $old\) exited with status 0/);
    $daemon->wait_for(qr/reload done/);
    my $new = worker_of($daemon->ask);
    isnt($new, $old, 'the manager can reload its workers');
    kill TERM => $new;
    $daemon->wait_for(qr/server \(pid $new\) exited with status 0/);
    isnt(worker_of($daemon->ask), $new, 'a worker that receives TERM exits and is replaced');
    is($daemon->stop, 0, 'the manager can stop them');
    unlike($daemon->log, qr/status [1-9]/, 'all workers exit with status 0');
}
{
    my $daemon = daemon("user => 'nobody', group => 'daemon'");
    my $daemons = getgrnam 'daemon';
    like($daemon->ask->{stdout}, qr/: $uid, $uid, $uid, $daemons $daemons, $daemons $daemons,/, 'the option group');
    $daemon->stop;
}
{
    my $root = File::Temp->newdir;
    chmod 0755, $root;
    my $daemon = daemon("chroot => '$root'", FCGIPM_USER => 'nobody');
    like($daemon->ask->{stdout}, qr/: $uid, .* in \/,/, 'another root directory, and the user from the environment');
    is($daemon->stop, 0, 'the manager can stop this worker');
}
{
    my $daemon = daemon("user => 'nobody'");
    $daemon->ask;
    # The log, to which the worker also writes, ends when both have exited.
    is($daemon->stop('KILL'), 9, 'a worker of another user exits when the manager is killed');
}
for (
    [ "user => 'no-such-user'", qr/option user: 'no-such-user' is not a user of this system/ ],
    [ "group => 'no-such-group'", qr/option group: 'no-such-group' is not a group of this system/ ],
    [ "chroot => 'here'", qr/option chroot: 'here' is not an absolute path/ ],
    [ "chdir => '/nonexistent'", qr/option chdir: '\/nonexistent': stat: No such file or directory/ ],
    [ "user => 'nobody', n_processes => 0", qr/option user: 'nobody' is for the workers of a manager, but n_processes is 0/ ],
) {
    my ($options, $message) = @$_;
    my $daemon = daemon($options);
    isnt($daemon->ended, 0, "$options: the program exits");
    like($daemon->log, $message, 'the message names the option');
    unlike($daemon->log, qr/started/, 'before a worker is started');
}
done_testing;
