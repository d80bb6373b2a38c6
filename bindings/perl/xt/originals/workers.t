use strict;
use warnings;
use lib qw(t/lib xt/lib);
use Test::More;
use FastCGIClient;
use Program;
use SameProgram;

# Programs that use the manager without a loop around Accept.

sub same_log {
    my ($name, $text, %with) = @_;
    my $outcomes = SameProgram::outcomes(ways => ['compat'], requests => [], %with, text => "use strict; use warnings; use FCGI::ProcManager; $IDLE\n$text\n");
    for my $outcome (values %$outcomes) {
        $outcome->{stderr} = [ lines_of_log($outcome->{stderr}) ];
        $outcome->{stdout} = [ sort split /^/, $outcome->{stdout} ];
    }
    is_deeply($outcomes->{compat}, $outcomes->{original}, $name) or diag(explain($outcomes));
    return;
}


same_log('no loop at all', 'my $pm = FCGI::ProcManager->new({ n_processes => 1 }); $pm->pm_manage; print "worked\n"; ' . $STOP);
same_log('a loop of another kind', <<'PROGRAM' . $STOP);
use IO::Socket::INET;
my $listener = IO::Socket::INET->new(Listen => 5, LocalAddr => '127.0.0.1') or die;
my $port = $listener->sockport;
my $pm = FCGI::ProcManager->new({ n_processes => 1 });
pipe my $done, my $end or die;
my $asking = fork // die;
if (!$asking) {
    for (1 .. 3) { my $c = IO::Socket::INET->new("127.0.0.1:$port") or die; print STDERR scalar <$c> }
    syswrite $end, 'x';
    require POSIX; POSIX::_exit(0);
}
$pm->pm_manage;
for (1 .. 3) { my $c = $listener->accept; $pm->pm_pre_dispatch; print $c "answer $_\n"; close $c; $pm->pm_post_dispatch }
sysread $done, my $byte, 1;
PROGRAM
same_log('a worker that exits is replaced', <<'PROGRAM' . $STOP);
my $pm = FCGI::ProcManager->new({ n_processes => 1 });
open my $count, '+>', 'count';
$pm->pm_manage;
{ syswrite $count, 'x'; exit 3 if -s 'count' < 3 }
PROGRAM
same_log('no signals', <<'PROGRAM' . 'idle(getppid); kill KILL => getppid; exit;');
my $pm = FCGI::ProcManager->new({ n_processes => 1, no_signals => 1 });
$pm->pm_manage;
print STDERR "$_ ", defined $SIG{$_} && length $SIG{$_} ? 'set' : 'unset', "\n" for qw(TERM HUP);
$pm->pm_pre_dispatch; $pm->pm_post_dispatch;
print STDERR "role ", $pm->role, "\n"; open my $done, '>', 'done'; close $done;
PROGRAM
same_log('hooks and their order', <<'PROGRAM' . $STOP);
{ package Mine; our @ISA = 'FCGI::ProcManager';
  for my $m (qw(managing_init handling_init pm_write_pid_file pm_change_process_name)) { my $s = "SUPER::$m"; no strict 'refs';
    eval "sub $m { my (\$self, \@r) = \@_; print STDERR '$m in ', \$self->role, ' ', scalar(\@r), qq{\\n}; \$self->SUPER::$m(\@r) } 1" or die $@ } }
my $pm = Mine->new({ n_processes => 1 }); $pm->pm_manage;
PROGRAM
same_log('start_delay, die_timeout', 'my $pm = FCGI::ProcManager->new({ n_processes => 1, start_delay => 0, die_timeout => 20 }); $pm->pm_manage; print STDERR $pm->die_timeout, $pm->start_delay, "\n";' . $STOP);
same_log('a title', 'my $pm = FCGI::ProcManager->new({ n_processes => 1, pm_title => "my title" }); $pm->pm_manage; open my $f, "<", "/proc/" . getppid . "/cmdline"; my $l = <$f>; $l =~ s/\0.*//s; print STDERR "$l|$0\n";' . $STOP);
same_log('rand differs', 'my $pm = FCGI::ProcManager->new({ n_processes => 1 }); srand 1; my $here = rand; srand 1; $pm->pm_manage; print STDERR rand == $here ? "same" : "other", "\n";' . $STOP);
same_log('what a worker knows', 'my $pm = FCGI::ProcManager->new({ n_processes => 1 }); my $manager = $$; $pm->pm_manage; print STDERR exists $pm->{PIDS} ? 1 : 0, $pm->{MANAGER_PID} == $manager ? 1 : 0, $pm->role, $pm->n_processes, "\n";' . $STOP);
same_log('what pm_manage returns', 'my $pm = FCGI::ProcManager->new; my @r = $pm->pm_manage(n_processes => 1); print STDERR "@r\n";' . $STOP);
same_log('a handler of CHLD', '$SIG{CHLD} = sub { print STDERR "mine\n" }; my $pm = FCGI::ProcManager->new({ n_processes => 1 }); $pm->pm_manage; print STDERR ref $SIG{CHLD} || "none", "\n";' . $STOP);
same_log('Default', '{ package Mine; our @ISA = "FCGI::ProcManager"; } $FCGI::ProcManager::Default = "Mine"; FCGI::ProcManager::pm_parameter(a => 1) for 1; my $q = FCGI::ProcManager::self_or_default(); print STDERR ref $q, $q->{a}, ref $FCGI::ProcManager::Q, "\n";');
same_log('exports by name', 'BEGIN { FCGI::ProcManager->import(qw(pm_manage pm_die pm_wait pm_write_pid_file pm_remove_pid_file pm_pre_dispatch pm_post_dispatch pm_change_process_name pm_received_signal pm_parameter pm_warn pm_notify pm_abort pm_exit $SIG_CODEREF)) } our $SIG_CODEREF; pm_parameter(role => "mine"); pm_notify("text"); pm_warn("other"); pm_change_process_name("name"); print STDERR "$0\n"; pm_received_signal("TERM", 2); $SIG_CODEREF = sub { print STDERR "sub @_\n" }; FCGI::ProcManager::sig_sub("X"); pm_post_dispatch();');
same_log('an export that does not exist', 'eval { FCGI::ProcManager->import("nothing") }; print STDERR $@ =~ /"nothing" is not exported/ ? "refused\n" : $@;');
same_log('pm_die in functional style', 'FCGI::ProcManager->import(":all"); FCGI::ProcManager::pm_die("because", 4);');
same_log('pm_exit keeps $@', 'FCGI::ProcManager->import(":all"); END { print STDERR "[$@][$?]\n" } FCGI::ProcManager::pm_exit("because", 4);');
same_log('pm_abort with a status', 'FCGI::ProcManager->new({ role => "x" })->pm_abort("trouble", 9);');
same_log('n_processes 0 in functional style', 'use FCGI::ProcManager qw(:all); my @r = pm_manage(n_processes => 0); print STDERR scalar(@r), "\n"; pm_pre_dispatch(); pm_post_dispatch(); print STDERR "on\n";');
same_log('a hash of parameters is copied', 'my %p = (n_processes => 3, mine => 1); my $pm = FCGI::ProcManager->new(\%p); $pm->n_processes(4); print STDERR "$p{n_processes} ", join(",", sort keys %p), "\n";');
same_log('objects of objects', 'my $pm = FCGI::ProcManager->new({ a => 1 }); my $o = $pm->new; print STDERR ref $o, defined $o->{a} ? 1 : 0, "\n";');
same_log('multiple inheritance', '{ package Base; sub new { die } package Mine; our @ISA = ("FCGI::ProcManager", "Base"); sub new { my ($c, %a) = @_; my $s = FCGI::ProcManager::new($c, { %a }); $s } } print STDERR ref Mine->new(n_processes => 2), "\n";');
same_log('warnings of -w', 'BEGIN { $^W = 1 } my $pm = FCGI::ProcManager->new({ n_processes => 0, pid_fname => undef, mine => undef }); $pm->pm_manage; print STDERR "quiet\n";');

done_testing;
