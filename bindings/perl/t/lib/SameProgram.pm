package SameProgram;

# The same program on FCGI and on FCGIPM, compared byte for byte: responses, the process's own output, the
# exit status. It runs unmodified under FCGIPM::Compat, and with the name changed, which is put back before comparing.

use strict;
use warnings;

use Exporter 'import';
use Test::More;

use Program;

our @EXPORT = qw(same differs loop_of);

eval { require FCGI; FCGI->VERSION('0.82'); require FCGI::ProcManager; FCGI::ProcManager->VERSION('0.28'); 1 }
    or BAIL_OUT("the originals are needed: $@");

# The loop that most FastCGI programs are, around the statements given.
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

# As it is on the original and under FCGIPM::Compat, and with FCGIPM's name written into it.
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
            $contains, "$name: the program does what it is for");
    }
    return $same;
}

# A difference that is meant: what the first response's STDOUT is on each side, or the program's own.
sub differs {
    my ($name, %with) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my %expected = (original => delete $with{original}, map { $_ => $with{ours} } @OURS);
    my $stream = delete $with{in};
    delete $with{ours};
    my $outcome = _all(%with);
    for my $way (grep { $outcome->{$_} } 'original', @OURS) {
        my $shown = defined $stream ? $outcome->{$way}{$stream} : $outcome->{$way}{responses}[0]{stdout};
        my $what = $way eq 'original' ? 'the original' : "meant otherwise here ($way)";
        ref $expected{$way} ? like($shown, $expected{$way}, "$name: $what") : is($shown, $expected{$way}, "$name: $what")
            or diag(explain($outcome->{$way}));
    }
    return;
}

1;
