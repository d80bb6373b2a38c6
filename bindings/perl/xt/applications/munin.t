use strict;
use warnings;
use lib qw(t/lib xt/lib);
use Cwd ();
use File::Temp ();
use Storable ();
use Test::More;
use Application;
use Compat;

# munin's pages: a script on CGI::Fast in taint mode, which refuses to run as root. FCGIPM::Compat
# is on perl's command line, because perl -T ignores PERL5OPT.

my $SCRIPT = '/usr/lib/munin/cgi/munin-cgi-html';
-x $SCRIPT or BAIL_OUT("$SCRIPT is needed (packaging/setup.sh test)");
needs(qw(CGI::Fast Munin::Master::Utils));

my $folder = File::Temp->newdir;
chmod 0755, $folder;
open my $config, '>', "$folder/munin.conf" or die "munin.conf: $!";
print {$config} map { "$_\n" } (map { "$_ $folder" } qw(dbdir htmldir logdir rundir)), 'tmpldir /etc/munin/templates', 'staticdir /etc/munin/static',
    '[first.example]', 'address 127.0.0.1', '[second.example]', 'address 127.0.0.2';
close $config or die "munin.conf: $!";
Storable::nstore({ version => '2' }, "$folder/$_.storable") for qw(datafile limits);
system('chown', '-R', 'munin', "$folder") == 0 or die "chown: $?";
my $opt = other_users_tree();

sub start {
    my ($environment, $listener) = @_;
    my $is_compat = delete $environment->{PERL5OPT};
    delete $environment->{PERL5LIB};
    return application(
        command => [
            qw(env -u FCGI_SOCKET_PATH setpriv --reuid munin --regid munin --init-groups),
            $is_compat ? ('perl', '-T', "-I$opt/bindings/perl/lib", '-MFCGIPM::Compat') : (), $SCRIPT,
        ],
        in          => "$folder",
        environment => { %$environment, MUNIN_CONFIG => "$folder/munin.conf", $is_compat ? (FCGIPM_N_PROCESSES => 2) : () },
        listener    => $listener,
    );
}

my @page = map { page($_, script => '/munin') } qw(/ /index.html /first.example/index.html /second.example/second.example/index.html /);
pages_alike('munin', \&start, \@page,
    contains  => [ (qr/munin-monitoring\.org/) x @page ],
    anonymous => sub {
        my ($text) = @_;
        $text =~ s/ at \d{4}-\d\d-\d\d \d\d:\d\d:\d\d\+0000 \(UTC\)/ at WHEN/g;
        return $text;
    },
);
undisturbed('munin', \&start, load => [ '--script-name', '/munin', '--uri', '/munin/' ], expect => 'munin-monitoring.org');

done_testing;
