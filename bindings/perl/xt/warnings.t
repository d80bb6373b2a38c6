use strict;
use warnings;
use lib qw(t/lib xt/lib);
use Cwd ();
use File::Find ();
use Test::More;
use Compat;
use Workers;

# These modules cause no warnings, neither with -w nor with -W, which enables all and ignores
# pragmas.

my $LIB = Cwd::abs_path('lib');
my @modules;
File::Find::find({ wanted => sub { push @modules, $File::Find::name =~ s{\Alib/}{}r if /\.pm\z/ }, no_chdir => 1 }, 'lib');

for my $switch (qw(-w -W)) {
    for my $module (sort @modules) {
        my $compat = $module =~ /Compat/ ? 'use FCGIPM::Compat;' : '';
        my $text = qq{BEGIN { \$SIG{__WARN__} = sub { print "warning: \$_[0]" } } $compat require '$module'; print "loaded\n"};
        open my $pipe, '-|', $^X, $switch, "-I$LIB", '-e', $text or die "perl: $!";
        my @lines = readline $pipe;
        close $pipe;
        # Warnings from modules that they use do not count.
        is_deeply([ grep { !/\Awarning: / || m{\Q$LIB\E|FCGI} } @lines ], ["loaded\n"], "perl $switch: $module");
    }

    for my $xs (1, 0) {
        my $text = <<'PROGRAM';
use FCGI; use FCGI::ProcManager;
$SIG{__WARN__} = sub { syswrite $main::log, "warning: $_[0]" };
open our $log, '>&', \*STDERR or die;
my $request = FCGI::Request();
my $pm = FCGI::ProcManager->new({ n_processes => 2 });
$pm->pm_manage;
while ($request->Accept >= 0) {
    $pm->pm_pre_dispatch;
    my @lines = <STDIN>;
    print "Content-Type: text/plain\r\n\r\n"; printf "%s %d\n", 'worker', $$; print "x" x 100_000;
    print STDERR "a line\n";
    $pm->pm_post_dispatch;
}
PROGRAM
        my $daemon = compat(text => "#!perl $switch\n$text", environment => { FCGIPM_XS => $xs });
        like($daemon->ask(params => [ NAME => $_ ], stdin => "a\nb\n")->{stdout}, qr/worker \d+/, "perl $switch, FCGIPM_XS=$xs: served") for 1 .. 4;
        $daemon->signal('HUP');
        $daemon->wait_for(qr/reload done/);
        like($daemon->ask->{stdout}, qr/worker \d+/, 'the new workers serve');
        is($daemon->stop, 0, 'TERM stops it');
        my @warnings = $daemon->log =~ /^(.*(?:warning: | at \S+ line \d|Can't exec).*)$/mg;
        is_deeply([ grep { m{\Q$LIB\E|FCGI|exec} } @warnings ], [], 'no warning from these modules');
    }
}

done_testing;
