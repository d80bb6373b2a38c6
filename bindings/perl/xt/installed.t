use strict;
use warnings;
use Config;
use Cwd ();
use File::Find ();
use File::Temp ();
use Test::More;

use FCGIPM;

# What `make install-perl` installs: where perl looks for it, with the compiled part beside the modules.

my $library = Cwd::abs_path($FCGIPM::Library::FILE);
delete @ENV{qw(MAKEFLAGS MFLAGS MAKELEVEL PERL5OPT PERL5LIB FCGIPM_XS FCGIPM_LIB)};

sub make {
    my ($goal, $dir, @variables) = @_;
    my $said = qx{make --no-print-directory -C ../.. $goal SETUP=: PERL='$^X' DESTDIR=$dir @variables 2>&1};
    is($?, 0, "make $goal @variables") or diag($said);
    return $said;
}

sub files {
    my ($dir) = @_;
    my @found;
    File::Find::find({ wanted => sub { push @found, s{\A\Q$dir\E}{}r if !-d }, no_chdir => 1 }, $dir);
    return sort @found;
}

my @modules;
File::Find::find({ wanted => sub { push @modules, s{\Alib/}{}r if /\.(?:pm|pod)\z/ }, no_chdir => 1 }, 'lib');

# A directory of perl's for each kind, and one that perl does not search.
for my $case (
    [ [],                            qr/\A\z/,                                       $Config{installsitearch} ],
    [ ['PERL_INSTALLDIRS=vendor'],   qr/\A\z/,                                       $Config{installvendorarch} ],
    [ ['PREFIX=/opt/fcgipm'],        qr{\Aperl does not search (/opt/fcgipm/\S+): set PERL5LIB=\1 for programs that use FCGIPM\n\z}, undef ],
) {
    my ($variables, $message, $folder) = @$case;
    my $dir = File::Temp->newdir;
    my $said = make('install-perl', $dir, @$variables);
    like($said, $message, 'it says whether perl searches the directory');
    $folder //= $said =~ /PERL5LIB=(\S+)/ ? $1 : '';
    my @files = files($dir);
    is_deeply([ map { m{\A\Q$folder\E/(.*\.(?:pm|pod))\z} ? $1 : () } @files ], [ sort @modules ], "all modules are in $folder");
    is(scalar(grep { $_ eq "$folder/auto/FCGIPM/XS/XS.$Config{dlext}" } @files), 1, 'and the compiled part');
    cmp_ok(scalar(grep {m{/man3/FCGIPM\S*\.3pm\z}} @files), '>', 15, 'man pages');
    {
        local @ENV{qw(FCGIPM_LIB PERL5LIB)} = ($library, "$dir$folder");
        is(qx{cd / && $^X -MFCGIPM -e 'print "\$INC{q(FCGIPM.pm)} ", FCGIPM->backend' 2>&1}, "$dir$folder/FCGIPM.pm XS", 'it is used from there');
    }
    make('uninstall', $dir, @$variables);
    is_deeply([ files($dir) ], [], 'make uninstall removes it');
}

done_testing;
