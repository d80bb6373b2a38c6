use strict;
use warnings;
use lib qw(t/lib xt/lib);
use File::Temp ();
use JSON::PP ();
use Test::More;
use Application;
use Compat;

# LemonLDAP::NG's server: Plack on FCGI::ProcManager, with the portal, the handler for nginx's
# auth_request, and CGI scripts that CGI::Compile turns into functions. It opens its socket itself.

my $SERVER = '/usr/sbin/llng-fastcgi-server';
-x $SERVER or BAIL_OUT("$SERVER is needed (packaging/setup.sh test)");
needs(qw(CGI::Compile CGI::Emulate::PSGI FCGI::ProcManager Lemonldap::NG::Portal Plack::Handler::FCGI));

# Debian's configuration, with other directories and without features that only send mail.
my $folder = File::Temp->newdir;
chmod 0755, $folder;
my $DATA = '/var/lib/lemonldap-ng';
my $write = sub {
    my ($name, $text) = @_;
    open my $file, '>', "$folder/$name" or die "$name: $!";
    print {$file} $text;
    close $file or die "$name: $!";
};
mkdir "$folder/$_" or die "$_: $!" for qw(conf sessions sessions/lock psessions psessions/lock cache run);
{
    open my $file, '<', "$DATA/conf/lmConf-1.json" or die "$DATA/conf: $!";
    my $text = do { local $/; <$file> };
    s{/var/(?:lib|cache)/lemonldap-ng\b}{$folder}g for $text;
    my $settings = JSON::PP::decode_json($text);
    $settings->{$_} = 0 for qw(portalDisplayRegister portalDisplayResetPassword portalDisplayCertificateResetByMail requireToken);
    $write->('conf/lmConf-1.json', JSON::PP->new->canonical->encode($settings));
}
$write->('lemonldap-ng.ini', <<"END");
[all]
logLevel = error
[configuration]
type = File
dirName = $folder/conf
localStorage = Cache::FileCache
localStorageOptions = {'namespace' => 'lemonldap-ng-config', 'default_expires_in' => 600, 'directory_umask' => '007', 'cache_root' => '$folder/cache', 'cache_depth' => 3}
[portal]
staticPrefix = /static
templateDir = /usr/share/lemonldap-ng/portal/templates
END
$write->('script.cgi', <<'END');
use CGI;
my $q = CGI->new;
print $q->header('text/plain'), 'a script for ', scalar $q->param('who'), "\n";
print STDERR "said to the log\n";
exit 0;
END
system('chown', '-R', 'www-data', "$folder") == 0 or die "chown: $?";

sub start {
    my ($environment) = @_;
    return application(
        command     => [ $SERVER, qw(-u www-data -g www-data --foreground -n 2), '-s', "$folder/run/socket", '--pid', "$folder/run/pid" ],
        in          => '/',
        address     => "$folder/run/socket",
        environment => {
            # Headers are in the order of a hash.
            %$environment, PERL_HASH_SEED => 0, LLNG_DEFAULTCONFFILE => "$folder/lemonldap-ng.ini", LLNG_DEFAULTLOGGER => 'Lemonldap::NG::Common::Logger::Std',
        },
    );
}

sub portal { return page(@_, LLTYPE => 'portal', HTTP_HOST => 'auth.example.com') }

sub protected {
    my (%with) = @_;
    return page('/page', LLTYPE => 'handler', HTTP_HOST => 'test1.example.com', X_ORIGINAL_URI => '/page', %with);
}

my @page = (
    [ portal('/'),                                                           qr/<title trspan="authPortal">/ ],
    [ portal('/nowhere'),                                                    qr/\AStatus: / ],
    [ protected(),                                                           qr/\AStatus: 401 / ],
    [ portal('/', body => 'user=dwho&password=wrong'),                       qr/^Lm-?|trmsg="5"|alert/mi ],
    [ portal('/', body => 'user=dwho&password=dwho'),                        qr/^Set-Cookie: lemonldap=\w+/m ],
    [ sub { protected(HTTP_COOKIE => $_[4]{stdout} =~ /(lemonldap=\w+)/) },   qr/\AStatus: 200 .*^Auth-User|dwho/ms ],
    [ page('/script.cgi?who=you', LLTYPE => 'cgi', SCRIPT_FILENAME => "$folder/script.cgi"), qr/a script for you/ ],
);
pages_alike('LemonLDAP', \&start, [ map { $_->[0] } @page ],
    workers   => 2,
    contains  => [ map { $_->[1] } @page ],
    anonymous => sub {
        my ($text) = @_;
        # The session.
        $text =~ s/\blemonldap=\w+/lemonldap=SESSION/g;
        # The time and the worker.
        $text =~ s/^\[\w{3} \w{3} [ \d]\d [\d:]{8} \d{4}\] \[LLNG:\d+\]/[WHEN] [LLNG:PID]/mg;
        return $text;
    },
);
undisturbed('LemonLDAP, a CGI script', \&start,
    opens  => 1,
    load   => [ '--uri', '/script.cgi?who=you', map { ('--param', $_) } 'LLTYPE=cgi', "SCRIPT_FILENAME=$folder/script.cgi" ],
    expect => 'a script for you',
);
undisturbed('LemonLDAP, the portal', \&start,
    opens  => 1,
    load   => [ map { ('--param', $_) } 'LLTYPE=portal', 'HTTP_HOST=auth.example.com' ],
    expect => 'authPortal',
);

done_testing;
