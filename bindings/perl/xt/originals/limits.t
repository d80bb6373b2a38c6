use strict;
use warnings;
use lib qw(t/lib xt/lib);
use Test::More;
use FastCGIClient;
use Program;
use SameProgram;

# FCGI::ProcManager::MaxRequests and ::Constrained.

eval { require FCGI::ProcManager::MaxRequests; require FCGI::ProcManager::Constrained; 1 } or BAIL_OUT("the originals are needed: $@");

sub program {
    my ($name, $class, $text, %with) = @_;
    return same($name, ways => ['compat'], requests => [], %with,
        text => "use strict; use warnings; use FCGI; use FCGI::ProcManager::$class;\n$text\n");
}

for my $class (qw(MaxRequests Constrained)) {
    program("$class: parameters", $class, "my \$c = 'FCGI::ProcManager::$class';" . q{
        print $c->new->max_requests, $c->new({ max_requests => 7 })->max_requests, "\n";
        my $pm = $c->new({ n_processes => 2, max_requests => 0 }); print $pm->max_requests, $pm->max_requests(5), $pm->{max_requests}, $pm->n_processes, "\n";
        print ref $pm, $pm->isa('FCGI::ProcManager') ? 1 : 0, $pm->pm_parameter('pm_title'), "\n";
        print join(' ', map { $pm->can($_) ? 1 : 0 } qw(new max_requests handling_init pm_post_dispatch pm_manage)), "\n"; });
    program("$class: the environment", $class, "BEGIN { \$ENV{PM_MAX_REQUESTS} = 9 } my \$c = 'FCGI::ProcManager::$class';" . q{
        print $c->new->max_requests, $c->new({ max_requests => 0 })->max_requests, $c->new({ max_requests => 3 })->max_requests, "\n"; });
    program("$class: where it is", $class, "print -f \$INC{'FCGI/ProcManager/$class.pm'} ? 1 : 0, \"\\n\";");
    program("$class: loops of other kinds", $class, "my \$pm = FCGI::ProcManager::$class->new({ n_processes => 1, max_requests => 3 });" . q{
        if (fork) { wait; print "status $?\n"; exit }
        $pm->role('server'); $pm->handling_init; $pm->pm_change_process_name('perl');
        for my $i (1 .. 5) { $pm->pm_pre_dispatch; print STDOUT "request $i\n"; $pm->pm_post_dispatch } print "not reached\n"; });
    program("$class: a limit of 0 is none", $class, "my \$pm = FCGI::ProcManager::$class->new({ n_processes => 0, max_requests => 0 });" . q{
        $pm->pm_manage; for my $i (1 .. 5) { $pm->pm_pre_dispatch; $pm->pm_post_dispatch } print "on\n"; });
}
program('Constrained: its other parameters', 'Constrained', q{BEGIN { $ENV{PM_MAX_SIZE} = 4096 } my $pm = FCGI::ProcManager::Constrained->new; print $pm->sizecheck_num_requests, $pm->max_size, $pm->max_size(5), $pm->sizecheck_num_requests(3), $pm->{max_size}, "\n";});
program('Constrained: no workers, another loop', 'Constrained', q{my $pm = FCGI::ProcManager::Constrained->new({ n_processes => 0, max_requests => 3 }); $pm->pm_manage;
    for my $i (1 .. 5) { $pm->pm_pre_dispatch; print "request $i\n"; $pm->pm_post_dispatch } print "not reached\n";});
program('MaxRequests: no workers, no limit', 'MaxRequests', q{my $pm = FCGI::ProcManager::MaxRequests->new({ n_processes => 0, max_requests => 3 }); $pm->pm_manage;
    for my $i (1 .. 5) { $pm->pm_pre_dispatch; print "request $i\n"; $pm->pm_post_dispatch } print "on\n";});
program('a subclass of the user\'s', 'MaxRequests', q{{ package Mine; use parent -norequire, 'FCGI::ProcManager::MaxRequests'; sub pm_exit { my ($s, @r) = @_; print STDERR "exit: $r[0]\n"; $s->SUPER::pm_exit(@r) } }
    my $pm = Mine->new({ max_requests => 2, role => 'server' }); $pm->handling_init; $pm->pm_pre_dispatch, $pm->pm_post_dispatch for 1 .. 3;});

# Workers. Intended differences: a worker serves until its replacement is ready, and does not print
# a message into its last request.
for my $class (qw(MaxRequests Constrained)) {
    my $serve = sub {
        my ($socket, $pid) = @_;
        my (%seen, @order);
        while (keys %seen < 3) {
            my $response = FastCGIClient->ask($socket);
            push @order, $response->{stdout} if !$seen{ $response->{stdout} }++;
            Program::wait_until_idle($_) for $pid, (@order)[-1];
        }
        return { workers => scalar @order, served => [ @seen{ @order[ 0, 1 ] } ] };
    };
    my $outcomes = SameProgram::outcomes(ways => ['compat'], requests => [$serve], signal_at_end => 'TERM', text => <<"PROGRAM");
use strict; use warnings; use FCGI; use FCGI::ProcManager::$class;
my \$r = FCGI::Request(); my \$pm = FCGI::ProcManager::$class->new({ n_processes => 1, max_requests => 2 }); \$pm->pm_manage;
while (\$r->Accept >= 0) { \$pm->pm_pre_dispatch; print \$\$; \$pm->pm_post_dispatch }
PROGRAM
    my ($original, $ours) = map { $outcomes->{$_}{responses}[0] } qw(original compat);
    is_deeply($original->{served}, [ 2, 2 ], "$class: the original's workers serve two requests each");
    is($ours->{workers}, 3, "$class: workers are replaced");
    cmp_ok($_, '>=', 2, "$class: not before they have served two") for @{ $ours->{served} };
    is($outcomes->{compat}{status}, 0, "$class: TERM stops the manager");
    unlike($outcomes->{compat}{stderr}, qr/emergency/, "$class: there was always a worker");
}

differs('Constrained checks the size without other modules', ways => ['compat'], in => 'stdout', requests => [],
    original => qr/\A(?:Cannot load size check modules|request 1\nrequest 2\nrequest 3\n\z)/, ours => "request 1\nrequest 2\n",
    text => q{use FCGI::ProcManager::Constrained; my $pm = eval { FCGI::ProcManager::Constrained->new({ n_processes => 0, sizecheck_num_requests => 2, max_size => 1 }) } or print $@;
        for my $i (1 .. 3) { last if !$pm; $pm->pm_pre_dispatch; print "request $i\n"; $pm->pm_post_dispatch }});

done_testing;
