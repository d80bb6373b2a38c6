#!/usr/bin/perl
# Writes the licences of all crates that are linked into the library, the command and the drop-in: licenses.pl FILE.
# The texts are those in the crates, each once. The same lock file gives the same bytes.
use v5.22;
use warnings;
use Encode ();
use JSON::PP ();

my ($into) = @ARGV or die "usage: $0 FILE\n";
my $cargo = $ENV{CARGO} // 'cargo';
my @products = (['library', 'fcgipm'], ['command', 'fcgipm-command'], ['drop-in', 'fcgipm-libfcgi']);

sub output_of {
    my @command = @_;
    open my $pipe, '-|', @command or die "$0: cannot run $command[0]: $!\n";
    my $output = do { local $/; <$pipe> };
    close $pipe or die "$0: @command failed (see above)\n";
    return $output;
}

sub text_of {
    my ($path) = @_;
    open my $file, '<:raw', $path or die "$0: $path: $!\n";
    my $text = Encode::decode('UTF-8', do { local $/; <$file> });
    return $text =~ s/\r//gr =~ s/[ \t]+$//gmr =~ s/\A\n+|\n+\z//gr;
}

# Code that runs in the compiler (build scripts, procedural macros) is not linked in.
my %in;    # "name version" => the products that it is in
for (@products) {
    my ($product, $package) = @$_;
    my @tree = ('tree', '--locked', '--prefix', 'none', '--format', '{p}', '--edges', 'normal,no-proc-macro');
    my %names = map { /^(\S+) v(\S+)(?: \(\*\))?$/ ? ("$1 $2" => 1) : () } split /\n/, output_of($cargo, @tree, '--package', $package);
    push @{ $in{$_} }, $product for keys %names;
}
my ($host) = output_of($ENV{RUSTC} // 'rustc', '-vV') =~ /^host: (\S+)$/m or die "$0: rustc does not name its host\n";
my @metadata = ('metadata', '--locked', '--format-version', '1', '--filter-platform', $host);
my $metadata = JSON::PP::decode_json(output_of($cargo, @metadata));

my (%rows, %carriers, %name_of);
for my $crate (grep { $in{"$_->{name} $_->{version}"} } @{ $metadata->{packages} }) {
    my $name = "$crate->{name} $crate->{version}";
    my $folder = $crate->{manifest_path} =~ s{/Cargo\.toml$}{}r;
    opendir my $entries, $folder or die "$0: $folder: $!\n";
    my @texts = grep { /^(?:licen[cs]e|copying|copyright|notice|unlicense)/i && -f "$folder/$_" } readdir $entries;
    @texts or die "$0: $name has no text of its licence ($crate->{license}) in $folder: do without that crate\n";
    for (@texts) {
        my $text = text_of("$folder/$_");
        $carriers{$text}{$name} = 1;
        $name_of{$text} = $_ if !$name_of{$text} || $_ lt $name_of{$text};
    }
    $rows{$name} = sprintf "%-32s %-52s %s\n", $name, $crate->{license}, join ', ', @{ $in{$name} };
}
my @lost = grep { !$rows{$_} } sort keys %in;
!@lost or die "$0: cargo metadata does not list @lost\n";

my @groups = map { [join("\n", sort keys %{ $carriers{$_} }), $name_of{$_}, $_] } keys %carriers;
my $out = <<'END';
The library, the command and the drop-in of fcgipm contain the Rust crates below, and the standard library
of Rust (copyright The Rust Project contributors, MIT OR Apache-2.0). After the list, each text of a licence
stands once, below the crates that have it.

END
$out .= $rows{$_} for sort keys %rows;
for (sort { $a->[0] cmp $b->[0] || $a->[1] cmp $b->[1] || $a->[2] cmp $b->[2] } @groups) {
    my ($crates, $name, $text) = @$_;
    $out .= "\n" . '=' x 100 . "\n$crates\n" . '-' x 100 . "\n\n$text\n";
}
open my $file, '>:encoding(UTF-8)', "$into.new" or die "$0: $into.new: $!\n";
print $file $out;
close $file or die "$0: $into.new: $!\n";
rename "$into.new", $into or die "$0: $into: $!\n";
