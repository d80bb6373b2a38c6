package pages_machine;

# What the pages assume to be there: the application in /srv/app, its socket's directory, maps, pictures, and so on.
use strict;
use warnings;
use File::Basename ();
use File::Path ();
use POSIX ();
use Storable ();
use Time::HiRes ();

my $SAY = q("worker $$\n");

my %FILE = (
    '/srv/app/daemon.fcgi' => <<"END",
use strict; use warnings; use FCGI; use FCGI::ProcManager;
my \$socket = FCGI::OpenSocket(':9005', 100);
my \$request = FCGI::Request(\\*STDIN, \\*STDOUT, \\*STDERR, \\%ENV, \$socket, FCGI::FAIL_ACCEPT_ON_INTR);
my \$manager = FCGI::ProcManager->new({ n_processes => 5 });
\$manager->pm_manage;
while (\$request->Accept >= 0) {
    \$manager->pm_pre_dispatch;
    print "Content-Type: text/plain\\r\\n\\r\\n", $SAY;
    \$manager->pm_post_dispatch;
}
END
    '/srv/app/script.fcgi' => <<"END",
use strict; use warnings; use CGI::Fast;
while (my \$q = CGI::Fast->new) { print \$q->header('text/plain'), $SAY }
END
    '/srv/app/plain.fcgi' => <<"END",
use strict; use warnings; use FCGI;
my \$request = FCGI::Request();
while (\$request->Accept >= 0) { print "Content-Type: text/plain\\r\\n\\r\\n", $SAY }
END
    '/srv/app/app.psgi' => "sub { return [ 200, [ 'Content-Type' => 'text/plain' ], [ $SAY ] ] };\n",
    '/srv/app/script/myapp_fastcgi.pl' => <<'END',
#!/usr/bin/env perl
use Catalyst::ScriptRunner;
Catalyst::ScriptRunner->run('MyApp', 'FastCGI');
1;
END
    '/srv/app/lib/MyApp.pm' => <<'END',
package MyApp;
use Moose; use namespace::autoclean; use Catalyst;
extends 'Catalyst';
__PACKAGE__->config(name => 'MyApp', encoding => undef);
__PACKAGE__->setup;
1;
END
    '/srv/app/lib/MyApp/Controller/Root.pm' => <<"END",
package MyApp::Controller::Root;
use Moose; use namespace::autoclean;
BEGIN { extends 'Catalyst::Controller' }
__PACKAGE__->config(namespace => '');
sub default : Path { my (\$self, \$c) = \@_; \$c->res->body($SAY) }
1;
END
    # Marks the home directory for Catalyst's script.
    '/srv/app/Makefile.PL' => "# nothing\n",
    '/srv/app/page'        => "#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\nshort and stout\\n'\n",
    '/srv/app/page.php'    => "<?php echo 'a page for ', \$_GET['who'];\n",
    '/srv/app/pools.toml'  => <<'END',
[[pool]]
name = "wrap"
command = ["/usr/sbin/fcgiwrap"]
workers = 2
listen = "/run/app/app.sock"
END
    '/srv/maps/city.map' => <<'OF_THE_FILE',
MAP
  SIZE 64 64
  EXTENT 0 0 100 100
  IMAGETYPE png
  LAYER
    NAME "square"
    TYPE POLYGON
    STATUS DEFAULT
    FEATURE POINTS 10 10 10 60 60 60 60 10 10 10 END END
    CLASS STYLE COLOR 200 30 30 END END
  END
END
OF_THE_FILE
    # The page shows it, too: this one is there before it is written from there.
    '/srv/maps/mapserver.conf' => qq(CONFIG\n  ENV\n    MS_MAPFILE "/srv/maps/city.map"\n  END\nEND\n),
    '/srv/maps/mapcache.xml'   => <<'END',
<mapcache>
  <source name="maps" type="wms">
    <getmap><params><FORMAT>image/png</FORMAT><LAYERS>square</LAYERS></params></getmap>
    <http><url>http://127.0.0.1:1/maps?</url></http>
  </source>
  <cache name="disk" type="disk"><base>/srv/maps</base></cache>
  <tileset name="city"><source>maps</source><cache>disk</cache><grid>WGS84</grid><format>PNG</format></tileset>
  <default_format>PNG</default_format>
  <service type="tms" enabled="true"/>
  <lock_dir>/srv/maps</lock_dir>
</mapcache>
END
    '/srv/qgis/city.qgs' => <<'END',
<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>
<qgis version="3.22.16" projectname="city">
<title>The city</title>
<properties><WMSServiceTitle type="QString">The city</WMSServiceTitle></properties>
</qgis>
END
    '/srv/sp/logger' => <<'END',
log4j.rootCategory=ERROR, err
log4j.appender.err=org.apache.log4j.ConsoleAppender
log4j.appender.err.layout=org.apache.log4j.BasicLayout
END
    '/srv/sp/shibboleth2.xml' => <<'END',
<SPConfig xmlns="urn:mace:shibboleth:3.0:native:sp:config" logger="/srv/sp/logger">
  <OutOfProcess logger="/srv/sp/logger"/>
  <UnixListener address="/srv/sp/shibd.sock"/>
  <ApplicationDefaults entityID="https://sp.example/shibboleth">
    <Sessions lifetime="28800" timeout="3600" relayState="cookie" checkAddress="false" handlerSSL="false" cookieProps="http" redirectLimit="exact">
      <SSO entityID="https://idp.example/idp">SAML2</SSO>
      <Handler type="Session" Location="/Session" showAttributeValues="false"/>
    </Sessions>
  </ApplicationDefaults>
  <SecurityPolicyProvider type="XML" validate="true" path="/etc/shibboleth/security-policy.xml"/>
  <ProtocolProvider type="XML" validate="true" reloadChanges="false" path="/etc/shibboleth/protocols.xml"/>
</SPConfig>
END
);

# A grey square of one tile, for IIPImage.
sub picture {
    my $side = 256;
    my @fields = (
        [ 256, $side ], [ 257, $side ], [ 258, 8 ], [ 259, 1 ], [ 262, 1 ], [ 277, 1 ], [ 322, $side ], [ 323, $side ],
        [ 324, 8 + 2 + 10 * 12 + 4 ], [ 325, $side * $side ],
    );
    my $types = join '', map { my ($tag, $value) = @$_; pack 'vvVV', $tag, ($tag == 258 || $tag == 259 || $tag == 262 || $tag == 277) ? 3 : 4, 1, $value } @fields;
    return "II*\0" . pack('V', 8) . pack('v', scalar @fields) . $types . pack('V', 0) . "\x80" x ($side * $side);
}

sub make {
    $FILE{'/srv/pictures/grey.tif'} = picture();
    for my $path (sort keys %FILE) {
        File::Path::make_path(File::Basename::dirname($path));
        open my $out, '>', $path or die "$path: $!\n";
        print {$out} $FILE{$path};
        close $out or die "$path: $!\n";
    }
    chmod 0755, '/srv/app/page', '/srv/app/script/myapp_fastcgi.pl';
    # Users of several pages make their sockets here; systemd gives it to the one of the unit.
    File::Path::make_path('/run/app', '/var/lib/git', '/srv/sp');
    chmod 01777, '/run/app';
    # What munin's collector writes. Its CGI scripts run as munin.
    Storable::nstore({ version => '2' }, "/var/lib/munin/$_.storable") for qw(datafile limits);
    system 'chown', '-R', 'munin:', '/var/lib/munin', '/var/log/munin';
    return;
}

# A program that a block needs beside it. Returns its pid.
sub before {
    my ($what) = @_;
    return if !defined $what;
    my $command = {
        plain => 'PERL5OPT=-MFCGIPM::Compat FCGI_SOCKET_PATH=:9005 FCGIPM_N_PROCESSES=2 exec perl /srv/app/plain.fcgi',
        shibd => 'SHIBSP_CONFIG=/srv/sp/shibboleth2.xml SHIBSP_RUNDIR=/srv/sp SHIBSP_LOGDIR=/srv/sp SHIBSP_CACHEDIR=/srv/sp '
            . 'exec /usr/sbin/shibd -f -F -c /srv/sp/shibboleth2.xml -p /srv/sp/pid',
    }->{$what} or die "no program is named $what\n";
    my $pid = fork // die "fork: $!\n";
    if (!$pid) {
        setpgrp;
        open STDOUT, '>', "/tmp/$what.log";
        open STDERR, '>&', \*STDOUT;
        exec 'sh', '-c', $command or POSIX::_exit(127);
    }
    my $there = { plain => sub { IO::Socket::INET->new(PeerAddr => '127.0.0.1:9005') }, shibd => sub { -S '/srv/sp/shibd.sock' } }->{$what};
    for (1 .. 300) {
        last if $there->();
        Time::HiRes::sleep(0.1);
    }
    return $pid;
}

sub after {
    for my $pid (@_) {
        kill TERM => $pid;
        for (1 .. 100) {
            last if waitpid($pid, POSIX::WNOHANG()) == $pid;
            Time::HiRes::sleep(0.1);
        }
        kill KILL => -$pid;
    }
    return;
}

1;
