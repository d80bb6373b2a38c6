use strict;
use warnings;
use lib qw(t/lib xt/lib);
use FCGIPM::ProcManager;
use File::Temp ();
use Test::More;
use Workers;

# The log of a Perl manager: priorities in the journal, levels, and a file.

my $IN_JOURNAL = 'my @s = stat STDERR; $ENV{JOURNAL_STREAM} = "$s[0]:$s[1]";';

{
    my $mark = File::Temp->new;
    unlink "$mark";
    my $daemon = daemon(
        before => $IN_JOURNAL, options => 'n_processes => 1',
        loop   => "die 'broken' if -e '$mark'; while (\$request->Accept >= 0) { print qq(\\r\\nworker \$\$ ) }",
    );
    my $worker = worker_of($daemon->ask);
    kill KILL => $worker;
    like($daemon->wait_for(qr/^(.*killed by SIGKILL.*)$/), qr/\A<4>FastCGI: manager/, 'a death is a warning');
    $daemon->ask;
    open my $made, '>', "$mark" or die "$mark: $!";
    $daemon->signal('HUP');
    like($daemon->wait_for(qr/^(.*reload failed.*)$/), qr/\A<3>FastCGI: manager/, 'a failed reload is an error');
    unlink "$mark";
    like($daemon->log, qr/^<6>FastCGI: manager \(pid \d+\): initialized$/m, 'a start is informational');
    like($daemon->log, qr/^<5>FastCGI: manager .*reload begun$/m,            'a reload is a notice');
}

{
    my $dir = File::Temp->newdir;
    my $daemon = daemon(options => "n_processes => 1, log => '$dir/log'");
    my $read = sub { open my $in, '<', "$dir/$_[0]" or return ''; local $/; return <$in> // '' };
    my $worker = worker_of($daemon->ask);
    like($read->('log'), qr/\A\d{4}-\d\d-\d\dT\S+Z FastCGI: manager \(pid \d+\): initialized$/m, 'lines of the manager are in the file');
    rename "$dir/log", "$dir/old" or die "rename: $!";
    $daemon->signal('USR1');
    local $SIG{ALRM} = sub { die "the file is not opened again" };
    alarm Daemon::LIMIT;
    select undef, undef, undef, 0.01 until -e "$dir/log";
    kill KILL => $worker;
    select undef, undef, undef, 0.01 until $read->('log') =~ /killed by SIGKILL/;
    alarm 0;
    pass('it is opened again on USR1');
    unlike($daemon->log, qr/manager/, 'nothing of the manager is on standard error');
}

my $refused = eval { FCGIPM::ProcManager->new({ n_processes => 1, log => 'syslog' })->pm_manage; 1 };
ok(!$refused, 'a log that is not a destination is refused');
like($@, qr/option log: 'syslog' is not one of: stderr, none, or the absolute path of a file/, 'with the reason');

done_testing;
