use strict;
use warnings;
use ExtUtils::Manifest ();
use File::Find ();
use Pod::Checker ();
use Test::More;

# Modules that only other modules of the distribution use: comments describe them, and they have no
# POD.
my %IS_INTERNAL = map { ("lib/FCGIPM/$_.pm" => 1) } (
    'Library/Search',
    (map {"Request/$_"} qw(Environment Fork Handles Loop)),
    (map {"ProcManager/$_"} qw(Fork Log PidFile Settings Signals Worker)),
);

# The version is that of the workspace.
my $cargo = do { open my $file, '<', '../../Cargo.toml' or die "Cargo.toml: $!"; local $/; <$file> };
my ($VERSION) = $cargo =~ /^\[workspace\.package\]\nversion = "([\d.]+)"$/m or die 'Cargo.toml: the version';

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
    is($version, $VERSION, "$name has the version of Cargo.toml");
}

is_deeply([ keys %IS_INTERNAL ], [], 'every internal module exists');

open my $changes, '<', 'Changes' or die "Changes: $!";
like(do { local $/; <$changes> }, qr/^\Q$VERSION\E$/m, 'Changes describes this version');

my ($missing, $extra) = do { local $ExtUtils::Manifest::Quiet = 1; ExtUtils::Manifest::fullcheck() };
is_deeply($missing, [], 'every file in MANIFEST exists');
is_deeply($extra, [], 'every file is in MANIFEST, or in MANIFEST.SKIP');

done_testing;
