use strict;
use warnings;
use lib qw(t/lib xt/lib);
use Test::More;
use Program;
use SameProgram;

# A program with one worker serves a request; when both processes wait, the manager receives TERM.
# The log lines are compared sorted, because two processes write them.

my $serve_once = sub {
    my ($socket, $pid) = @_;
    my $response = FastCGIClient->ask($socket);
    my ($worker) = $response->{stdout} =~ /worker (\d+)/;
    Program::wait_until_idle($_) for grep { defined } $worker, $pid;
    $response->{stdout} =~ s/worker \d+/worker N/;
    return $response;
};

sub same_lines {
    my ($name, $text) = @_;
    my $outcomes = SameProgram::outcomes(text => $text, requests => [$serve_once], signal_at_end => 'TERM');
    my %lines;
    for my $way (keys %$outcomes) {
        my $outcome = $outcomes->{$way};
        for ($outcome->{stderr}) { s/pid \d+/pid N/g; s/PIDs, \d+/PIDs, N/ }
        $lines{$way} = [
            sort(split /^/, $outcome->{stderr}), $outcome->{stdout}, $outcome->{status}, $outcome->{responses}[0]{stdout},
            $outcome->{responses}[0]{stderr},
        ];
    }
    is_deeply($lines{$_}, $lines{original}, "$name ($_)") or diag(explain(\%lines)) for @SameProgram::OURS;
    return;
}

my $LOOP = <<'LOOP';
while ($request->Accept >= 0) {
    $pm->pm_pre_dispatch;
    print "worker $$ $0 ", $pm->role, "\n";
    $pm->pm_post_dispatch;
}
LOOP

my $HEAD = "use strict; use warnings; use FCGI; use FCGI::ProcManager;\nmy \$request = FCGI::Request();\n";

same_lines('the log of a complete run', $HEAD . 'my $pm = FCGI::ProcManager->new({ n_processes => 1 }); $pm->pm_manage;' . $LOOP);
same_lines('parameters given to pm_manage', $HEAD . 'my $pm = FCGI::ProcManager->new; my $r = $pm->pm_manage(n_processes => 1, pm_title => "title"); print STDERR "returned $r\n";' . $LOOP);
same_lines('a subclass', $HEAD . <<'PROGRAM' . $LOOP);
{
    package Mine;
    our @ISA = 'FCGI::ProcManager';
    sub managing_init { my $self = shift; $self->SUPER::managing_init(@_); print STDERR "managing $0 $self->{mine}\n" }
    sub handling_init { my $self = shift; $self->SUPER::handling_init(@_); print STDERR "handling $0 ", $self->role, "\n" }
    sub pm_notify { my ($self, $message) = @_; $self->SUPER::pm_notify("mine: $message") }
    sub pm_die { my ($self, @rest) = @_; print STDERR "dying with $rest[0]\n"; $self->SUPER::pm_die(@rest) }
    sub pm_exit { my ($self, @rest) = @_; print STDERR "exit in ", $self->role, "\n"; $self->SUPER::pm_exit(@rest) }
    sub pm_change_process_name { my ($self, $name) = @_; $self->SUPER::pm_change_process_name("my $name") }
}
my $pm = Mine->new({ n_processes => 1, mine => 'value' });
$pm->pm_manage;
PROGRAM
same_lines('a pid file', $HEAD . <<'PROGRAM' . $LOOP);
my $pm = FCGI::ProcManager->new({ n_processes => 1, pid_fname => 'pid' });
my $manager = $$;
END { print STDERR "pid file left\n" if $$ == $manager && -e 'pid' }
$pm->pm_manage;
open my $file, '<', 'pid'; my $held = <$file>; print STDERR $held == getppid ? "holds the manager's pid\n" : "holds $held";
PROGRAM
same_lines('buffered output is printed once', $HEAD . <<'PROGRAM' . $LOOP);
open my $log, '>', 'log'; print $log "once\n"; print STDOUT "buffered once\n";
my $manager = $$;
END { if ($$ == $manager) { close $log; open $log, '<', 'log'; print STDERR "log: ", <$log> } }
my $pm = FCGI::ProcManager->new({ n_processes => 1 });
$pm->pm_manage;
PROGRAM
same_lines('functions without an object', $HEAD . <<'PROGRAM' . <<'LOOP');
use FCGI::ProcManager qw(:all);
pm_parameter(mine => 5);
pm_manage(n_processes => 1);
print STDERR pm_parameter('mine'), pm_parameter('role'), "\n";
PROGRAM
while ($request->Accept >= 0) { pm_pre_dispatch(); print "worker $$\n"; pm_post_dispatch() }
LOOP

# Without requests: what the methods return and print.
sub same_program {
    my ($name, $text) = @_;
    same($name, text => "use strict; use warnings; use FCGI; use FCGI::ProcManager;\n$text", requests => []);
    return;
}

same_program('defaults', <<'PROGRAM');
my $pm = FCGI::ProcManager->new;
print map({ defined $_ ? "[$_]" : '[undef]' } map { $pm->$_ } qw(n_processes pid_fname no_signals die_timeout role start_delay)), "\n";
print $pm->pm_parameter('pm_title'), "\n", ref $pm, ' ', $pm->isa('Exporter') ? 1 : 0, "\n";
PROGRAM
same_program('parameters', <<'PROGRAM');
my $pm = FCGI::ProcManager->new({ own => [1], die_timeout => 5, role => 'x' });
print $pm->n_processes(3), $pm->n_processes, $pm->die_timeout(0), $pm->die_timeout(undef), ref $pm->{own}, $pm->role('y'), "\n";
my $other = $pm->new({ own => 2 }); print ref $other, $other->{own}, $other->role, "\n";
PROGRAM
same_program('n_processes 0', <<'PROGRAM');
my $pm = FCGI::ProcManager->new({ n_processes => 0 });
my @r = $pm->pm_manage; print scalar(@r), $pm->role, "\n"; $pm->pm_pre_dispatch; $pm->pm_post_dispatch; print "on\n";
PROGRAM
same_program('signals received', <<'PROGRAM');
my $pm = FCGI::ProcManager->new;
print defined $pm->pm_received_signal ? 1 : 0, defined $pm->pm_received_signal('TERM') ? 1 : 0, "\n";
print $pm->pm_received_signal('TERM', 1), $pm->pm_received_signal('TERM', 1), join(',', %{ $pm->pm_received_signal }), "\n";
print $pm->sig_handler('HUP'), $pm->pm_received_signal('HUP'), "\n";
PROGRAM
same_program('post_dispatch after HUP', 'my $pm = FCGI::ProcManager->new; $pm->sig_handler("HUP"); $pm->pm_post_dispatch; print "not reached\n";');
same_program('post_dispatch after TERM', 'my $pm = FCGI::ProcManager->new; $pm->sig_handler("TERM"); $pm->pm_post_dispatch; print "not reached\n";');
same_program('notify and warn', 'my $pm = FCGI::ProcManager->new({ role => "tester" }); $pm->pm_notify("text"); $pm->pm_notify("text \n\n"); $pm->pm_warn("warned"); my $r = $pm->pm_notify("x"); print "$r\n";');
same_program('exit', 'my $pm = FCGI::ProcManager->new; END { print "$?, $@\n" } $pm->pm_exit("leaving", 3);');
same_program('exit without status', 'my $pm = FCGI::ProcManager->new; $pm->pm_exit("leaving");');
same_program('abort', 'my $pm = FCGI::ProcManager->new; $pm->pm_abort("aborting", 7);');
same_program('die without workers', 'my $pm = FCGI::ProcManager->new; $pm->pm_die("all done", 2);');
same_program('wait without workers', 'my $pm = FCGI::ProcManager->new; my @r = $pm->pm_wait; print scalar(@r), "\n";');
same_program('pid files', <<'PROGRAM');
my $pm = FCGI::ProcManager->new({ pid_fname => 'own' });
$pm->pm_write_pid_file; print -s 'own' == length("$$\n") ? 1 : 0; print $pm->pm_remove_pid_file, -e 'own' ? 1 : 0, "\n";
$pm->pm_write_pid_file('other'); print -e 'other' ? 1 : 0; print $pm->pm_remove_pid_file('other'), "\n";
$pm->pm_write_pid_file('/nonexistent/x'); $pm->pm_remove_pid_file('/nonexistent/x');
FCGI::ProcManager->new->pm_write_pid_file; my @r = FCGI::ProcManager->new->pm_remove_pid_file; print scalar(@r), "\n";
PROGRAM
same_program('process name', 'my $pm = FCGI::ProcManager->new; $pm->pm_change_process_name("a name"); print "$0\n";');
same_program('exports', 'print join(",", sort @FCGI::ProcManager::EXPORT_OK), "\n", join(",", keys %FCGI::ProcManager::EXPORT_TAGS), "\n", $FCGI::ProcManager::Default, "\n";');
same_program('self_or_default', <<'PROGRAM');
my $pm = FCGI::ProcManager->new; { package Sub; our @ISA = 'FCGI::ProcManager' } my $sub = Sub->new;
for ([], [$pm, 1], ['FCGI::ProcManager', 2], [3], [$sub, 4], ['Sub', 5], [{}, 6]) { my @r = FCGI::ProcManager::self_or_default(@$_); print join(' ', map { ref || $_ } @r), "\n" }
PROGRAM
same_program('sig_sub', 'FCGI::ProcManager::sig_sub("A"); $FCGI::ProcManager::SIG_CODEREF = sub { print "got @_\n" }; FCGI::ProcManager::sig_sub("B");');
same_program('a method for each name', 'print join ",", grep { FCGI::ProcManager->can($_) } qw(new pm_manage managing_init pm_die pm_wait pm_write_pid_file pm_remove_pid_file sig_sub sig_manager handling_init pm_pre_dispatch pm_post_dispatch sig_handler self_or_default pm_change_process_name pm_received_signal pm_parameter n_processes pid_fname no_signals die_timeout role start_delay pm_warn pm_notify pm_exit pm_abort); print "\n";');

done_testing;
