use strict;
use warnings;
use lib 't/lib';
use Config;
use Cwd ();
use File::Basename ();
use File::Path ();
use File::Spec ();
use File::Temp ();
use Test::More;

use FCGIPM;
use FCGIPM::XS;
use Tested;

# The compiled part: its constants are those of the Perl modules, it is used if it exists, it needs
# no FFI::Platypus, and a perl for which it was not built says so.

is(FCGIPM->backend, 'XS', 'the compiled part is built and loaded');
is(\&FCGIPM::Stream::Output::PRINT,   \&FCGIPM::XS::print_items, 'print is compiled');
is(\&FCGIPM::Stream::Input::READLINE, \&FCGIPM::XS::read_line,   'readline is compiled');
is(\&FCGIPM::Stream::Input::READ,     \&FCGIPM::XS::read_bytes,  'read is compiled');
is_deeply([ grep {m{^(?:FFI/|FCGIPM/FFI)}} keys %INC ], [], 'FFI::Platypus is not loaded');

open my $file, '<', 'xs/XS.h' or die "xs/XS.h: $!";
my $source = do { local $/; <$file> };
my %number = $source =~ /\b([A-Z_]+) = (-?\d\w*(?: \* \d+)?)/g;
$_ = eval for values %number;
my %perl = (
    GATHERED          => FCGIPM::Stream::Output::GATHERED,
    OUTPUT_CLOSED     => FCGIPM::Stream::Output::CLOSED,
    HELD              => FCGIPM::Stream::Output::HELD,
    OPEN_BYTE         => ord FCGIPM::Stream::Output::OPEN_MARK,
    CLOSED_BYTE       => ord FCGIPM::Stream::Output::CLOSED_MARK,
    GATHER_LIMIT      => FCGIPM::Stream::Output::GATHER_LIMIT,
    HANDLE            => FCGIPM::Stream::Input::HANDLE,
    DIRECT_FROM       => FCGIPM::Stream::Input::DIRECT_FROM,
    DIRECT_TO         => FCGIPM::Stream::Input::DIRECT_TO,
    BUFFER            => FCGIPM::Stream::Input::BUFFER,
    AT_END            => FCGIPM::Stream::Input::AT_END,
    FAILURE           => FCGIPM::Stream::Input::FAILURE,
    INPUT_CLOSED      => FCGIPM::Stream::Input::CLOSED,
    EFORKED           => FCGIPM::Library::EFORKED,
    SCOPE_ENVIRONMENT => FCGIPM::Library::PARAMS_ENVIRONMENT,
);
is_deeply(\%number, \%perl, 'the constants in C are those of the Perl modules');

# What calls the library in another process, and what it says. %with: lib, environment
sub backend {
    my (@environment) = @_;
    my @lib = ref $environment[0] ? @{ shift @environment } : Tested::folders();
    local @ENV{qw(FCGIPM_LIB PERL5LIB)} = (Cwd::abs_path($FCGIPM::Library::FILE), join ':', @lib);
    local %ENV = (%ENV, @environment);
    # Without what this machine may have installed.
    return qx{$^X -e '\@INC = grep { !-d "\$_/auto/FCGIPM" || index(":\$ENV{PERL5LIB}:", ":\$_:") >= 0 } \@INC; require FCGIPM; print FCGIPM->backend' 2>&1};
}

is(backend(FCGIPM_XS => 1), 'XS', 'FCGIPM_XS=1: it is loaded');
is(backend(FCGIPM_XS => ''), 'XS', 'empty: the same as unset');
like(backend(FCGIPM_XS => 'yes'), qr/\Aenvironment variable FCGIPM_XS: 'yes' is neither 0 nor 1\n/, 'any other value is an error');

# A machine without FFI::Platypus.
my $dir = File::Temp->newdir;
File::Path::make_path("$dir/without/FFI");
spew("$dir/without/FFI/Platypus.pm", qq{die "Can't locate FFI/Platypus.pm in \\\@INC\\n"});
my $WITHOUT = "$dir/without";
is(backend([ $WITHOUT, Tested::folders() ], FCGIPM_XS => 1), 'XS', 'FFI::Platypus need not be installed');
like(backend([ $WITHOUT, Tested::folders() ], FCGIPM_XS => 0),
    qr/\AFCGIPM needs its compiled part or FFI::Platypus 2: FCGIPM_XS=0 disables the compiled part; FFI::Platypus is not installed: install FFI::Platypus \(Debian: .+\), or build FCGIPM again with a C compiler\n/,
    'without either: one line that says what to install');

# Installed modules, outside of a build tree.
my ($modules) = grep { -e "$_/FCGIPM.pm" } Tested::folders();
my ($built) = grep { m{/FCGIPM/XS/} } @DynaLoader::dl_shared_objects;
my $lib = "$dir/lib";
my $xs = "$lib/auto/FCGIPM/XS/XS.$Config{dlext}";
system('cp', '-r', $modules, $lib) == 0 or die 'cp';
File::Path::make_path(File::Basename::dirname($xs));
unlink $xs;
like(backend([$lib], FCGIPM_XS => 1), qr{\AFCGIPM_XS=1: the compiled part was not built \(auto/FCGIPM/XS/XS\.so is not in \@INC\)\n}, 'it is missing: with FCGIPM_XS=1 an error');
like(backend([ $WITHOUT, $lib ]), qr/the compiled part was not built \(.+\); FFI::Platypus is not installed: install/, 'and without FFI::Platypus');

my $compiled = slurp($built);
spew($xs, $compiled);
is(backend([$lib]), 'XS', 'it is found beside installed modules');

# Files that cannot be used: the message names the file, the reason and the remedy. Without
# FFI::Platypus it is an error, and otherwise a warning (t/ffi.t).
my $THIS = "FCGIPM $FCGIPM::VERSION on perl $Config{api_versionstring} ($Config{archname})";
my $mark = "$FCGIPM::VERSION $Config{api_versionstring} $Config{archname}\0";

sub changed {
    my ($from, $to) = @_;
    (my $mark_of_another = $mark) =~ s/\Q$from\E/$to/ or die "'$from' is not in '$mark'";
    (my $bytes = $compiled) =~ s/\Q$mark\E/$mark_of_another/ or die "$built: what it was built for is missing";
    return $bytes;
}

sub refuses {
    my ($name, $bytes, $reason) = @_;
    spew($xs, $bytes);
    my $said = backend([ $WITHOUT, $lib ]);
    like($said, qr/\A.*\Q$xs\E cannot be used: $reason: build FCGIPM again for this perl \(Debian: .+; CPAN: .+; from source: make build\); FFI::Platypus is not installed/, "$name: one line");
    return like(backend([$lib], FCGIPM_XS => 1), qr/\AFCGIPM_XS=1: \Q$xs\E cannot be used: $reason: build/, "$name: with FCGIPM_XS=1 an error");
}

refuses('for another perl', changed(" $Config{api_versionstring} " => ' 5.00.0 '),
    qr/it was built for FCGIPM \S+ on perl 5\.00\.0 \(\S+\), and this is \Q$THIS\E/);
refuses('for another platform', changed($Config{archname} => 'x' x length $Config{archname}),
    qr/it was built for FCGIPM \S+ on perl \S+ \(x+\), and this is \Q$THIS\E/);
refuses('another version', changed("$FCGIPM::VERSION " => '9.9.9 '), qr/it was built for FCGIPM 9\.9\.9 on perl .+, and this is \Q$THIS\E/);
refuses('not a shared object', "text\n" x 100, qr/[^:]+/);
refuses('another shared object', slurp($FCGIPM::Library::FILE), qr/it is not the compiled part of FCGIPM/);

sub spew {
    my ($path, $bytes) = @_;
    unlink $path;    # a loaded file must not change
    open my $file, '>:raw', $path or die "$path: $!";
    print {$file} $bytes;
    close $file or die "$path: $!";
    return;
}

sub slurp {
    my ($path) = @_;
    open my $file, '<:raw', $path or die "$path: $!";
    local $/;
    return scalar <$file>;
}

done_testing;
