use strict;
use warnings;
use Config;
use Cwd ();
use CPAN::Meta ();
use File::Basename ();
use File::Find ();
use File::Temp ();
use Test::More;

use FCGIPM;

# The archive for CPAN: what is in it, and that it can be built, tested and installed, in each way.

my $VERSION = $FCGIPM::VERSION;
my $library = Cwd::abs_path($FCGIPM::Library::FILE);
my $dir = File::Temp->newdir;

# What a caller's environment would change.
delete @ENV{qw(MAKEFLAGS MFLAGS MAKELEVEL PERL_MM_OPT PERL5OPT PERL5LIB FCGIPM_XS FCGIPM_LIB LD_LIBRARY_PATH PKG_CONFIG_PATH)};

sub run {
    my ($command, %environment) = @_;
    local %ENV = (%ENV, FCGIPM_LIB => $library, %environment);
    defined $ENV{$_} or delete $ENV{$_} for keys %environment;
    my $said = qx{exec 2>&1 </dev/null; $command};
    return ($said, $? >> 8);
}

sub slurp {
    my ($path) = @_;
    open my $file, '<:raw', $path or die "$path: $!";
    local $/;
    return scalar <$file>;
}

my ($said, $status) = run("../../packaging/cpan.sh $dir/first && ../../packaging/cpan.sh $dir/second", PERL => $^X);
is($status, 0, 'the archive is made') or BAIL_OUT($said);
my $name = "FCGIPM-$VERSION";
is(slurp("$dir/first/$name.tar.gz"), slurp("$dir/second/$name.tar.gz"), 'twice the same bytes');

# Unpacks it. Returns the folder.
sub unpacked {
    my ($to) = @_;
    mkdir "$dir/$to" or die "$dir/$to: $!";
    system('tar', '-xzf', "$dir/first/$name.tar.gz", '-C', "$dir/$to") == 0 or die 'tar';
    return "$dir/$to/$name";
}

my $kit = unpacked('kit');
my @files = map { s/\s.*//sr } split /\n/, slurp("$kit/MANIFEST");
my @found;
File::Find::find({ wanted => sub { push @found, $_ =~ s{\A\Q$kit\E/}{}r if -f }, no_chdir => 1 }, $kit);
is_deeply([ sort @found ], [ sort @files ], 'it contains what MANIFEST lists');
my %contains = map { $_ => 1 } @found;
ok($contains{$_}, "it contains $_")
    for qw(Changes LICENSE LICENSE-APACHE LICENSE-MIT META.json META.yml Makefile.PL README SECURITY.md t/xs.t xs/Makefile.PL xs/XS.c);

for my $file (qw(META.json META.yml)) {
    my $meta = CPAN::Meta->load_file("$kit/$file");
    my $runtime = $meta->effective_prereqs->requirements_for('runtime', 'requires');
    is($meta->name, 'FCGIPM', "$file: name");
    is($meta->version =~ s/\Av//r, $VERSION, "$file: version");
    is($runtime->requirements_for_module('perl'), '5.022', "$file: perl");
    ok(!grep({ $_ eq 'FFI::Platypus' } $runtime->required_modules), "$file: FFI::Platypus is not required");
    ok($meta->dynamic_config, "$file: Makefile.PL decides about it");
    ok($meta->resources->{license}, "$file: resources");
    my %provided = %{ $meta->provides };
    my @modules = grep { s{\Alib/(.*)\.pm\z}{$1} } @{ [@found] };
    my %package = map { (slurp("$kit/lib/$_.pm") =~ /^package (FCGIPM[\w:]*);/m) ? ($1 => "lib/$_.pm") : () } @modules;
    is_deeply({ map { $_ => $provided{$_}{file} } keys %provided }, \%package, "$file: provides each package of the project, and none of FCGI's");
}
my $meta = CPAN::Meta->load_file("$kit/META.json");
is_deeply([ sort $meta->licenses ], [qw(apache_2_0 mit)], 'META.json: both licences');
my $prereqs = $meta->effective_prereqs;
is($prereqs->requirements_for(runtime => 'suggests')->requirements_for_module('FFI::Platypus'), '2.00', 'META.json: FFI::Platypus is suggested');
ok($prereqs->requirements_for($_ => 'requires')->required_modules, "META.json: requirements of $_") for qw(configure build test);

# The first phrase of a line of Makefile.PL, without its name.
sub has_line {
    my ($said, $pattern, $name) = @_;
    return ok(scalar(grep { /\AMakefile\.PL: $pattern/ } split /\n/, $said), $name) || diag($said);
}

# With a C compiler.
($said, $status) = run("cd $kit && $^X Makefile.PL && make && make test");
is($status, 0, 'with a compiler: it is built and tested') or diag($said);
like($said, qr{^t/$_\.t \.+ ok$}m, "t/$_.t was run") for qw(events ffi library proc_manager request xs);
unlike($said, qr/skip|WARNING/i, 'nothing is skipped, and there is no warning');
($said, $status) = run("cd $kit && make install DESTDIR=$dir/installed");
is($status, 0, 'it is installed') or diag($said);
my @installed;
File::Find::find({ wanted => sub { push @installed, $_ if -f }, no_chdir => 1 }, "$dir/installed");
my ($arch) = grep {m{/auto/FCGIPM/XS/XS\.$Config{dlext}\z}} @installed or BAIL_OUT("no compiled part:\n@installed");
$arch =~ s{/auto/FCGIPM/XS/[^/]+\z}{};
is_deeply([ sort grep {m{FCGIPM.*\.(?:pm|pod)\z}} map { m{\A\Q$arch\E/(.*)} ? "lib/$1" : () } @installed ], [ sort grep {m{\Alib/}} @found ], 'every module, beside the compiled part');
ok(scalar(grep {m{/man3/FCGIPM\.3\w*\z}} @installed), 'man pages');
($said) = run("cd / && $^X -I$arch -MFCGIPM -e 'print FCGIPM->backend'");
is($said, 'XS', 'what was installed uses the compiled part');

# Without.
for my $case (
    [ 'PUREPERL_ONLY=1', qr/PUREPERL_ONLY: FCGIPM is built without its compiled part; FFI::Platypus calls the library/ ],
    [ 'CC=/nonexistent/cc', qr{FCGIPM is built without its compiled part, and requests are slower: there is no C compiler \(/nonexistent/cc\): install .+ apt-get install gcc} ],
    [ 'CCFLAGS=-fno-such-option', qr/FCGIPM is built without its compiled part, and requests are slower: .*error.*: install/ ],
) {
    my ($argument, $pattern) = @$case;
    my $its = unpacked($argument =~ s/\W/_/gr);
    ($said, $status) = run("cd $its && $^X Makefile.PL $argument");
    is($status, 0, "$argument: configured");
    has_line($said, $pattern, "$argument: it says so in one line");
    is(CPAN::Meta->load_file("$its/MYMETA.json")->effective_prereqs->requirements_for(runtime => 'requires')->requirements_for_module('FFI::Platypus'),
        '2.00', "$argument: FFI::Platypus is required");
    next if $argument !~ /PUREPERL/;
    ($said, $status) = run("cd $its && make && make test TEST_FILES='t/fcgipm.t t/library.t t/request.t'");
    is($status, 0, "$argument: built and tested") or diag($said);
    ($said) = run("cd $its && $^X -Mblib=. -MFCGIPM -e 'print FCGIPM->backend'");
    like($said, qr/FFI\z/, "$argument: through FFI::Platypus");
}

# Without the library, there is no Makefile, and no failure: testers of CPAN count this as not
# applicable.
sub refused {
    my ($what, $pattern, %environment) = @_;
    my $its = unpacked($what =~ s/\W/_/gr);
    my ($said, $status) = run("cd $its && $^X Makefile.PL", %environment);
    is($status, 0, "$what: status 0");
    ok(!-e "$its/Makefile", "$what: no Makefile");
    like($said, qr/\AMakefile\.PL: $pattern\n\z/, "$what: one line says what is missing, where it was searched for, and what to install");
}

# This machine may have it.
mkdir "$dir/none" or die $!;
open my $none, '>', "$dir/none/libfcgipm.so.0" or die $!;
my %WITHOUT = (FCGIPM_LIB => undef, LD_LIBRARY_PATH => "$dir/none", PKG_CONFIG_LIBDIR => "$dir/none");

refused('no library', qr/libfcgipm cannot be loaded: libfcgipm\.so\.0 from the dynamic linker's directories \(.+\): install it \(Debian: apt-get install libfcgipm0; .*; pkg-config does not know fcgipm either/,
    %WITHOUT);
refused('no file', qr{libfcgipm cannot be loaded: /nonexistent\.so from FCGIPM_LIB \(.+\): install it .+}, FCGIPM_LIB => '/nonexistent.so');
refused('another library', qr/libc\.so\.6 has no function fcgipm_version: it is an older libfcgipm, or another library; upgrade it .+/, FCGIPM_LIB => 'libc.so.6');

mkdir "$dir/lib" or die $!;
symlink $library, "$dir/lib/libfcgipm.so.0" or die $!;
open my $pc, '>', "$dir/lib/fcgipm.pc" or die $!;
print {$pc} "libdir=$dir/lib\nName: fcgipm\nDescription: fcgipm\nVersion: $VERSION\n";
close $pc or die $!;
refused('found by pkg-config only', qr{\Q$dir\E/lib/libfcgipm\.so\.0 exists \(pkg-config fcgipm\), but the dynamic linker does not search this directory: .+ set FCGIPM_LIB=\Q$dir\E/lib/libfcgipm\.so\.0, .+},
    %WITHOUT, PKG_CONFIG_PATH => "$dir/lib");

done_testing;
