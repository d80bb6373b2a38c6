#!/usr/bin/perl
# Gives the tree in the current directory another version, as a release does: set_version.pl VERSION [LAYOUT]. With
# LAYOUT, what a manager and its workers share has that version, too.
use strict;
use warnings;

my ($version, $layout) = @ARGV;

sub change {
    my ($file, $change) = @_;
    open my $in, '<', $file or die "$file: $!\n";
    local $/;
    local $_ = <$in>;
    my $before = $_;
    $change->();
    $_ ne $before or die "$file: nothing to change\n";
    # Cargo goes by the times of files.
    open my $out, '>', $file or die "$file: $!\n";
    print {$out} $_;
    close $out or die "$file: $!\n";
    return;
}

change('Cargo.toml',       sub { s/^version = "\K[\d.]+/$version/m });
change('Cargo.lock',       sub { s/^name = "fcgipm[\w-]*"\nversion = "\K[\d.]+/$version/mg });
change('debian/changelog', sub { s/\A\w+ \(\K[\d.]+/$version/ });
for my $module (split /\n/, `find bindings/perl/lib -name '*.pm'`) {
    change($module, sub { s/^(?:our \$VERSION =|use constant NEEDED =>) '\K[\d.]+/$version/mg }) if `grep -l "VERSION = '" $module`;
}
change('src/sys/scoreboard/version.rs', sub { s/^pub\(crate\) const VERSION: u32 = \K\d+/$layout/m }) if $layout;
