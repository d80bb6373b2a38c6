use strict;
use warnings;
use lib qw(t/lib xt/lib);
use Cwd ();
use File::Basename ();
use File::Path ();
use POSIX ();
use Storable ();
use Test::More;
use Compat;
use Workers qw(fcgipm);

# docs/MIGRATING.md: each command and unit is run as written, with a matching program. Only
# directories and the port are replaced.

needs(qw(CGI::Fast Catalyst FCGI::ProcManager Plack::Handler::FCGI));

my $ROOT = Cwd::abs_path('../..');
-x $_ or BAIL_OUT("$_ is needed (packaging/setup.sh test)") for qw(/usr/share/gitweb/gitweb.cgi /usr/lib/munin/cgi/munin-cgi-html /usr/bin/spawn-fcgi);

my %PROGRAM = (
    'daemon.fcgi' => <<'END',
use strict; use warnings; use FCGI; use FCGI::ProcManager;
my $socket = FCGI::OpenSocket(':9005', 100);
my $request = FCGI::Request(\*STDIN, \*STDOUT, \*STDERR, \%ENV, $socket, FCGI::FAIL_ACCEPT_ON_INTR);
my $manager = FCGI::ProcManager->new({ n_processes => 5 });
$manager->pm_manage;
while ($request->Accept >= 0) {
    $manager->pm_pre_dispatch;
    print "Content-Type: text/plain\r\n\r\nworker $$ of ", getppid, " as $>\n";
    $manager->pm_post_dispatch;
}
END
    'script.fcgi' => <<'END',
use strict; use warnings; use CGI::Fast;
while (my $q = CGI::Fast->new) { print $q->header('text/plain'), "worker $$ of ", getppid, " as $>\n" }
END
    'plain.fcgi' => <<'END',
use strict; use warnings; use FCGI;
my $request = FCGI::Request();
while ($request->Accept >= 0) { print "Content-Type: text/plain\r\n\r\nworker $$ of ", getppid, " as $>\n" }
END
    'app.psgi' => <<'END',
sub { return [ 200, [ 'Content-Type' => 'text/plain' ], [ "worker $$ of " . getppid . " as $>\n" ] ] };
END
    'script/myapp_fastcgi.pl' => <<'END',
#!/usr/bin/env perl
use Catalyst::ScriptRunner;
Catalyst::ScriptRunner->run('MyApp', 'FastCGI');
1;
END
    'lib/MyApp.pm' => <<'END',
package MyApp;
use Moose; use namespace::autoclean; use Catalyst;
extends 'Catalyst';
__PACKAGE__->config(name => 'MyApp', encoding => undef);
__PACKAGE__->setup;
1;
END
    'lib/MyApp/Controller/Root.pm' => <<'END',
package MyApp::Controller::Root;
use Moose; use namespace::autoclean;
BEGIN { extends 'Catalyst::Controller' }
__PACKAGE__->config(namespace => '');
sub default : Path { my ($self, $c) = @_; $c->res->body("worker $$ of " . getppid . " as $>\n") }
1;
END
    'munin.conf' => <<'END',
dbdir /srv/app
htmldir /srv/app
logdir /srv/app
rundir /srv/app
tmpldir /etc/munin/templates
staticdir /etc/munin/static
END
    'gitweb.conf' => q($projectroot = '/srv/app';),
    'Makefile.PL' => "# marks the home directory for Catalyst's script\n",
);

# name => [ address, user of the workers with the command, other requirements ]
my %SECTION = (
    'FCGI with FCGI::ProcManager' => [ ':9005',             'root' ],
    'CGI::Fast'                   => [ '/run/app/app.sock', 'root' ],
    'mod_fcgid'                   => [ '127.0.0.1:9005',    'root' ],
    'Plack'                       => [ '/run/app/app.sock', 'root' ],
    'Catalyst'                    => [ '/run/app/app.sock', 'root' ],
    'spawn-fcgi'                  => [ '/run/app/app.sock', 'www-data' ],
    'multiwatch'                  => [ '/run/app/app.sock', 'root' ],
    'Scripts with -T (munin)'     => [
        '/run/app/app.sock', 'munin',
        environment => [ MUNIN_CONFIG => '/srv/app/munin.conf' ], answers => qr/munin-monitoring\.org/,
        before => sub {
            my ($folder) = @_;
            Storable::nstore({ version => '2' }, "$folder/$_.storable") for qw(datafile limits);
        },
    ],
    'Applications whose workers exit on their own (gitweb)' => [
        '/run/app/app.sock', 'root',
        environment => [ GITWEB_CONFIG => '/srv/app/gitweb.conf' ], answers => qr/gitweb.*No projects found/s,
    ],
);

open my $page, '<', "$ROOT/docs/MIGRATING.md" or die "MIGRATING.md: $!";
my $text = do { local $/; <$page> };
my ($library) = $text =~ /^    export (PERL5LIB=\S+)$/m or die 'no PERL5LIB in MIGRATING.md';
my %section = map { /\A([^\n]*)\n(.*)\z/s ? ($1 => $2) : () } split /^## /m, $text;
is_deeply([ sort grep { $section{$_} =~ /^    after /m } keys %section ], [ sort keys %SECTION ], 'this test knows the sections with a command');
my ($frame) = $section{'The unit'} =~ /^(    # \S+\.service\n.*?^    WantedBy=\S+$)/ms or die 'no unit in MIGRATING.md';
my $temporary = File::Temp->newdir;
chmod 0755, $temporary;
my $command = fcgipm();

my $installed = other_users_tree();

# Separate directories, programs and a port; and a sub that puts these into a text.
my $machines = 0;
sub machine {
    my $folder = "$temporary/" . ++$machines;
    my ($port) = free_address() =~ /(\d+)\z/;
    my $place = sub {
        my ($here) = @_;
        $here =~ s{/srv/app\b}{$folder/srv}g;
        $here =~ s{/run/app\b}{$folder/run}g;
        $here =~ s{/opt/fcgipm\b}{$installed}g;
        $here =~ s{/usr/bin/fcgipm\b}{$command}g;
        $here =~ s{:9005\b}{:$port}g;
        return $here;
    };
    File::Path::make_path("$folder/run", map { "$folder/srv/$_" } 'script', 'lib/MyApp/Controller');
    for my $name (keys %PROGRAM) {
        open my $file, '>', "$folder/srv/$name" or die "$name: $!";
        print {$file} $place->($PROGRAM{$name});
        close $file or die "$name: $!";
    }
    chmod 0755, "$folder/srv/script/myapp_fastcgi.pl" or die "chmod: $!";
    return ("$folder/srv", $place);
}

# The directory of the socket, as systemd's RuntimeDirectory.
sub owned_by {
    my ($user, $place) = @_;
    chown +(getpwnam $user)[ 2, 3 ], map { $place->($_) } '/run/app', '/srv/app' or die "chown: $!";
    return;
}

sub ask {
    my ($name, $daemon, $user, %with) = @_;
    my $answer = $daemon->ask(
        params => [
            REQUEST_METHOD => 'GET', REQUEST_URI => '/', SCRIPT_NAME => '', PATH_INFO => '/', QUERY_STRING => '', SERVER_NAME => 'here',
            SERVER_PORT => 80, SERVER_PROTOCOL => 'HTTP/1.1', HTTP_HOST => 'here', REMOTE_ADDR => '127.0.0.1', @{ $with{environment} || [] },
        ],
    );
    my ($id, $manager) = (scalar getpwnam $user, $daemon->pid);
    is($daemon->{real_id}, $id, "$name: the workers are $user") if defined $daemon->{real_id};
    return like($answer->{stdout}, $with{answers} || qr/^worker \d+ of $manager as $id$/m, "$name: a worker answers, as $user");
}

sub started {
    my ($in, $place, $address, @command) = @_;
    $address = $place->($address) =~ s/\A:/127.0.0.1:/r;
    my $daemon = Daemon->start(command => [@command], in => $in, address => $address);
    my $worker = $daemon->wait_for(qr/^FastCGI: server \(pid (\d+)\): initialized|^fcgipm: .*worker \(pid \d+\) ready/);
    $daemon->{real_id} = (stat "/proc/$worker")[4] if defined $worker;
    return $daemon;
}

sub stopped {
    my ($name, $daemon) = @_;
    is($daemon->stop, 0, "$name: TERM stops it with status 0") or diag($daemon->log);
    unlike($daemon->log, qr/status [1-9]/, "$name: no worker failed");
    return;
}

for my $name (sort keys %SECTION) {
    my ($address, $user, %with) = @{ $SECTION{$name} };
    my $variables = $with{environment} || [];
    my $needed = sub {
        my ($place, @pairs) = ($_[0], @$variables);
        my @list;
        while (my ($variable, $value) = splice @pairs, 0, 2) { push @list, "$variable=" . $place->($value) }
        return @list;
    };
    my ($after, @more) = $section{$name} =~ /^    after +(\S.*)$/mg;
    ok(defined $after && !@more, "$name: has one command") or next;
    like($section{$name}, qr/^    before +\S/m, "$name: has the command before the migration");
    {
        my ($in, $place) = machine();
        $with{before}->($in) if $with{before};
        owned_by($user, $place);
        my $shell = $place->("export $library; exec env $after");
        local $ENV{PATH} = File::Basename::dirname($command) . ":$ENV{PATH}";
        my $daemon = started($in, $place, $address, 'env', '-u', 'FCGI_SOCKET_PATH', $needed->($place), 'sh', '-c', $shell);
        ask($name, $daemon, $user, %with, environment => [ map { $place->($_) } @$variables ]);
        stopped($name, $daemon);
    }

    my @lines = $section{$name} =~ /^((?:    \w+=.*\n)*    ExecStart=.*\n)/mg;
    is(scalar @lines, 1, "$name: has the lines of one unit");
    my $text_of_unit = $frame =~ s/^    # The lines of the section\.\n/$lines[0]/mr;
    my %unit;
    push @{ $unit{$1} }, $2 while $text_of_unit =~ /^    (\w+)=(.*)$/mg;
    is_deeply([ @unit{qw(Type RuntimeDirectory KillMode)} ], [ ['notify'], ['app'], ['process'] ], "$name: the unit is for a manager in the foreground");
    # The last one counts.
    my $its_user = ($unit{User} || [])->[-1];
    ok(defined $its_user && $its_user ne 'root', "$name: the user is not root");
    my ($in, $place) = machine();
    $with{before}->($in) if $with{before};
    is($place->($unit{WorkingDirectory}[0]), $in, "$name: in the directory of the application");
    # As systemd does: the user owns the directory, and the environment has nothing else.
    owned_by($its_user, $place);
    my @become = ('/usr/bin/setpriv', '--reuid', $its_user, '--regid', $its_user, '--init-groups');
    my @environment = map { $place->($_) } 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin', @{ $unit{Environment} || [] };
    my ($start) = map { $place->($_) } @{ $unit{ExecStart} };
    my $daemon = started($in, $place, $address, '/usr/bin/env', '-i', @environment, $needed->($place), @become, split ' ', $start);
    my %asked = (%with, environment => [ map { $place->($_) } @$variables ]);
    ask("$name, unit", $daemon, $its_user, %asked);
    {
        my $pid = $daemon->pid;
        my ($file, @arguments) = split ' ', $unit{ExecReload}[0] =~ s/\$MAINPID/$pid/r;
        is($file, '/usr/bin/fcgipm', "$name, unit: ExecReload waits for the reload");
        # The log is read meanwhile: another user's pipe has room for a few lines only.
        my $reload = fork // die "fork: $!";
        exec $command, @arguments or POSIX::_exit(127) if !$reload;
        $daemon->wait_for(qr/reload done/);
        waitpid $reload, 0;
        is($?, 0, "$name, unit: the reload succeeds");
    }
    ask("$name, unit, after a reload", $daemon, $its_user, %asked);
    stopped("$name, unit", $daemon);
}

done_testing;
