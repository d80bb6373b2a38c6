package SameProgram;

# The same program on FCGI and on FCGIPM: responses, the process's own output and the exit status
# are compared byte for byte. It runs unchanged under FCGIPM::Compat, and renamed to FCGIPM; names
# in the output are changed back before the comparison.

use strict;
use warnings;

use Exporter 'import';
use Test::More;

use Program;

our @EXPORT = qw(same differs loop_of lines_of_log $IDLE $STOP);

eval { require FCGI; FCGI->VERSION('0.82'); require FCGI::ProcManager; FCGI::ProcManager->VERSION('0.28'); 1 }
    or BAIL_OUT("the originals are needed: $@");

# A typical accept loop around the statements.
sub loop_of {
    my ($statements, $count, $before) = @_;
    $before = '' if !defined $before;
    return <<"PROGRAM";
use strict; use warnings; use FCGI;
my \$left = $count;
my \$request = FCGI::Request();
$before
while (\$left-- > 0 && \$request->Accept >= 0) {
# line 1 "statements"
$statements
}
PROGRAM
}

our @OURS = qw(renamed compat);

# Parts of programs that a test stops. The signal comes from a worker, when the manager sleeps: the
# original could lose one that arrives during a fork.
our $IDLE = 'sub idle { my ($pid) = @_; for (;;) { open my $f, "<", "/proc/$pid/stat" or return; last if (<$f> // "") =~ /\) S /; select undef, undef, undef, 0.001 } } ';
our $STOP = ' idle(getppid); kill TERM => getppid; select undef, undef, undef, 5 while !$pm->pm_received_signal("TERM"); $pm->pm_post_dispatch; die "not reached";';

# The lines of a log, sorted, because two processes write them in any order. Without pids, and
# without the lines that only FCGIPM logs.
sub lines_of_log {
    my ($log) = @_;
    return sort grep { !/: emergency: no worker is ready$|: a worker is ready again$/ }
        map { s/pid \d+/pid N/gr =~ s/PIDs, [\d ]+/PIDs, N/r } split /^/, $log;
}

# On the original, under FCGIPM::Compat, and renamed to FCGIPM.
sub outcomes {
    my (%with) = @_;
    my $text = delete $with{text};
    (my $renamed = $text) =~ s/\bFCGI\b/FCGIPM/g;
    my %environment = %{ delete $with{environment} || {} };
    my %wanted = map { $_ => 1 } 'original', @{ delete $with{ways} || \@OURS };
    my %run = (
        original => [ $text, \%environment ],
        renamed  => [ $renamed, \%environment ],
        compat   => [ $text, { %environment, PERL5OPT => '-MFCGIPM::Compat' } ],
    );
    my %outcomes;
    for my $way (grep { $wanted{$_} } keys %run) {
        my ($program, $its_environment) = @{ $run{$way} };
        $outcomes{$way} = _named_alike(Program::run(%with, environment => $its_environment, text => $program));
    }
    return \%outcomes;
}

sub _all {
    my (%with) = @_;
    $with{requests} ||= [ {} ];
    $with{text} = loop_of(delete $with{loop}, scalar @{ $with{requests} }, delete $with{before}) if !defined $with{text};
    return outcomes(%with);
}

sub _named_alike {
    my ($value) = @_;
    if    (ref $value eq 'HASH')  { $_ = _named_alike($_) for values %$value; delete $value->{stdout_records} }
    elsif (ref $value eq 'ARRAY') { $_ = _named_alike($_) for @$value }
    elsif (defined $value)        { $value =~ s/\bFCGIPM\b/FCGI/g; $value =~ s/\(pid \d+\)/(pid N)/g }
    return $value;
}

sub same {
    my ($name, %with) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $contains = delete $with{contains};
    my $outcome = _all(%with);
    my $original = $outcome->{original};
    my $same = 1;
    for my $way (grep { $outcome->{$_} } @OURS) {
        is_deeply($outcome->{$way}, $original, "$name ($way)") and next;
        diag(explain({ $way => $outcome->{$way}, original => $original }));
        $same = 0;
    }
    if (defined $contains) {
        like(join('', map({ $_->{stdout}, $_->{stderr} } @{ $original->{responses} }), @$original{qw(stdout stderr)}),
            $contains, "$name: the program prints what it should");
    }
    return $same;
}

# An intended difference: the first response's STDOUT on each side, or a stream of the program
# itself.
sub differs {
    my ($name, %with) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my %expected = (original => delete $with{original}, map { $_ => $with{ours} } @OURS);
    my $stream = delete $with{in};
    delete $with{ours};
    my $outcome = _all(%with);
    for my $way (grep { $outcome->{$_} } 'original', @OURS) {
        my $shown = defined $stream ? $outcome->{$way}{$stream} : $outcome->{$way}{responses}[0]{stdout};
        my $what = $way eq 'original' ? 'the original' : "intended difference ($way)";
        ref $expected{$way} ? like($shown, $expected{$way}, "$name: $what") : is($shown, $expected{$way}, "$name: $what")
            or diag(explain($outcome->{$way}));
    }
    return;
}

1;
