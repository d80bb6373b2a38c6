#!/usr/bin/perl
# Writes debian/copyright: the paragraphs of the project (packaging/debian/copyright.in), and one for each crate of
# vendor/, from its Cargo.toml and the copyright lines of its licence files.
#
#     packaging/copyright.pl SOURCES >debian/copyright
use strict;
use warnings;

my $sources = shift // die "usage: $0 DIRECTORY-OF-SOURCES\n";
my $vendor = "$sources/vendor";
-d $vendor or die "$vendor: no such directory: the archive of `make dist` has it\n";

# Texts of the licences that crates use and that Debian does not have in /usr/share/common-licenses: the file is taken
# from a crate that has it.
my %COMMON = map { $_ => 1 } qw(Apache-2.0 MPL-2.0);
my (%used, %text);

sub slurp {
    open my $in, '<:encoding(UTF-8)', $_[0] or die "$_[0]: $!\n";
    local $/;
    return scalar <$in>;
}

# SPDX writes "(A OR B) AND C", and the format of this file "A or B, and C".
sub in_debian {
    my ($expression) = @_;
    $expression =~ s{\s*/\s*}{ OR }g;
    for my $name ($expression =~ /[\w.+-]+/g) {
        $used{$name} = 1 if $name !~ /^(?:OR|AND|WITH|LLVM-exception)$/;
    }
    $expression =~ s/ WITH LLVM-exception/-with-LLVM-exception/g;
    $used{'Apache-2.0-with-LLVM-exception'} = 1 if $expression =~ /LLVM/;
    $expression =~ s/\)\s+AND\s+/, and /g;
    $expression =~ s/[()]//g;
    $expression =~ s/\bOR\b/or/g;
    $expression =~ s/\bAND\b/and/g;
    return $expression;
}

sub licence_files {
    my ($crate) = @_;
    return grep { -f } glob "$crate/LICENSE* $crate/LICENCE* $crate/license* $crate/COPYING* $crate/COPYRIGHT* $crate/UNLICENSE*";
}

sub keep_text {
    my ($file) = @_;
    my $text = slurp($file);
    my $name
        = $text =~ /LLVM Exceptions/                               ? 'Apache-2.0-with-LLVM-exception'
        : $text =~ /Apache License/                                ? undef
        : $text =~ /UNICODE LICENSE V3/i                           ? 'Unicode-3.0'
        : $text =~ /This is free and unencumbered software/        ? 'Unlicense'
        : $text =~ /Redistribution and use in source.*?neither the name/si ? 'BSD-3-Clause'
        : $text =~ /Redistribution and use in source/              ? 'BSD-2-Clause'
        : $text =~ /Permission is hereby granted, free of charge/  ? 'MIT'
        : $text =~ /provided 'as-is', without any express/         ? 'Zlib'
        :                                                            undef;
    return if !defined $name || exists $text{$name};
    # The names of the holders are in the paragraphs of the files.
    my ($body) = $name eq 'MIT' ? $text =~ /(Permission is hereby granted.*)/s : $text;
    # Debian has the rest of it.
    ($body) = $text =~ /(-* LLVM Exceptions.*)/s if $name =~ /LLVM/;
    if ($name =~ /^BSD/) { ($body) = $text =~ /(Redistribution and use in source.*)/s }
    $text{$name} = $body;
    return;
}

my @paragraphs;
for my $crate (sort grep { -d } glob "$vendor/*") {
    my $manifest = slurp("$crate/Cargo.toml");
    my ($name) = $crate =~ m{([^/]+)\z};
    my ($licence) = $manifest =~ /^license = "([^"]+)"/m
        or die "$crate/Cargo.toml: no licence: state it in packaging/debian/copyright.in\n";
    my ($authors) = $manifest =~ /^authors = \[(.*?)\]/ms;
    my @holders = $authors ? $authors =~ /"([^"]+)"/g : ();
    my %seen;
    for my $file (licence_files($crate)) {
        keep_text($file);
        for my $line (split /\n/, slurp($file)) {
            next unless $line =~ /^\s*(?:Copyright|COPYRIGHT)\s+(?:\(c\)\s+|\x{a9}\s+)?(\S.*?)\s*$/i;
            my $holder = $1;
            next if $holder =~ /^(?:\[yyyy\]|\{yyyy\}|notice|license|owner|and|holder|statement|\(c\)$)/i || length $holder > 90;
            push @holders, $holder unless $seen{$holder}++;
        }
    }
    @holders = ("the developers of $name") unless @holders;
    my %once;
    @holders = grep { !$once{$_}++ } @holders;
    push @paragraphs, "Files: vendor/$name/*\nCopyright: " . join("\n           ", @holders) . "\nLicense: " . in_debian($licence) . "\n";
}
in_debian('MIT OR Apache-2.0');

binmode STDOUT, ':encoding(UTF-8)';
print slurp("$sources/packaging/debian/copyright.in");
print "$_\n" for @paragraphs;

my @last;
for my $name (sort keys %used) {
    if ($COMMON{$name}) {
        push @last, "License: $name\n On Debian systems, the text is in /usr/share/common-licenses/$name.\n";
        next;
    }
    if ($name =~ /^(L?GPL-[\d.]+)/) {
        (my $file = $1) =~ s/\.0$//;
        push @last, "License: $name\n On Debian systems, the text is in /usr/share/common-licenses/$file.\n";
        next;
    }
    my $text = $text{$name} // die "no crate of vendor/ has the text of the licence $name\n";
    $text =~ s/\A\s+|\s+\z//g;
    $text =~ s/[ \t]+$//mg;
    $text = join "\n", map { length ? " $_" : ' .' } split /\n/, $text;
    $text = " On Debian systems, the text of Apache-2.0 is in /usr/share/common-licenses/Apache-2.0. To it belongs:\n .\n$text"
        if $name =~ /LLVM/;
    push @last, "License: $name\n$text\n";
}
print join "\n", @last;
