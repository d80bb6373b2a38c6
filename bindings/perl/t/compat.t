use strict;
use warnings;
use Cwd ();
use File::Path ();
use File::Temp ();
use Test::More;

# What FCGIPM::Compat does to a perl that loads it.

my $LIB = Cwd::abs_path('lib');
my $dir = File::Temp->newdir;
my $OURS = "$LIB/FCGIPM/Compat/FCGI.pm";

# A folder with modules of the originals' names.
File::Path::make_path("$dir/other/FCGI");
spew("$dir/other/FCGI.pm", "package FCGI; our \$VERSION = '0.01'; sub other { 1 } 1;\n");
spew("$dir/other/FCGI/ProcManager.pm", "package FCGI::ProcManager; our \$VERSION = '0.01'; 1;\n");

sub spew {
    my ($path, $text) = @_;
    open my $file, '>', $path or die "$path: $!";
    print {$file} $text;
    close $file or die "$path: $!";
    return $path;
}

my $number = 0;

# What a program prints, both streams, when it is run with the switches given.
sub says {
    my ($switches, $text, %environment) = @_;
    my $program = spew("$dir/" . $number++ . '.pl', "$text\n");
    local %ENV = (%ENV, PERL5LIB => $LIB, PERL5OPT => '-MFCGIPM::Compat', %environment);
    return scalar `cd $dir && $^X $switches $program 2>&1`;
}

my %WHERE = (
    'use FCGI'                        => 'use FCGI;',
    'require FCGI'                    => 'require FCGI;',
    'after the manager'               => 'use FCGI::ProcManager; use FCGI;',
    'after other modules'             => 'use POSIX; use Carp; use File::Temp; use lib "."; use FCGI;',
    'use lib of a folder that has it' => "use lib '$dir/other'; use FCGI; use FCGI::ProcManager;",
    'use lib twice'                   => "use lib '$dir/other'; use lib '/nonexistent'; use FCGI;",
    'use lib later'                   => "use lib '$dir/other'; chdir '/'; require FCGI;",
    'by a module of theirs'           => 'BEGIN { eval q{package Mine; use FCGI; 1} or die } ',
    'in a string'                     => 'eval "use FCGI; 1" or die;',
    'under -w'                        => 'BEGIN { $^W = 1 } use FCGI; use FCGI::ProcManager; use FCGI::ProcManager::Constrained; use FCGI::ProcManager::MaxRequests;',
);
is(says('', "$WHERE{$_} print \$INC{'FCGI.pm'}"), $OURS, $_) for sort keys %WHERE;
is(says("-I$dir/other", 'use FCGI; print $INC{"FCGI.pm"}'), $OURS, '-I of a folder that has it');
is(says('', 'use FCGI; print $INC{"FCGI.pm"}', PERL5LIB => "$dir/other:$LIB"), $OURS, 'PERL5LIB with a folder that has it');
is(says('', 'use FCGI; print $INC{"FCGI.pm"}', PERL5OPT => "-Mlib=$dir/other -MFCGIPM::Compat"), $OURS, '-Mlib before');
is(says('', 'use FCGI; print $INC{"FCGI.pm"}', PERL5OPT => "-MFCGIPM::Compat -Mlib=$dir/other"), $OURS, '-Mlib after');
is(says("-I$LIB -MFCGIPM::Compat", 'use FCGI; print $INC{"FCGI.pm"}', PERL5OPT => ''), $OURS, 'as a switch');
is(says("-T -I$LIB -MFCGIPM::Compat", 'use FCGI; use FCGI::ProcManager; print $INC{"FCGI.pm"}, ${^TAINT}'), "${OURS}1", 'under -T, where perl heeds no PERL5OPT');
like(says('-c', 'use FCGI; use FCGI::ProcManager; print "not run"'), qr/\A\S+ syntax OK\n\z/, 'perl -c');

for my $module (qw(FCGI FCGI::ProcManager FCGI::ProcManager::Constrained FCGI::ProcManager::MaxRequests)) {
    (my $file = "$module.pm") =~ s{::}{/}g;
    (my $path = "$LIB/FCGIPM/Compat/$file") =~ s{Compat/FCGI/ProcManager/}{Compat/};
    $path =~ s{Compat/FCGI/}{Compat/};
    is(says('', "use $module; print \$INC{'$file'}"), $path, "$module: \%INC");
    my $version = says('', "use $module; print $module->VERSION", PERL5OPT => '');
    like(says('', "use $module " . ($version =~ /\A[\d.]+\z/ ? $version : '') . "; print 'enough'"), qr/enough\z/, "$module: its version is that of the original");
    like(says('', "eval { require $module; print $module->can('" . ($module eq 'FCGI' ? 'Accept' : 'pm_manage') . "') ? 'can' : 'cannot' }"), qr/\Acan\z/, "$module: can");
}

# Not ours.
like(says('', 'use FCGI; require FCGIPM::Compat; FCGIPM::Compat->import; print "not reached"', PERL5OPT => ''),
    qr/\AFCGIPM::Compat: FCGI was loaded from \S+, and what it defined cannot be replaced: load FCGIPM::Compat before it at /,
    'refused when the original is there');
like(says("-I$dir/other", 'print "not reached"', PERL5OPT => '-MFCGI -MFCGIPM::Compat'), qr/\AFCGIPM::Compat: FCGI was loaded from $dir/, 'by PERL5OPT, too');
like(says('', "BEGIN { unshift \@INC, '$dir/other' } use FCGI; print FCGI->VERSION"), qr/\AFCGIPM::Compat: FCGI was loaded from $dir\S+, which is before FCGIPM::Compat in \@INC, and is used\n0\.01\z/,
    'a program that puts another in front is told');
# PERL5OPT's modules come after those of the command line.
for my $module (qw(FCGI FCGI::ProcManager)) {
    like(says("-M$module", 'print "not reached"'), qr/\AFCGIPM::Compat: $module was loaded from \S+, and .*: load FCGIPM::Compat before it at /, "-M$module is loaded before PERL5OPT, and refused");
    (my $file = "$module.pm") =~ s{::}{/}g;
    like(says("-MFCGIPM::Compat -M$module", "print \$INC{'$file'}", PERL5OPT => $_), qr{\A$LIB/FCGIPM/Compat/\w+\.pm\z}, "-MFCGIPM::Compat -M$module, PERL5OPT='$_'")
        for '', '-MFCGIPM::Compat';
}
is(says('', 'require FCGIPM::Compat; print "quiet"', PERL5OPT => ''), 'quiet', 'loading it is not enabling it');
is(says('', 'print eval { require FCGI::Stream; 1 } ? "found" : "not found"'), 'not found', 'no module that the originals do not have');
is(says('', 'use Module::Load::Conditional qw(can_load check_install); print check_install(module => "FCGI")->{version}, exists $INC{"FCGI.pm"} ? 1 : 0, can_load(modules => { FCGI => 0.8, "FCGI::ProcManager" => 0.28 }) ? 1 : 0, $INC{"FCGI.pm"}'),
    "0.8201$OURS", 'Module::Load::Conditional');

# Perl processes that are no FastCGI program.
is(says('', 'print join " ", sort keys %INC'), 'FCGIPM/Compat.pm strict.pm warnings.pm', 'nothing big is loaded');
is(says('', 'print "out\n"; warn "err\n"; exit 3'), "err\nout\n", 'and nothing is said');
is(says('', 'system $^X, "-e", q{print exists $INC{"FCGIPM/Compat.pm"} ? "reached" : ""}'), 'reached', 'children of perl have it');
my $signals = 'print join ",", map { defined $SIG{$_} ? "$_=$SIG{$_}" : () } qw(TERM USR1 PIPE HUP)';
is(says('', $signals), says('', $signals, PERL5OPT => ''), 'no signal is touched');
like(says('', 'use Test::More tests => 1; ok 1;'), qr/\A1\.\.1\nok 1\n\z/, 'Test::More');
{
    spew("$dir/own.t", "use Test::More; use FCGI; is(\$INC{'FCGI.pm'}, '$OURS'); done_testing;\n");
    local %ENV = (%ENV, PERL5LIB => $LIB, PERL5OPT => '-MFCGIPM::Compat');
    like(scalar `cd $dir && prove own.t 2>&1`, qr/Result: PASS/, 'prove');
}

# The time of a perl that does nothing, in ms of the processor, over 40 of them; the best of three rounds.
sub cost {
    local %ENV = (%ENV, PERL5LIB => $LIB, PERL5OPT => $_[0]);
    my $best;
    for (1 .. 3) {
        my @before = times;
        system $^X, '-e1' for 1 .. 40;
        my @after = times;
        my $each = ($after[2] - $before[2] + $after[3] - $before[3]) * 1000 / 40;
        $best = $each if !defined $best || $each < $best;
    }
    return $best;
}
my ($plain, $with) = (cost(''), cost('-MFCGIPM::Compat'));
cmp_ok($with - $plain, '<', 5, sprintf 'a perl that is no FastCGI program starts %.1f ms later than in %.1f', $with - $plain, $plain);

done_testing;
