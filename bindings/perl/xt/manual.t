use strict;
use warnings;
use Cwd ();
use File::Basename ();
use File::Find ();
use Test::More;

use FCGIPM;

# The man pages of the modules, which the build makes from their POD.

my $pages = File::Basename::dirname(Cwd::abs_path($FCGIPM::Library::FILE)) . '/man';
my %documented;
File::Find::find({ no_chdir => 1, wanted => sub {
    /\.(?:pm|pod)\z/ or return;
    open my $file, '<', $_ or die "$_: $!";
    $documented{ s{\Alib/|\.\w+\z}{}gr =~ s{/}{::}gr } = 1 if grep {/^=head1/} <$file>;
} }, 'lib');
is_deeply([ map { s{.*/|\.3pm\z}{}gr } sort glob "$pages/*.3pm" ], [ sort keys %documented ], 'a page for each module with documentation');

for my $module (sort keys %documented) {
    my $page = "$pages/$module.3pm";
    is(qx{mandoc -Tlint -Wwarning '$page' 2>&1}, '', "$module: mandoc does not warn");
    is(qx{MANROFFSEQ= MANWIDTH=80 LC_ALL=C.UTF-8 man --warnings -E UTF-8 -l -Tutf8 -Z '$page' 2>&1 >/dev/null}, '', "$module: man does not warn");
    open my $file, '<', $page or die "$page: $!";
    like(do { local $/; <$file> }, qr/^\.TH \S*\Q$module\E\S* 3pm \S+ "fcgipm \Q$FCGIPM::VERSION\E" "Perl modules"$/m, "$module: title");
}

done_testing;
