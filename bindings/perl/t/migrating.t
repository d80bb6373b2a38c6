use strict;
use warnings;
use lib 't/lib';
use Cwd ();
use File::Path ();
use Test::More;
use Compat;

# docs/MIGRATING.md: each of its commands and units is run as it is written, on a program of its kind. Only the
# folders and the port are others.

needs(qw(CGI::Fast Catalyst FCGI::ProcManager Plack::Handler::FCGI));

my $ROOT = Cwd::abs_path('../..');

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
    'Makefile.PL' => "# by which Catalyst's script knows its home\n",
);

# name => [ what answers at the end, the user it is: the units' User= is systemd's affair ]
my %SECTION = (
    'FCGI with FCGI::ProcManager' => [ ':9005',             'root' ],
    'CGI::Fast'                   => [ '/run/app/app.sock', 'root' ],
    'mod_fcgid'                   => [ '127.0.0.1:9005',    'root' ],
    'Plack'                       => [ '/run/app/app.sock', 'root' ],
    'Catalyst'                    => [ '/run/app/app.sock', 'root' ],
    'spawn-fcgi'                  => [ '/run/app/app.sock', 'www-data' ],
);

open my $page, '<', "$ROOT/docs/MIGRATING.md" or die "MIGRATING.md: $!";
my $text = do { local $/; <$page> };
my ($library) = $text =~ /^    export (PERL5LIB=\S+)$/m or die 'no PERL5LIB in MIGRATING.md';
my %said = map { /\A([^\n]*)\n(.*)\z/s ? ($1 => $2) : () } split /^## /m, $text;
is_deeply([ sort grep { $said{$_} =~ /^    after /m } keys %said ], [ sort keys %SECTION ], 'the sections that have an after are known here');
my $temporary = File::Temp->newdir;
chmod 0755, $temporary;

# A machine of its own: folders, programs, a port; and a text with those put into it.
my $machines = 0;
sub machine {
    my $folder = "$temporary/" . ++$machines;
    my ($port) = free_address() =~ /(\d+)\z/;
    my $place = sub {
        my ($here) = @_;
        $here =~ s{/srv/app\b}{$folder/srv}g;
        $here =~ s{/run/app\b}{$folder/run}g;
        $here =~ s{/opt/fcgipm\b}{$ROOT}g;
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

sub ask {
    my ($name, $daemon, $user) = @_;
    my $answer = $daemon->ask(
        params => [
            REQUEST_METHOD => 'GET', REQUEST_URI => '/', SCRIPT_NAME => '', PATH_INFO => '/', QUERY_STRING => '', SERVER_NAME => 'here',
            SERVER_PORT => 80, SERVER_PROTOCOL => 'HTTP/1.1', HTTP_HOST => 'here', REMOTE_ADDR => '127.0.0.1',
        ],
    );
    my ($id, $manager) = (scalar getpwnam $user, $daemon->pid);
    return like($answer->{stdout}, qr/^worker \d+ of $manager as $id$/m, "$name: a worker answers, as $user");
}

sub started {
    my ($in, $place, $address, @command) = @_;
    $address = $place->($address) =~ s/\A:/127.0.0.1:/r;
    my $daemon = Daemon->start(command => [@command], in => $in, address => $address);
    $daemon->wait_for(qr/^FastCGI: server .*initialized/);
    return $daemon;
}

sub stopped {
    my ($name, $daemon) = @_;
    is($daemon->stop, 0, "$name: TERM ends it with 0") or diag($daemon->log);
    unlike($daemon->log, qr/status [1-9]/, "$name: no worker failed");
    return;
}

for my $name (sort keys %SECTION) {
    my ($address, $user) = @{ $SECTION{$name} };
    my ($after, @more) = $said{$name} =~ /^    after +(\S.*)$/mg;
    ok(defined $after && !@more, "$name: one command") or next;
    like($said{$name}, qr/^    before +\S/m, "$name: and one as it was");
    {
        my ($in, $place) = machine();
        my $shell = $place->("export $library; exec env $after");
        my $daemon = started($in, $place, $address, 'env', '-u', 'FCGI_SOCKET_PATH', 'sh', '-c', $shell);
        ask($name, $daemon, $user);
        stopped($name, $daemon);
    }

    my @units = $said{$name} =~ /^(    \[Unit\]\n.*?^    WantedBy=\S+$)/msg;
    is(scalar @units, 1, "$name: one unit");
    my %unit;
    push @{ $unit{$1} }, $2 while $units[0] =~ /^    (\w+)=(.*)$/mg;
    is_deeply([ @unit{qw(Type RuntimeDirectory KillMode)} ], [ ['exec'], ['app'], ['mixed'] ], "$name: the unit is of a manager in the foreground");
    is(scalar @{ $unit{User} || $unit{Environment} && [ grep { /\AFCGIPM_USER=/ } @{ $unit{Environment} } ] }, 1, "$name: whose workers are not root");
    my ($in, $place) = machine();
    is($place->($unit{WorkingDirectory}[0]), $in, "$name: in the folder of the application");
    # What systemd gives it, and nothing else.
    my @environment = map { $place->($_) } 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin', @{ $unit{Environment} };
    my ($start) = map { $place->($_) } @{ $unit{ExecStart} };
    my $daemon = started($in, $place, $address, '/usr/bin/env', '-i', @environment, split ' ', $start);
    ask("$name, unit", $daemon, $user);
    {
        local $ENV{MAINPID} = $daemon->pid;
        is(system($unit{ExecReload}[0]), 0, "$name, unit: ExecReload");
    }
    $daemon->wait_for(qr/reload done/);
    ask("$name, unit, after it", $daemon, $user);
    stopped("$name, unit", $daemon);
}

done_testing;
