use strict;
use warnings;
use lib qw(t/lib xt/lib);
use Cwd ();
use Test::More;
use SameProgram;

# Programs take references to functions before the module is loaded, as gitweb does, and wrap them.

my $LIB = Cwd::abs_path('lib');

# For each function, whether a reference that was taken before the module was loaded leads to it.
sub found_early {
    my ($module, $functions, %environment) = @_;
    my $code = join ' ', map { "push \@early, [ '$_', \\&$_ ];" } @$functions;
    my $text = qq{my \@early; $code require $module; print "\$_->[0] ", defined &{ \$_->[1] } ? 1 : 0, ' ', }
        . q{prototype($_->[1]) // '', "\n" for @early;};
    local @ENV{ keys %environment } = values %environment;
    open my $pipe, '-|', $^X, '-we', "\$SIG{__WARN__} = sub { print \"warning: \@_\" }; $text" or die "perl: $!";
    my @lines = readline $pipe;
    close $pipe;
    return \@lines;
}

# The functions that the module itself defines.
sub functions_of {
    my ($package, $module) = @_;
    my $text = q{use B; my ($package, $module) = @ARGV; eval "require $module; 1" or die $@;
        for my $name (sort grep { defined &{"${package}::$_"} } keys %{"${package}::"}) {
            print "${package}::$name\n" if B::svref_2object(\&{"${package}::$name"})->GV->STASH->NAME eq $package;
        }};
    open my $pipe, '-|', $^X, '-e', $text, $package, $module or die "perl: $!";
    chomp(my @names = readline $pipe);
    close $pipe;
    return @names;
}

for ([ 'FCGI', 'FCGI' ], [ 'FCGI::Stream', 'FCGI' ], [ 'FCGI::ProcManager', 'FCGI::ProcManager' ],
    [ 'FCGI::ProcManager::Constrained', 'FCGI::ProcManager::Constrained' ], [ 'FCGI::ProcManager::MaxRequests', 'FCGI::ProcManager::MaxRequests' ])
{
    my ($package, $module) = @$_;
    # Without Constrained's private functions (_linux_size_check) and FCGI's bootstrap.
    my @functions = grep { !/Constrained::_(?!limits_are_exceeded)|::bootstrap\z/ } functions_of($package, $module);
    cmp_ok(scalar @functions, '>', 3, "$package has functions");
    my $original = found_early($module, \@functions);
    my @expected = grep { / 1 / } @$original;
    cmp_ok(scalar @expected, '>', 3, "$package: early references lead to the original's functions");
    for my $xs (1, 0) {
        my $ours = found_early($module, \@functions, FCGIPM_XS => $xs, PERL5LIB => $LIB, PERL5OPT => '-MFCGIPM::Compat');
        my %ours = map { $_ => 1 } @$ours;
        is_deeply([ grep { !$ours{$_} } @expected ], [], "$package: early references lead to ours, FCGIPM_XS=$xs");
        is_deeply([ grep { /^warning/ } @$ours ], [], "$package: without a warning");
    }
}

# The same for this distribution's modules.
my %OWN = ('FCGIPM' => 'FCGIPM', 'FCGIPM::Request' => 'FCGIPM::Request', 'FCGIPM::ProcManager' => 'FCGIPM::ProcManager',
    map { ("FCGIPM::Stream$_" => 'FCGIPM') } '', '::Input', '::Output');
for my $package (sort keys %OWN) {
    local $ENV{PERL5LIB} = $LIB;
    my $text = q{my ($package, $module) = @ARGV; eval "require $module; 1" or die $@;
        print map { "${package}::$_\n" } grep { /^[A-Z]+[a-z]*|^pm_/ && defined &{"${package}::$_"} } sort keys %{"${package}::"}};
    open my $pipe, '-|', $^X, '-e', $text, $package, $OWN{$package} or die "perl: $!";
    chomp(my @functions = readline $pipe);
    close $pipe;
    # Constants are inlined at compile time.
    my %is_constant = map { $_ => 1 } grep { my $p = do { no strict 'refs'; eval "require $OWN{$package}"; prototype $_ }; defined $p && $p eq '' } @functions;
    @functions = grep { !$is_constant{$_} && !/::(?:BEGIN|EXPORT)/ } @functions;
    cmp_ok(scalar @functions, '>', 3, "$package has functions");
    for my $xs (1, 0) {
        local $ENV{FCGIPM_XS} = $xs;
        is_deeply([ grep { !/ 1 / } @{ found_early($OWN{$package}, \@functions) } ], [], "$package: early references, FCGIPM_XS=$xs");
    }
}

# As in gitweb.
my $WRAPPED = <<'PROGRAM';
use strict; use warnings;
our $raw = \&FCGI::Stream::METHOD;
require FCGI;
{ no warnings; *FCGI::Stream::METHOD = sub { $main::calls++; goto $raw }; }
my $request = FCGI::Request();
for (1, 2) {
    our $calls = 0;
    $request->Accept >= 0 or last;
    STATEMENTS
    { no warnings; local *FCGI::Stream::METHOD = $raw; print "unwrapped\n"; }
    print STDERR "called $calls times\n";
    $request->Finish;
}
PROGRAM
my %USE = (
    PRINT    => 'print "one"; print "two", "three\n";',
    PRINTF   => 'printf "%s-%d\n", "one", 2;',
    WRITE    => 'syswrite STDOUT, "abc", 2;',
    READ     => 'read STDIN, my $b, 5; print "[$b]"; read STDIN, $b, 4096; print "[$b]";',
    READLINE => 'while (defined(my $l = <STDIN>)) { print "[$l]" }',
    GETC     => 'print getc(STDIN), getc STDIN;',
    EOF      => 'print eof(STDIN) ? 1 : 0, eof(STDOUT) ? 1 : 0, "\n";',
    CLOSE    => 'print "before\n"; close STDIN;',
    BINMODE  => 'binmode STDOUT, ":utf8"; print "x";',
    FILENO   => 'print fileno(STDOUT), "\n";',
);
for my $method (sort keys %USE) {
    (my $text = $WRAPPED) =~ s/METHOD/$method/g;
    $text =~ s/STATEMENTS/$USE{$method}/;
    for my $xs (1, 0) {
        same("$method called through an early reference, FCGIPM_XS=$xs", ways => ['compat'], text => $text, environment => { FCGIPM_XS => $xs },
            requests => [ ({ stdin => "first\nsecond\n" . 'x' x 5000 }) x 2 ], contains => qr/called [1-9]/);
    }
}

done_testing;
