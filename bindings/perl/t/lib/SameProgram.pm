package SameProgram;

# The same program on FCGI and on FCGIPM, compared byte for byte: responses, the process's own output, the
# exit status. Only the name differs, and it is put back before comparing.

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

sub _both {
    my (%with) = @_;
    $with{requests} ||= [ {} ];
    my $text = delete $with{text};
    $text = loop_of(delete $with{loop}, scalar @{ $with{requests} }, delete $with{before}) if !defined $text;
    my %outcome;
    for my $module (qw(FCGI FCGIPM)) {
        (my $program = $text) =~ s/\bFCGI\b/$module/g;
        $outcome{$module} = _named_alike(Program::run(%with, text => $program));
    }
    return @outcome{qw(FCGI FCGIPM)};
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
    my ($original, $ours) = _both(%with);
    my $same = is_deeply($ours, $original, $name) or diag(explain({ ours => $ours, original => $original }));
    if (defined $contains) {
        like($original->{responses}[0]{stdout} . $original->{responses}[0]{stderr} . $original->{stderr},
            $contains, "$name: the program does what it is for");
    }
    return $same;
}

# A difference that is meant: what the first response's STDOUT is on each side.
sub differs {
    my ($name, %with) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my ($expected_original, $expected_ours) = (delete $with{original}, delete $with{ours});
    my ($original, $ours) = _both(%with);
    is($original->{responses}[0]{stdout}, $expected_original, "$name: the original");
    is($ours->{responses}[0]{stdout}, $expected_ours, "$name: meant otherwise here")
        or diag(explain($ours));
    return;
}

1;
