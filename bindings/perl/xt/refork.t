use strict;
use warnings;
use lib qw(t/lib xt/lib);
use Test::More;
use Compat;
use Workers 'status';

# Workers that are copies of one that has served requests: the hooks, what a new worker has of its own,
# applications under FCGIPM::Compat, and the memory that the copies share.

needs(qw(Plack CGI::Fast Catalyst FCGI::ProcManager));

my $REFORKED = qr/refork: template \(pid \d+\) is ready/;
my $REPLACED = qr/by a copy of the template/;

sub answer { my ($daemon) = @_; return { split ' ', $daemon->ask->{stdout} =~ s/.*?\n\r?\n//sr } }

sub refork {
    my ($daemon, $workers) = @_;
    answer($daemon) for 1 .. $workers * 20;
    $daemon->wait_for($REFORKED);
    for (1 .. $workers) {
        $daemon->wait_for($REPLACED);
        $daemon->wait_for(qr/server .*exited with status 0/);
    }
    return;
}

# The native classes, and a subclass.
{
    my $daemon = Daemon->start(text => <<'END', environment => { FCGIPM_REFORK_AFTER => 20 });
use FCGIPM;
use FCGIPM::ProcManager;
{
    package Mine;
    our @ISA = 'FCGIPM::ProcManager';
    sub handling_init { my ($self) = @_; $self->SUPER::handling_init; $main::inits++; return }
    sub pm_after_fork { my ($self) = @_; $self->SUPER::pm_after_fork; $main::handle = "opened by $$"; return }
}
our ($inits, $handle, $before, $after) = (0, 'none', 0, 0);
my $socket = FCGIPM::OpenSocket($ENV{FCGI_SOCKET_PATH}, 100);
my $request = FCGIPM::Request(\*STDIN, \*STDOUT, \*STDERR, \my %env, $socket);
my $pm = Mine->new({ n_processes => 2, before_fork => sub { $before++; $handle = 'closed' }, after_fork => sub { $after++ } });
$pm->pm_manage;
my $served = 0;
while ($request->Accept >= 0) {
    my $own = $handle eq "opened by $$" ? 1 : 0;
    print "Content-Type: text/plain\r\n\r\npid $$ parent @{[getppid]} served ", $served++, ' inits ', $inits, " after $after own $own",
        " before $before role @{[$pm->role]} manager $pm->{MANAGER_PID} rand ", rand, "\n";
    $handle = "opened by $$" if $handle eq 'closed';
}
END
    $daemon->wait_for(qr/server .*initialized/) for 1, 2;
    my $cold = answer($daemon);
    is_deeply([ @$cold{qw(served inits after own)} ], [ 0, 1, 1, 1 ], 'a first worker: its hooks have run');
    refork($daemon, 2);
    my %seen;
    for (1 .. 10) {
        my $warm = answer($daemon);
        cmp_ok($warm->{served}, '>=', 20, 'a copy has what the worker had');
        is_deeply([ @$warm{qw(parent manager role own)} ], [ ($daemon->pid) x 2, 'server', 1 ], 'a copy is a worker of the manager');
        is_deeply([ @$warm{qw(inits after)} ], [ 2, 2 ], 'handling_init and after_fork have run in it, too');
        $seen{ $warm->{pid} }{ $warm->{rand} }++;
    }
    my @random = map { keys %$_ } values %seen;
    my %different = map { $_ => 1 } @random;
    is(keys %different, 10, 'random numbers differ among the copies');
    is($daemon->stop, 0, 'TERM stops it with status 0');
}

# Subclasses of FCGI::ProcManager with a pm_wait of their own.
sub own_wait {
    my ($body) = @_;
    my $daemon = compat(text => <<'END' =~ s/BODY/$body/r, environment => { FCGIPM_REFORK_AFTER => 20 });
use FCGI;
use FCGI::ProcManager;
{
    package Mine;
    our @ISA = 'FCGI::ProcManager';
    sub pm_wait {
        my ($self) = @_;
        my $pid = BODY;
        return if !$pid || $pid < 0;
        delete $self->{PIDS}{$pid};
        print STDERR "reaped $pid with ", $? >> 8, "\n";
        return $pid;
    }
}
my $request = FCGI::Request(\*STDIN, \*STDOUT, \*STDERR, \my %env, FCGI::OpenSocket($ENV{FCGI_SOCKET_PATH}, 100));
my $pm = Mine->new({ n_processes => 2 });
$pm->pm_manage;
my $served = 0;
while ($request->Accept >= 0) {
    $pm->pm_pre_dispatch;
    print "Content-Type: text/plain\r\n\r\npid $$ parent @{[getppid]} served ", $served++, "\n";
    $pm->pm_post_dispatch;
}
END
    $daemon->wait_for(qr/server .*started/) for 1, 2;
    return $daemon;
}

{
    my $daemon = own_wait('$self->SUPER::pm_wait');
    my %cold = map { $_->{pid} => 1 } @{ status($daemon)->{workers} };
    my $counts = load_during($daemon, sub {
        $daemon->wait_for($REFORKED);
        $daemon->wait_for(qr/reaped \d+ with 0/) for 1, 2;
    }, expect => 'served');
    is($counts->{lost}, 0, 'a pm_wait around the original\'s: no request is lost');
    for (1 .. 10) {
        my $warm = answer($daemon);
        cmp_ok($warm->{served}, '>=', 20, 'a copy serves');
        is($warm->{parent}, $daemon->pid, 'and is a child of the manager');
        ok(!$cold{ $warm->{pid} }, 'none of the workers of before');
    }
    is(status($daemon)->{ready}, 2, 'there are as many as before');
    is($daemon->stop, 0, 'TERM stops it with status 0');
}

# The manager acts only when a worker has exited.
{
    my $daemon = own_wait('waitpid -1, 0');
    my $counts = load_during($daemon, sub {
        for (1 .. 6) {
            my $worker = answer($daemon)->{pid};
            kill TERM => $worker;
            $daemon->wait_for(qr/reaped $worker with 0/);
        }
    }, expect => 'served');
    is($counts->{lost}, 0, 'a pm_wait that reaps: no request is lost');
    is(answer($daemon)->{parent}, $daemon->pid, 'workers are children of the manager');
    is($daemon->stop, 0, 'TERM stops it with status 0');
}

# Hooks that die.
{
    my $daemon = Daemon->start(text => <<'END', environment => { FCGIPM_REFORK_AFTER => 20 });
use FCGIPM;
use FCGIPM::ProcManager;
my $socket = FCGIPM::OpenSocket($ENV{FCGI_SOCKET_PATH}, 100);
my $request = FCGIPM::Request(\*STDIN, \*STDOUT, \*STDERR, \my %env, $socket);
my $served = 0;
my $pm = FCGIPM::ProcManager->new({ n_processes => 2,
    before_fork => sub { die "no hook\n" if $served }, after_fork => sub { die "no database\n" if $served } });
$pm->pm_manage;
while (1) {
    # A program that catches what Accept throws must not serve in a worker that has failed.
    last if !defined eval { $request->Accept >= 0 ? 1 : undef };
    print "Content-Type: text/plain\r\n\r\nserved ", $served++, "\n";
}
END
    $daemon->wait_for(qr/server .*initialized/) for 1, 2;
    answer($daemon) for 1 .. 40;
    $daemon->wait_for(qr/before_fork died: no hook/);
    $daemon->wait_for(qr/after_fork died: no database/);
    $daemon->wait_for(qr/refork failed: the workers of template \(pid \d+\) fail/);
    ok(exists answer($daemon)->{served}, 'the workers of before continue') for 1 .. 10;
    is($daemon->stop, 0, 'TERM stops it with status 0');
}

# Unmodified programs. What each one loads on first use: a table of 8 MB.
my $LOAD = '$SIG{__WARN__} = sub { }; sub table { return $::table ||= do { require Module::CoreList; scalar keys %Module::CoreList::version } }';
my %PROGRAM = (
    'CGI::Fast' => <<'END',
use CGI::Fast;
while (my $q = CGI::Fast->new) { print $q->header('text/plain'), "pid $$ table ", table(), "\n" }
END
    Plack => <<'END',
use Plack::Runner;
my $runner = Plack::Runner->new;
$runner->parse_options('-s', 'FCGI', '-E', 'deployment', '--listen', $ENV{FCGI_SOCKET_PATH}, '--nproc', 4);
$runner->run(sub { [ 200, [ 'Content-Type' => 'text/plain' ], [ "pid $$ table " . table() . "\n" ] ] });
END
    Catalyst => <<'END',
package Shop::Controller::Root;
use Moose;
BEGIN { extends 'Catalyst::Controller' }
__PACKAGE__->config(namespace => '');
sub default : Private { $_[1]->res->content_type('text/plain'); $_[1]->res->body("pid $$ table " . main::table() . "\n") }

package Shop;
use Moose;
use Catalyst;
extends 'Catalyst';
BEGIN { $INC{'Shop.pm'} = $INC{'Shop/Controller/Root.pm'} = __FILE__ }
__PACKAGE__->config(name => 'Shop', encoding => undef, setup_components => { except => qr/./ });
__PACKAGE__->inject_components('Controller::Root' => { from_component => 'Shop::Controller::Root' });
__PACKAGE__->setup;

package main;
use Catalyst::ScriptRunner;
@ARGV = ('--listen', $ENV{FCGI_SOCKET_PATH}, '--nproc', 4);
Catalyst::ScriptRunner->run('Shop', 'FastCGI');
END
);

# The memory of the manager and all of its children, in MB; shared pages count in parts.
sub memory {
    my ($daemon) = @_;
    my $manager = $daemon->pid;
    open my $children, '<', "/proc/$manager/task/$manager/children" or die "children: $!";
    my $sum = 0;
    for my $pid ($manager, split ' ', <$children>) {
        open my $file, '<', "/proc/$pid/smaps_rollup" or next;
        while (<$file>) { $sum += $1 if /^Pss:\s+(\d+)/ }
    }
    return $sum / 1024;
}

for my $name (sort keys %PROGRAM) {
    my %memory;
    for my $after (0, 20) {
        my $daemon = Daemon->start(
            text        => "$LOAD\n$PROGRAM{$name}",
            address     => '',
            environment => { %{ compat_environment() }, FCGIPM_N_PROCESSES => 4, FCGIPM_REFORK_AFTER => $after },
        );
        $daemon->wait_for(qr/server .*initialized/) for 1 .. 4;
        if ($after) {
            my $counts = load_during($daemon, sub {
                $daemon->wait_for($REFORKED);
                $daemon->wait_for($REPLACED) for 1 .. 4;
            }, expect => 'table');
            is($counts->{lost}, 0, "$name: no request is lost");
        }
        # Workers that wait are served in turn.
        my %served;
        $served{ answer($daemon)->{pid} }++ for 1 .. 400;
        cmp_ok(scalar(grep { $_ >= 20 } values %served), '>=', 4, "$name, refork_after = $after: all workers have served");
        $memory{$after} = memory($daemon);
        is($daemon->stop, 0, "$name: TERM stops it with status 0");
    }
    note(sprintf 'measured: %s and 4 workers: PSS %.1f MB, with refork_after %.1f MB', $name, @memory{ 0, 20 });
    cmp_ok($memory{20}, '<', 0.85 * $memory{0}, "$name: copies of a warm worker share what it has loaded");
}

done_testing;
