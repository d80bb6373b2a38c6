package pages_table;

# What each block of the pages is: `do` names a sub of pages.pl, or is `none` with a reason. The first entry whose `like`
# matches the block counts.
use strict;
use warnings;

my $WORKER = qr/^worker \d+/m;
my $APP    = '/run/app/app.sock';

sub entries {
    my ($page, @list) = @_;
    return map { { page => $page, %$_ } } @list;
}

our @TABLE = (
    entries(
        'README.md',
        { like => qr/^make deb\n/, do => 'none', reason => 'part `build` builds them, and this root has installed them with apt' },
        { like => qr/^make cpan\n/, do => 'none', reason => 'part `cpan` builds and installs the archive' },
        { like => qr/^make build\nsudo make install/, do => 'none', reason => 'not the installed packages: the tests of the build tree install into a directory' },
        { like => qr/^FCGI_SOCKET_PATH=\S+ perl \S+daemon\.fcgi &\n/, do => 'run', listens => [ '127.0.0.1:9005', '127.0.0.1:8080' ] },
        { like => qr/^curl http:.*\n.*fcgipm status.*\nfcgipm reload/, do => 'run', stop => 1 },
        { like => qr/^use FCGI; +use FCGIPM;/, do => 'none', reason => 'two programs side by side; the complete one is daemon.fcgi, which is executed' },
        { like => qr/^#include <stdio\.h>/, do => 'file', to => '/srv/app/app.c' },
        { like => qr/^cc app\.c /, do => 'run', then => './app', address => ':9005', answers => qr/^Hello$/m },
        {   like => qr/^fcgipm run --listen :9005 --workers 4 -- /, do => 'serve',
            each => sub {
                my ($command) = @_;
                return $command =~ /php/
                    ? { answers => qr/a page for you/, no_reload => 1, params => [ REDIRECT_STATUS => 200, SCRIPT_FILENAME => '/srv/app/page.php', QUERY_STRING => 'who=you' ] }
                    : $command =~ /--config/ ? { address => $APP, answers => qr/short and stout/, params => [ SCRIPT_FILENAME => '/srv/app/page' ] }
                    :                          { answers => qr/short and stout/, params => [ SCRIPT_FILENAME => '/srv/app/page' ] };
            },
        },
        { like => qr/^upstream application/, do => 'nginx' },
        { like => qr/^ProxyPassMatch/, do => 'none', reason => 'a line of Apache\'s configuration, which the tests of the build tree run behind Apache' },
        { like => qr/^fcgipm gateway /, do => 'run', before => 'plain', background => qr/^fcgipm gateway/, stop => 1 },
        { like => qr/^make bench/, do => 'none', reason => 'measures the build tree' },
        { like => qr/^make build +#/, do => 'none', reason => 'for developers, in the source tree' },
    ),
    entries(
        'docs/MIGRATING.md',
        { like => qr{\A# /etc/systemd/system/app\.service}, do => 'unit_frame' },
        { like => qr/\A(?:\w+=.*\n)*ExecStart=/, do => 'unit_lines' },
        { like => qr{\A# /etc/fcgipm/app\.env}, do => 'perl_env', answers => $WORKER },
        { like => qr/^export PERL5LIB=/, do => 'run' },
        { like => qr/^before +perl daemon\.fcgi/, do => 'migrate', address => ':9005', answers => $WORKER },
        { like => qr/^after .*munin-cgi-html/m, do => 'migrate', answers => qr/munin-monitoring\.org/ },
        { like => qr/^after .*gitweb\.cgi/m, do => 'migrate', answers => qr/gitweb/ },
        { like => qr/^after /m, do => 'migrate', answers => $WORKER },
        { like => qr/^ScriptAlias/, do => 'none', reason => 'Apache\'s configuration, which the tests of the build tree run behind Apache' },
        { like => qr/^"-T" is on/, do => 'none', reason => 'an error message of perl' },
        { like => qr/^PERL5OPT=.* -MFCGI::ProcManager -e/, do => 'run', fails => 1, says => qr/FCGIPM::Compat/ },
        { like => qr/^perl -MFCGIPM::Compat -MFCGI -MFCGI::ProcManager -e/, do => 'run', fails => 1, says => qr/Unimplemented/ },
    ),
    entries(
        'docs/PROGRAMS.md',
        { like => qr/\A# \S+\.toml/, do => 'pools', answers => qr/short and stout/, params => [ SCRIPT_FILENAME => '/srv/app/page' ] },
        { like => qr/PROGRAM ARGS/, do => 'none', reason => 'names no program' },
        { like => qr/\A(?:\S+=\S+ )?spawn-fcgi /, do => 'none', reason => 'what ran before: not a command of this project' },
        { like => qr{-- /usr/sbin/fcgiwrap}, do => 'serve', answers => qr/short and stout/, params => [ SCRIPT_FILENAME => '/srv/app/page' ] },
        {   like => qr{cgi-bin/mapserv$}m, do => 'serve', answers => qr{Content-Type: image/png}i,
            params => [ QUERY_STRING => 'mode=map' ],
        },
        { like => qr{^# /srv/maps/mapserver\.conf}, do => 'file', to => '/srv/maps/mapserver.conf' },
        { like => qr{cgi-bin/mapcache}, do => 'serve', answers => qr{1\.0\.0/city\@WGS84}, params => [ PATH_INFO => '/tms/1.0.0/', SCRIPT_NAME => '/cache' ] },
        {   like => qr{qgis_mapserv}, do => 'serve', answers => qr{<Title>The city</Title>},
            params => [ QUERY_STRING => 'SERVICE=WMS&VERSION=1.3.0&REQUEST=GetCapabilities' ],
        },
        { like => qr{iipsrv}, do => 'serve', answers => qr{Max-size:256 256}, params => [ QUERY_STRING => 'FIF=grey.tif&obj=IIP,1.0&obj=Max-size' ] },
        {   like => qr{shibresponder}, do => 'serve', before => 'shibd',
            each => sub {
                return $_[0] =~ /shibauthorizer/
                    ? { answers => qr/Status: 200 OK/, params => [ ROLE => 'AUTHORIZER', REQUEST_URI => '/open' ] }
                    : { answers => qr/A valid session was not found/, params => [ REQUEST_URI => '/Shibboleth.sso/Session' ] };
            },
        },
        { like => qr{^/usr/bin/fcgipm\n}, do => 'none', reason => 'names of files, which differ with the directory of libraries' },
        {   like => qr/-- php-cgi$/m, do => 'serve', no_reload => 1, answers => qr/a page for you/,
            params => [ REDIRECT_STATUS => 200, SCRIPT_FILENAME => '/srv/app/page.php', QUERY_STRING => 'who=you' ],
        },
    ),
);

1;
