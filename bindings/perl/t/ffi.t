use strict;
use warnings;
use lib 't/lib';
use Config;
use Cwd ();
use File::Basename ();
use File::Path ();
use File::Temp ();
use Test::More;

use FCGIPM;
use Tested;

# Without the compiled part. What every request does is implemented twice, in C and in Perl. The
# other tests run with the compiled part; these run once more without it.

my @switches = Tested::switches();

{
    local $ENV{FCGIPM_XS} = 0;
    is(qx{$^X @switches -MFCGIPM -e 'print FCGIPM->backend' 2>&1}, 'FFI', 'FCGIPM_XS=0: through FFI::Platypus');
    for my $test (qw(destructors fcgipm library proc_manager request stop stream)) {
        my @lines = qx{$^X @switches t/$test.t 2>&1};
        is($?, 0, "$test.t") or diag(@lines);
        cmp_ok(scalar(grep { /^ok / } @lines), '>', 3, "$test.t: has tests");
    }
}

# Installed modules, outside of a build tree.
my $dir = File::Temp->newdir;
my ($modules) = grep { -e "$_/FCGIPM.pm" } Tested::folders();
system('cp', '-r', $modules, "$dir/lib") == 0 or die 'cp';
my $xs = "$dir/lib/auto/FCGIPM/XS/XS.$Config{dlext}";
unlink $xs;

sub backend {
    local $ENV{FCGIPM_LIB} = Cwd::abs_path($FCGIPM::Library::FILE);
    local $ENV{PERL5LIB} = "$dir/lib";
    # Without what this machine may have installed.
    return qx{$^X -e '\@INC = grep { !-d "\$_/auto/FCGIPM" || index(":\$ENV{PERL5LIB}:", ":\$_:") >= 0 } \@INC; require FCGIPM; print FCGIPM->backend' 2>&1};
}

is(backend(), 'FFI', 'the compiled part was not built: nothing is printed');

File::Path::make_path(File::Basename::dirname($xs));
open my $file, '>', $xs or die "$xs: $!";
print {$file} "not a shared object\n" x 100;
close $file or die "$xs: $!";
like(backend(), qr/\A\Q$xs\E cannot be used: .+: build FCGIPM again for this perl \(.+\); until then FFI::Platypus is used, and requests are slower\nFFI\z/,
    'it cannot be used: a warning of one line');

done_testing;
