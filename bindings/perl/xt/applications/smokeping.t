use strict;
use warnings;
use lib qw(t/lib xt/lib);
use File::Temp ();
use Test::More;
use Application;
use Compat;

# Smokeping, as Debian ships it: a script on CGI::Fast without a manager, which ignores SIGCHLD and
# draws images with RRDtool in the request. FCGIPM_N_PROCESSES gives it a manager.

my $SCRIPT = '/usr/share/smokeping/smokeping.cgi';
-x $SCRIPT or BAIL_OUT("$SCRIPT is needed (packaging/setup.sh test)");
needs(qw(CGI::Fast RRDs));

my $folder = File::Temp->newdir;
mkdir "$folder/$_" or die "$_: $!" for qw(images data data/Local);
open my $config, '>', "$folder/config" or die "config: $!";
print {$config} <<"END";
*** General ***
owner = Owner
contact = owner\@example.org
mailhost = localhost
imgcache = $folder/images
imgurl = /images
datadir = $folder/data
piddir = $folder
cgiurl = http://here.example/smokeping
smokemail = /etc/smokeping/smokemail
tmail = /etc/smokeping/tmail
*** Alerts ***
to = alerts\@example.org
from = smoke\@example.org
*** Database ***
step = 300
pings = 3
AVERAGE 0.5 1 1008
*** Presentation ***
template = /etc/smokeping/basepage.html
charset = utf-8
+ charts
menu = Charts
title = Charts of the city
+ overview
width = 600
height = 50
range = 10h
+ detail
width = 600
height = 200
unison_tolerance = 2
"Last 3 Hours" 3h
*** Probes ***
+ FPing
binary = /bin/true
*** Targets ***
probe = FPing
menu = Top
title = Network of the city
+ Local
menu = Local
title = Local hosts
++ Host
menu = One host
title = A host
host = localhost
END
close $config or die "config: $!";
RRDs::create("$folder/data/Local/Host.rrd", '--step', 300, (map { "DS:$_:GAUGE:600:0:" . ($_ eq 'loss' ? 3 : 'U') } qw(uptime loss median ping1 ping2 ping3)), 'RRA:AVERAGE:0.5:1:1008');
die RRDs::error() if RRDs::error();

sub start {
    my ($environment, $listener) = @_;
    my @manager = $environment->{PERL5OPT} ? (FCGIPM_N_PROCESSES => 3) : ();
    return application(
        command     => [ 'env', '-u', 'FCGI_SOCKET_PATH', $SCRIPT, "$folder/config" ],
        in          => "$folder",
        environment => { %$environment, @manager },
        listener    => $listener,
    );
}

my @page = (
    [ '',                       qr/<h1>Network of the city/ ],
    [ '?target=Local',          qr{SRC="/images/Local/Host_mini\.png"} ],
    [ '?target=Local.Host',     qr{SRC="/images/Local/Host_last_10800\.png"} ],
    [ '?target=_charts',        qr/Charts of the city/ ],
    [ '?target=Local.Host&displaymode=n&start=2026-11-29%2000:00&end=2026-11-30%2000:00', qr{/images/__navcache/} ],
    [ '',                       qr/<h1>Network of the city/ ],
    # It exits afterwards.
    [ '?target=nowhere',        qr/Section 'nowhere' does not exist/ ],
);
pages_alike('smokeping', \&start, [ map { page($_->[0], script => '/smokeping') } @page ],
    contains  => [ map { $_->[1] } @page ],
    anonymous => sub {
        my ($text) = @_;
        $text =~ s/^(Expires|Date): .*\r$/$1: WHEN\r/mg;
        # The begin of a range; an image's name, which contains the time and the pid; its length.
        $text =~ s/start=\d{4}-\d\d-\d\d%20\d\d:\d\d;/start=WHEN;/g;
        $text =~ s{/__navcache/\d+_}{/__navcache/NAME_}g;
        $text =~ s/^Content-length: \d+\r$/Content-length: SIZE\r/mi if $text =~ /NAME_/;
        # The time in messages of CGI::Carp.
        $text =~ s/^\[\w{3} \w{3} [ \d]\d [\d:]{8} \d{4}\]/[WHEN]/mg;
        return $text;
    },
);
undisturbed('smokeping', \&start, load => [ '--script-name', '/smokeping', '--uri', '/smokeping?target=Local.Host' ], expect => 'Host_last_10800');

done_testing;
