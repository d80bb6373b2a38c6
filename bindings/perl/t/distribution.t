use strict;
use warnings;
use ExtUtils::Manifest ();
use File::Find ();
use Pod::Checker ();
use File::Temp ();
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
    my ($synopsis) = $text =~ /^=head1 SYNOPSIS\n\n(.*?)\n=head1/ms;
    ok(defined $synopsis, "$module: a synopsis") or next;
    $synopsis =~ s/^    //mg;
    like($synopsis, qr{\A#!/usr/bin/perl\n}, 'that is a whole program');
    my $program = File::Temp->new;
    print {$program} $synopsis;
    close $program;
    my $says = qx{$^X -Ilib -c $program 2>&1};
    like($says, qr/syntax OK/, 'and compiles');

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
