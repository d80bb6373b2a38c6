use strict;
use warnings;
use lib qw(t/lib xt/lib);
use Cwd ();
use File::Temp ();
use IO::Socket::INET;
use Test::More;
use Compat;

# The section on mod_fcgid in docs/MIGRATING.md, behind Apache: the script's environment before and
# after the migration. The page's table has every variable that differs.

my ($APACHE, $MODULES) = ('/usr/sbin/apache2', '/usr/lib/apache2/modules');
-e $_ or BAIL_OUT("$_ is needed (packaging/setup.sh test)") for $APACHE, "$MODULES/mod_fcgid.so";
needs('CGI::Fast');

open my $page, '<', Cwd::abs_path('../..') . '/docs/MIGRATING.md' or die "MIGRATING.md: $!";
my ($section) = do { local $/; <$page> } =~ /^## mod_fcgid\n(.*?)^## /ms or die 'no section on mod_fcgid';
my ($before) = $section =~ /^    before    (.*?)\n\n/ms or die 'no configuration before';
my ($command) = $section =~ /^    after     (\S.*)$/m or die 'no command';
my ($after) = $section =~ /^( {14}ScriptAlias.*?)\n\n/ms or die 'no configuration after';
my @listed = $section =~ /^\| (\w+)/mg;
shift @listed;    # the heading of the table

my $folder = File::Temp->newdir;
chmod 0777, $folder;
mkdir "$folder/$_" or die "$_: $!" for qw(srv before after);
chmod 0777, "$folder/$_" for qw(before after);
open my $script, '>', "$folder/srv/script.fcgi" or die "script: $!";
print {$script} <<'END';
use strict; use warnings; use CGI::Fast;
$CGI::POST_MAX = 1000;
while (my $q = CGI::Fast->new) {
    print $q->header('text/plain'), map({ "$_=$ENV{$_}\n" } sort keys %ENV), 'parameters ', join ',', map { "$_ " . $q->param($_) } sort $q->param;
}
END
close $script or die "script: $!";
chmod 0755, "$folder/srv/script.fcgi";

my ($port) = free_address() =~ /(\d+)\z/;
sub here { return $_[0] =~ s{/srv/app\b}{$folder/srv}gr =~ s{:9005\b}{:$port}gr }

# Apache with this configuration; returns its address.
sub apache {
    my ($name, $modules, $configuration) = @_;
    my $address = free_address();
    my $load = join "\n", map { "LoadModule ${_}_module $MODULES/mod_$_.so" } qw(mpm_event authz_core alias), @$modules;
    open my $file, '>', "$folder/$name.conf" or die "$name.conf: $!";
    print {$file} <<"END";
ServerRoot "$folder/$name"
DocumentRoot "$folder/srv"
ServerName localhost
DefaultRuntimeDir "$folder/$name"
PidFile "$folder/$name/pid"
ErrorLog "$folder/$name/error.log"
Listen $address
User www-data
Group www-data
StartServers 1
$load
@{[ here($configuration) ]}
END
    close $file or die "$name.conf: $!";
    my $daemon = Daemon->start(command => [ $APACHE, '-D', 'FOREGROUND', '-f', "$folder/$name.conf" ], in => "$folder", address => $address, own_group => 1);
    until (IO::Socket::INET->new(PeerAddr => $address)) {
        waitpid($daemon->pid, 1) == 0 or die "Apache has ended: " . `cat $folder/$name/error.log`;
        select undef, undef, undef, 0.01;
    }
    return $daemon;
}

# The variables of a response, and the parameters that the script has read.
sub ask {
    my ($daemon, $request) = @_;
    my $address = $daemon->address;
    my $connection = IO::Socket::INET->new(PeerAddr => $address) or die "$address: $!";
    print {$connection} "$request->[0] HTTP/1.0\r\nHost: here.example\r\n", map({ "$_\r\n" } @{ $request->[1] || [] }), "\r\n", $request->[2] // '';
    my ($head, $body) = split /\r\n\r\n/, do { local $/; <$connection> }, 2;
    $head =~ m{\AHTTP/1\.1 200 } or return { head => $head, body => $body };
    my %variable = map { /\A(\w+)=(.*)\z/s ? ($1 => $2) : (REST => $_) } split /\n/, $body;
    return \%variable;
}

my @request = (
    [ 'GET /app' ],
    [ 'GET /app/' ],
    [ 'GET /app/some%20path/deeper?a=1&b=%2F;c' ],
    [ 'GET /app//double/../up?x', [ 'Cookie: a=b', 'X-Under_Score: 1', 'Proxy: evil', 'Authorization: Basic YTpi', 'User-Agent: a test' ] ],
    [ 'GET /app', ['Connection: keep-alive'] ],
    [ 'POST /app/form', [ 'Content-Type: application/x-www-form-urlencoded', 'Content-Length: 11' ], 'one=1&two=2' ],
    [ 'PUT /app/nothing', ['Content-Length: 0'] ],
);

my %answers;
{
    my $server = apache(before => ['fcgid'], "FcgidIPCDir $folder/before\nFcgidProcessTableFile $folder/before/table\n$before");
    $answers{before} = [ map { ask($server, $_) } @request ];
    $server->stop;
}
{
    my $shell = here("exec env $command");
    my $program = Daemon->start(command => [ 'env', '-u', 'FCGI_SOCKET_PATH', 'sh', '-c', $shell ], in => "$folder/srv", address => "127.0.0.1:$port",
        environment => { PERL5LIB => compat_environment()->{PERL5LIB} });
    $program->wait_for(qr/server \(pid \d+\): initialized/);
    my $server = apache(after => [qw(proxy proxy_fcgi)], $after);
    $answers{after} = [ map { ask($server, $_) } @request ];
    $server->stop;
    is($program->stop, 0, 'the program is stopped');
}

my %differing;
for my $i (0 .. $#request) {
    my ($was, $is) = map { $answers{$_}[$i] } qw(before after);
    ok($was->{SCRIPT_FILENAME}, "$request[$i][0]: answered with mod_fcgid") or diag(explain($was));
    # The ports of the client and of Apache.
    delete @$_{qw(REMOTE_PORT SERVER_PORT)} for $was, $is;
    is($is->{SCRIPT_FILENAME}, "$folder/srv/script.fcgi", "$request[$i][0]: SCRIPT_FILENAME is the script");
    is($is->{$_}, $was->{$_}, "$request[$i][0]: $_") for qw(SCRIPT_NAME PATH_INFO PATH_TRANSLATED QUERY_STRING REQUEST_URI REST);
    for my $variable (keys %{ { %$was, %$is } }) {
        my ($old, $new) = map { $_->{$variable} // 'missing' } $was, $is;
        push @{ $differing{$variable} }, "$old, then $new" if $old ne $new;
    }
}
is_deeply([ sort keys %differing ], [ sort @listed ], 'the page has a row for each variable that differs') or diag(explain(\%differing));
like($differing{SERVER_SOFTWARE}[0], qr{\A(\S+.*) mod_fcgid/[\d.]+, then \1\z}, 'SERVER_SOFTWARE as the page says');
is_deeply($differing{HTTP_CONNECTION}, [ ('close, then missing') x 4, 'close, then keep-alive', ('close, then missing') x 2 ], 'HTTP_CONNECTION as the page says');
is_deeply($differing{CONTENT_LENGTH}, [ ('0, then missing') x 5 ], 'CONTENT_LENGTH as the page says');

done_testing;
