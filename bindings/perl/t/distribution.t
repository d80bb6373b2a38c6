use strict;
use warnings;
use ExtUtils::Manifest ();
use File::Basename ();
use File::Copy ();
use File::Find ();
use File::Path ();
use File::Temp ();
use Pod::Checker ();
use Test::More;

# Modules that only other modules of the distribution use: comments describe them, and they have no
# POD.
my %IS_INTERNAL = map { ("lib/FCGIPM/$_.pm" => 1) } (
    (map {"Request/$_"} qw(Environment Fork Handles Loop)),
    (map {"ProcManager/$_"} qw(Fork Log PidFile Settings Signals Worker)),
);

my @modules;
File::Find::find({ wanted => sub { push @modules, $_ if /\.(?:pm|pod)\z/ }, no_chdir => 1 }, 'lib');

for my $module (sort @modules) {
    # The POD of a large module is in a file of its own.
    (my $pod = $module) =~ s/\.pm\z/.pod/;
    if (!delete $IS_INTERNAL{$module} && ($module eq $pod || !-e $pod)) {
        my $checker = Pod::Checker->new(-warnings => 1, -quiet => 1);
        open my $nowhere, '>', \my $complaints;
        $checker->parse_from_file($module, $nowhere);
        is($checker->num_errors, 0, "$module: has POD without errors") or diag($complaints);
        is($checker->num_warnings, 0, "$module: POD has no warnings") or diag($complaints);
    }
    next if $module eq $pod;

    open my $file, '<', $module or die;
    my $text = do { local $/; <$file> };
    my ($name) = $text =~ /^package ([\w:]+);/m;
    my ($version) = $text =~ /^our \$VERSION = '([\d.]+)';/m;
    # A replacement for another module has that module's version, which another test compares.
    next if $name =~ /\AFCGI(?:::|\z)/;
    is($version, '0.1.0', "$name has the distribution's version");
}

is_deeply([ keys %IS_INTERNAL ], [], 'every internal module exists');

my ($missing, $extra) = do { local $ExtUtils::Manifest::Quiet = 1; ExtUtils::Manifest::fullcheck() };
is_deeply($missing, [], 'every file in MANIFEST exists');
is_deeply([ grep { !/\A(?:Makefile|pm_to_blib|blib)/ } @$extra ], [], 'every file is in MANIFEST');

# What Makefile.PL installs.
my $folder = File::Temp->newdir;
for my $path (sort keys %{ ExtUtils::Manifest::maniread() }) {
    File::Path::make_path(File::Basename::dirname("$folder/kit/$path"));
    File::Copy::copy($path, "$folder/kit/$path") or die "$path: $!";
}
delete @ENV{qw(MAKEFLAGS MFLAGS MAKELEVEL PERL_MM_OPT PERL5OPT)};
my $log = qx{cd $folder/kit && $^X Makefile.PL 2>&1 && make install DESTDIR=$folder/installed 2>&1};
is($?, 0, 'the distribution can be built and installed') or diag($log);
my @installed;
File::Find::find({ wanted => sub { push @installed, $1 if m{/(FCGIPM(?:/.+)?\.(?:pm|pod))\z} }, no_chdir => 1 }, "$folder/installed");
is_deeply([ map { "lib/$_" } sort @installed ], [ sort @modules ], 'every module is installed');

done_testing;
