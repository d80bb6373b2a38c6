use strict;
use warnings;
use lib 't/lib';
use File::Basename ();
use File::Copy ();
use File::Path ();
use File::Temp ();
use Test::More;

use FCGIPM;
use FCGIPM::XS;

# The compiled part: what it knows of the Perl part is true, it is used where it is there, and a perl that it was
# not built for says so and goes on.

ok($FCGIPM::XS::is_loaded, 'it is built and loaded');
is(\&FCGIPM::Stream::Output::PRINT,   \&FCGIPM::XS::print_items, 'print is its');
is(\&FCGIPM::Stream::Input::READLINE, \&FCGIPM::XS::read_line,   'readline, too');

open my $file, '<', 'xs/XS.c' or die "xs/XS.c: $!";
my $source = do { local $/; <$file> };
my %number = $source =~ /\b([A-Z_]+) = (-?\d\w*(?: \* \d+)?)/g;
$_ = eval for values %number;
my %perl = (
    GATHERED          => FCGIPM::Stream::Output::GATHERED,
    OUTPUT_CLOSED     => FCGIPM::Stream::Output::CLOSED,
    OPEN_BYTE         => ord FCGIPM::Stream::Output::MARKED,
    SHUT_BYTE         => ord FCGIPM::Stream::Output::SHUT,
    ENOUGH            => FCGIPM::Stream::Output::ENOUGH,
    BUFFER            => FCGIPM::Stream::Input::BUFFER,
    AT_END            => FCGIPM::Stream::Input::AT_END,
    FAILURE           => FCGIPM::Stream::Input::FAILURE,
    INPUT_CLOSED      => FCGIPM::Stream::Input::CLOSED,
    EFORKED           => FCGIPM::FFI::EFORKED,
    SCOPE_ENVIRONMENT => FCGIPM::FFI::PARAMS_ENVIRONMENT,
);
is_deeply(\%number, \%perl, 'its numbers are those of the modules');

my $ASKS = 'print $FCGIPM::XS::is_loaded';

sub says {
    my ($with, %environment) = @_;
    local @ENV{ keys %environment } = values %environment;
    return qx{$^X $with -MFCGIPM -e '$ASKS' 2>&1};
}

is(says('-Ilib', FCGIPM_XS => 1), '1', 'FCGIPM_XS=1: it is loaded');
is(says('-Ilib', FCGIPM_XS => 0), '0', 'FCGIPM_XS=0: it is left out');
is(says('-Ilib', FCGIPM_XS => ''), '1', 'empty: as if it were not set');
like(says('-Ilib', FCGIPM_XS => 'yes'), qr/\Aenvironment variable FCGIPM_XS: neither 0 nor 1: 'yes'\n/, 'else: an error');

# Installed apart from the build tree.
my $dir = File::Temp->newdir;
system('cp', '-r', 'lib', "$dir/lib") == 0 or die 'cp';
my @apart = ("-I$dir/lib", FCGIPM_LIB => $FCGIPM::FFI::LIBRARY);
is(says(@apart), '0', 'where it is not, all is done in Perl');
like(says(@apart, FCGIPM_XS => 1), qr/\AFCGIPM::XS cannot be loaded: Can't locate loadable object/, 'and FCGIPM_XS=1 is an error');

my ($built) = grep { m{/FCGIPM/XS/} } @DynaLoader::dl_shared_objects;
my $place = "$dir/lib/auto/FCGIPM/XS";
File::Path::make_path($place);
File::Copy::copy($built, "$place/XS.so") or die "$built: $!";
is(says(@apart), '1', 'beside installed modules it is found');

# Another version's, as after half an upgrade.
open my $modules, '<', 'lib/FCGIPM/XS.pm' or die $!;
my $text = do { local $/; <$modules> };
$text =~ s/'0\.1\.0'/'0.0.9'/ or die 'the version';
open my $other, '>', "$dir/lib/FCGIPM/XS.pm" or die $!;
print {$other} $text;
close $other or die $!;
like(says(@apart), qr/\AFCGIPM::XS cannot be loaded, so requests are slower: FCGIPM::XS object version 0\.1\.0 does not match .*\n0\z/,
    'one that does not fit is named, and all is done in Perl');

open my $junk, '>', "$place/XS.so" or die $!;
print {$junk} "no shared object\n" x 100;
close $junk or die $!;
like(says(@apart), qr/\AFCGIPM::XS cannot be loaded, so requests are slower: Can't load .*\n0\z/, 'so is one that is broken');

done_testing;
