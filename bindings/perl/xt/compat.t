use strict;
use warnings;
use Cwd ();
use File::Path ();
use File::Temp ();
use Test::More;

# FCGIPM::Compat in a perl that loads it.

my $LIB = Cwd::abs_path('lib');
my $dir = File::Temp->newdir;
my $OURS = "$LIB/FCGIPM/Compat/FCGI.pm";

# A directory with modules that have the originals' names.
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

# What a program prints to both streams when it is run with these switches.
sub printed {
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
    'use lib of a directory that has it' => "use lib '$dir/other'; use FCGI; use FCGI::ProcManager;",
    'use lib twice'                   => "use lib '$dir/other'; use lib '/nonexistent'; use FCGI;",
    'use lib later'                   => "use lib '$dir/other'; chdir '/'; require FCGI;",
    'by a module of the program'           => 'BEGIN { eval q{package Mine; use FCGI; 1} or die } ',
    'in a string'                     => 'eval "use FCGI; 1" or die;',
    'under -w'                        => 'BEGIN { $^W = 1 } use FCGI; use FCGI::ProcManager; use FCGI::ProcManager::Constrained; use FCGI::ProcManager::MaxRequests;',
);
is(printed('', "$WHERE{$_} print \$INC{'FCGI.pm'}"), $OURS, $_) for sort keys %WHERE;
is(printed("-I$dir/other", 'use FCGI; print $INC{"FCGI.pm"}'), $OURS, '-I of a directory that has it');
is(printed('', 'use FCGI; print $INC{"FCGI.pm"}', PERL5LIB => "$dir/other:$LIB"), $OURS, 'PERL5LIB with a directory that has it');
is(printed('', 'use FCGI; print $INC{"FCGI.pm"}', PERL5OPT => "-Mlib=$dir/other -MFCGIPM::Compat"), $OURS, '-Mlib before');
is(printed('', 'use FCGI; print $INC{"FCGI.pm"}', PERL5OPT => "-MFCGIPM::Compat -Mlib=$dir/other"), $OURS, '-Mlib after');
is(printed("-I$LIB -MFCGIPM::Compat", 'use FCGI; print $INC{"FCGI.pm"}', PERL5OPT => ''), $OURS, 'as a switch');
is(printed("-T -I$LIB -MFCGIPM::Compat", 'use FCGI; use FCGI::ProcManager; print $INC{"FCGI.pm"}, ${^TAINT}'), "${OURS}1", 'under -T, which ignores PERL5OPT');
like(printed('-c', 'use FCGI; use FCGI::ProcManager; print "not run"'), qr/\A\S+ syntax OK\n\z/, 'perl -c');

for my $module (qw(FCGI FCGI::ProcManager FCGI::ProcManager::Constrained FCGI::ProcManager::MaxRequests)) {
    (my $file = "$module.pm") =~ s{::}{/}g;
    (my $path = "$LIB/FCGIPM/Compat/$file") =~ s{Compat/FCGI/ProcManager/}{Compat/};
    $path =~ s{Compat/FCGI/}{Compat/};
    is(printed('', "use $module; print \$INC{'$file'}"), $path, "$module: \%INC");
    my $version = printed('', "use $module; print $module->VERSION", PERL5OPT => '');
    like(printed('', "use $module " . ($version =~ /\A[\d.]+\z/ ? $version : '') . "; print 'enough'"), qr/enough\z/, "$module: its version is that of the original");
    like(printed('', "eval { require $module; print $module->can('" . ($module eq 'FCGI' ? 'Accept' : 'pm_manage') . "') ? 'can' : 'cannot' }"), qr/\Acan\z/, "$module: can");
}

# Other modules than ours.
like(printed('', 'use FCGI; require FCGIPM::Compat; FCGIPM::Compat->import; print "not reached"', PERL5OPT => ''),
    qr/\AFCGIPM::Compat: FCGI was loaded from \S+, and what it defined cannot be replaced: load FCGIPM::Compat before it at /,
    'refused if the original is loaded');
like(printed("-I$dir/other", 'print "not reached"', PERL5OPT => '-MFCGI -MFCGIPM::Compat'), qr/\AFCGIPM::Compat: FCGI was loaded from $dir/, 'refused with PERL5OPT, too');
like(printed('', "BEGIN { unshift \@INC, '$dir/other' } use FCGI; print FCGI->VERSION"), qr/\AFCGIPM::Compat: FCGI was loaded from $dir\S+, which is before FCGIPM::Compat in \@INC, and is used\n0\.01\z/,
    'a warning if the program puts another one in front');
# perl loads the modules of PERL5OPT after those of the command line.
for my $module (qw(FCGI FCGI::ProcManager)) {
    like(printed("-M$module", 'print "not reached"'), qr/\AFCGIPM::Compat: $module was loaded from \S+, and .*: load FCGIPM::Compat before it at /, "-M$module is loaded before PERL5OPT, and refused");
    (my $file = "$module.pm") =~ s{::}{/}g;
    like(printed("-MFCGIPM::Compat -M$module", "print \$INC{'$file'}", PERL5OPT => $_), qr{\A$LIB/FCGIPM/Compat/\w+\.pm\z}, "-MFCGIPM::Compat -M$module, PERL5OPT='$_'")
        for '', '-MFCGIPM::Compat';
}
is(printed('', 'require FCGIPM::Compat; print "quiet"', PERL5OPT => ''), 'quiet', 'require alone does not enable it');
is(printed('', 'print eval { require FCGI::Stream; 1 } ? "found" : "not found"'), 'not found', 'no modules that the originals do not have');
is(printed('', 'use Module::Load::Conditional qw(can_load check_install); print check_install(module => "FCGI")->{version}, exists $INC{"FCGI.pm"} ? 1 : 0, can_load(modules => { FCGI => 0.8, "FCGI::ProcManager" => 0.28 }) ? 1 : 0, $INC{"FCGI.pm"}'),
    "0.8201$OURS", 'Module::Load::Conditional');

# Perl processes that are not FastCGI programs.
is(printed('', 'print join " ", sort keys %INC'), 'FCGIPM/Compat.pm strict.pm warnings.pm', 'no large module is loaded');
is(printed('', 'print "out\n"; warn "err\n"; exit 3'), "err\nout\n", 'nothing is printed');
is(printed('', 'system $^X, "-e", q{print exists $INC{"FCGIPM/Compat.pm"} ? "reached" : ""}'), 'reached', 'child processes load it');
my $signals = 'print join ",", map { defined $SIG{$_} ? "$_=$SIG{$_}" : () } qw(TERM USR1 PIPE HUP)';
is(printed('', $signals), printed('', $signals, PERL5OPT => ''), 'no signal handler changes');
like(printed('', 'use Test::More tests => 1; ok 1;'), qr/\A1\.\.1\nok 1\n\z/, 'Test::More');
{
    spew("$dir/own.t", "use Test::More; use FCGI; is(\$INC{'FCGI.pm'}, '$OURS'); done_testing;\n");
    local %ENV = (%ENV, PERL5LIB => $LIB, PERL5OPT => '-MFCGIPM::Compat');
    like(scalar `cd $dir && prove own.t 2>&1`, qr/Result: PASS/, 'prove');
}

# The processor time of a perl that does nothing, in ms: the mean of 40, the best of three rounds.
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
cmp_ok($with - $plain, '<', 5, sprintf 'a perl that is not a FastCGI program takes %.1f ms more than %.1f', $with - $plain, $plain);

done_testing;
