use strict;
use warnings;
use Cwd ();
use File::Spec ();
use File::Temp ();
use TAP::Parser;
use Test::More;

# The test suites of the replaced modules, and of modules that use them, under FCGIPM::Compat. Their
# sources are downloaded when the tests are set up (packaging/originals.sh); a missing one is a
# failure.

my $sources = File::Spec->rel2abs('../../target/originals');
my @lib = map { File::Spec->rel2abs($_) } qw(lib t/lib xt/lib);

# The tests, and the replaced module that each of them must load.
my %SUITES = (
    'FCGI'             => [ 't/*.t', 'FCGI.pm' ],
    'FCGI-ProcManager' => [ 't/*.t', 'FCGI/ProcManager.pm' ],
    'CGI-Fast'         => [ 't/*.t', 'FCGI.pm' ],
    'Plack'            => [ 't/Plack-Handler/fcgi*.t', 'FCGI.pm' ],
);
my %OURS = map { ($_ => "$lib[0]/FCGIPM/Compat/" . s{\AFCGI/}{}r) } 'FCGI.pm', 'FCGI/ProcManager.pm';

# Tests the changelog, not the module; its test module is not in Debian.
my %LEFT_OUT = ('CGI-Fast/t/006_changes.t' => 1);

for my $suite (sort keys %SUITES) {
    if (!chdir "$sources/$suite") {
        fail("the source of $suite is in target/originals");
        next;
    }
    my ($pattern, $module) = @{ $SUITES{$suite} };
    my @files = grep { !$LEFT_OUT{"$suite/$_"} } sort glob $pattern;
    ok(scalar @files, "$suite has tests");
    for my $file (@files) {
        my $origins = File::Temp->new;
        local @ENV{qw(PERL5OPT PERL5LIB ORIGIN_FILE RELEASE_TESTING)} =
            ('-MFCGIPM::Compat -MOrigin', join(':', Cwd::abs_path('lib') || (), @lib), "$origins", 1);
        my $parser = TAP::Parser->new({ exec => [ $^X, $file ], merge => 1 });
        my @lines;
        while (my $result = $parser->next) { push @lines, $result->as_string }
        is($parser->skip_all || '', '', "$suite $file is not skipped");
        ok(!$parser->has_problems && !$parser->skipped && $parser->tests_run, "$suite $file: " . $parser->tests_run . ' pass')
            or diag(join "\n", @lines);
        my @origins = map { [ /\A(\S+) (.*)\n\z/ ] } <$origins>;
        my @ours = grep { $_->[0] eq $module } @origins;
        ok(scalar @ours, "$suite $file has loaded $module");
        is_deeply([ grep { $_->[1] ne ($OURS{ $_->[0] } // '') } @origins ], [], "$suite $file: all of FCGI in \%INC is ours");
    }
}

done_testing;
