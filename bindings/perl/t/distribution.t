use strict;
use warnings;
use ExtUtils::Manifest ();
use File::Find ();
use Pod::Checker ();
use Test::More;

my @modules;
File::Find::find({ wanted => sub { push @modules, $_ if /\.(?:pm|pod)\z/ }, no_chdir => 1 }, 'lib');

for my $module (sort @modules) {
    my $checker = Pod::Checker->new(-warnings => 1, -quiet => 1);
    open my $nowhere, '>', \my $complaints;
    $checker->parse_from_file($module, $nowhere);
    is($checker->num_errors, 0, "$module: POD") or diag($complaints);
    is($checker->num_warnings, 0, "$module: no warnings") or diag($complaints);
    next if $module =~ /\.pod\z/;

    open my $file, '<', $module or die;
    my $text = do { local $/; <$file> };
    my ($name) = $text =~ /^package ([\w:]+);/m;
    my ($version) = $text =~ /^our \$VERSION = '([\d.]+)';/m;
    # What stands for another module says so with that one's version, and a test of its own compares them.
    next if $name =~ /\AFCGI(?:::|\z)/;
    is($version, '0.1.0', "$name has the distribution's version");
}

my ($missing, $extra) = do { local $ExtUtils::Manifest::Quiet = 1; ExtUtils::Manifest::fullcheck() };
is_deeply($missing, [], 'every file in MANIFEST is there');
is_deeply([ grep { !/\A(?:Makefile|pm_to_blib|blib)/ } @$extra ], [], 'every file that is there is in MANIFEST');

done_testing;
