use strict;
use warnings;
use lib qw(t/lib xt/lib);
use POSIX ();
use Test::More;
use Compat;
use Program ();
use Workers qw(worker_of);

# plackup -s FCGI, on the originals and under FCGIPM::Compat: the same behaviour. And what only
# FCGIPM::Compat provides.

needs(qw(FCGI::ProcManager Plack::Handler::FCGI Server::Starter));

my $APPLICATION = <<'END';
use strict;
use warnings;
my $reports = \*STDERR;
if ($ENV{REPORTS}) { undef $reports; open $reports, '>>', $ENV{REPORTS} or die "$ENV{REPORTS}: $!" }
sub report { syswrite $reports, "$_[0]\n" }
my ($loader, $gate, $loaded) = ($$, $ENV{GATE}, $ENV{LOADED} // '');
my $served = 0;
my %page = (
    '/env' => sub {
        my ($env) = @_;
        delete @$env{qw(psgi.input psgi.errors)};
        return map { my $value = $env->{$_}; "$_=" . (ref $value ? ref $value : $value // 'undef') . "\n" } sort keys %$env;
    },
    '/body'     => sub { my ($env) = @_; $env->{'psgi.input'}->read(my $body, $env->{CONTENT_LENGTH}); return "body $body\n" },
    '/lines'    => sub { my ($env) = @_; my $in = $env->{'psgi.input'}; my @lines; while (defined(my $line = $in->getline)) { push @lines, $line } return "@lines" },
    '/errors'   => sub { $_[0]{'psgi.errors'}->print("to psgi.errors\n"); return 'said' },
    '/stderr'   => sub { print STDERR "to STDERR\n"; warn "to warn\n"; return 'said' },
    '/harakiri' => sub { $_[0]{'psgix.harakiri.commit'} = 1; return 'bye' },
    '/cleanup'  => sub { push @{ $_[0]{'psgix.cleanup.handlers'} }, sub { report("cleanup by $$") }; return 'later' },
    '/long'     => sub {
        push @{ $_[0]{'psgix.cleanup.handlers'} }, sub {
            report("cleaning up by $$");
            my $file;
            until (open $file, '<', $gate) { $!{EINTR} or die "$gate: $!" }
            report("cleaned up by $$");
        };
        return 'later';
    },
    '/exit'     => sub { exit 3 },
    '/environ'  => sub { return `printf '%s' "\$REQUEST_URI"` },
);
sub {
    my ($env) = @_;
    my $path = $env->{PATH_INFO};
    my $type = [ 'Content-Type' => 'text/plain' ];
    $served++;
    if ($path eq '/stream') {
        return sub {
            my $writer = $_[0]->([ 200, $type ]);
            $writer->write("part $_\n") for 1 .. 3;
            $writer->close;
        };
    }
    return sub { $_[0]->([ 201, $type, ['delayed'] ]) } if $path eq '/delayed';
    if ($path eq '/file') { open my $file, '<', \ "a\nfile\n"; return [ 200, $type, $file ] }
    die "asked to\n" if $path eq '/die';
    my $page = $page{$path} || sub { "page $path\n" };
    return [ 200, $type, [ "worker $$ of $loader, $loaded", "\n", $page->($env) ] ];
};
END

my @PAGES = qw(/ /env /body /lines /errors /stderr /cleanup /stream /delayed /file /environ /harakiri /die / /exit /);

# %with: environment, options (for plackup), starter (options of start_server), as Daemon->start.
sub plack {
    my (%with) = @_;
    my $folder = $with{folder} || File::Temp->newdir;
    open my $file, '>', "$folder/application.psgi" or die "application: $!";
    print {$file} $APPLICATION;
    close $file or die "application: $!";
    my $options = $with{options} || [];
    my $daemon = Daemon->start(
        %with,
        file      => '/usr/bin/plackup',
        arguments => sub {
            my ($listen) = @_;
            return (qw(-E production -s FCGI), ($with{unheard} ? () : ('--listen', $listen)), @$options, "$folder/application.psgi");
        },
    );
    $daemon->{folder} = $folder;
    return $daemon;
}

sub ask {
    my ($daemon, $path, %request) = @_;
    return $daemon->ask(
        params => [
            REQUEST_METHOD => 'POST', REQUEST_URI => $path, SCRIPT_NAME => '', PATH_INFO => $path, QUERY_STRING => '',
            SERVER_NAME => 'here', SERVER_PORT => 80, SERVER_PROTOCOL => 'HTTP/1.1', CONTENT_LENGTH => 8, CONTENT_TYPE => '', HTTPS => 'on',
        ],
        stdin => "one\ntwo\n",
        %request,
    );
}

sub anonymous {
    my ($text) = @_;
    $text =~ s{/tmp/\w+}{FOLDER}g;
    $text =~ s/\b(pid|worker|of|by|server \(pid|PIDs,)(?: \d+)+/$1 N/g;
    return $text;
}

# Waits until $gone workers have exited and their replacements wait in Accept. Before that, the
# original may lose a signal or fail.
sub settle {
    my ($daemon, $number, $gone) = @_;
    for (;;) {
        my %alive = map { $_ => 1 } $daemon->log =~ /server \(pid (\d+)\): initialized/g;
        my @exited = $daemon->log =~ /server \(pid (\d+)\) exited/g;
        delete @alive{@exited};
        if (@exited == $gone && keys %alive == $number) {
            Program::wait_until_idle($_) for keys %alive;
            return;
        }
        $daemon->wait_for(qr/: initialized| exited /);
    }
}

sub whole_life {
    my ($options, $environment, $number) = @_;
    my $daemon = plack(address => '', options => $options, environment => $environment);
    # This is the first line that shows that the application is loaded.
    $daemon->wait_for(qr/^FastCGI: server .*initialized/) for 1 .. $number;
    my @answers = map { anonymous(join '', "== $_\n", @{ ask($daemon, $_) }{qw(stdout stderr ended app_status)}) } @PAGES;
    settle($daemon, $number, 2);
    my $status = $daemon->stop;
    # The original does not log that no worker is ready.
    my @log = grep { !/: (?:emergency: no worker is ready|a worker is ready again)\z/ } split /\n/, anonymous($daemon->log);
    return { answers => \@answers, log => [ sort @log ], status => $status };
}

for my $options ([qw(--nproc 2)], [qw(--nproc 1 --keep-stderr 1)], [qw(--nproc 1 --proc-title shop --backlog 20 --leave-umask 1)]) {
    my $number = $options->[1];
    my $original = whole_life($options, {}, $number);
    my $ours = whole_life($options, compat_environment(), $number);
    is_deeply($ours, $original, "plackup @$options: pages, log and exit status are the original's")
        or diag(explain({ ours => $ours, original => $original }));
    is($ours->{status}, 0, 'the exit status is 0');
    like($ours->{answers}[1], qr/psgix\.harakiri=1/, 'psgix.harakiri');
}

# The original stays in accept(2) in this case, until it is killed after a minute.
{
    my $daemon = plack(options => [qw(--nproc 1 --nointr 1)], environment => compat_environment());
    my $old = worker_of(ask($daemon, '/'));
    $daemon->signal('HUP');
    $daemon->wait_for(qr/server \(pid $old\) exited with status 0/);
    isnt(worker_of(ask($daemon, '/')), $old, '--nointr: HUP replaces the worker');
    is($daemon->stop, 0, 'TERM stops it');
}

# A subclass of the manager.
{
    my $folder = File::Temp->newdir;
    mkdir "$folder/lib";
    open my $file, '>', "$folder/lib/Manager.pm" or die;
    print {$file} <<'END';
package Manager;
use parent 'FCGI::ProcManager';
sub handling_init { my ($self) = @_; $self->SUPER::handling_init; $ENV{HANDLED} = 1; $self->pm_notify("handling $_[0]{pid_fname}"); return }
sub pm_post_dispatch { my ($self) = @_; $self->pm_notify('after the request'); return $self->SUPER::pm_post_dispatch }
1;
END
    close $file;
    my @life;
    for my $environment ({}, compat_environment()) {
        my $daemon = plack(
            folder  => $folder, address => '', environment => { %$environment, PERL5LIB => "$folder/lib:" . ($environment->{PERL5LIB} // '') },
            options => [ qw(--nproc 1 --manager Manager --pid), "$folder/pid" ],
        );
        $daemon->wait_for(qr/server .*initialized/);
        open my $pid, '<', "$folder/pid" or die "pid file: $!";
        chomp(my $number = <$pid>);
        my $is_managers = $number == $daemon->pid;
        my @answers = map { anonymous(ask($daemon, $_)->{stdout}) } '/', '/cleanup';
        settle($daemon, 1, 0);
        my $status = $daemon->stop;
        push @life, [ $is_managers, @answers, $status, sort split(/\n/, anonymous($daemon->log)), -e "$folder/pid" ? 'left' : 'removed' ];
    }
    is_deeply($life[1], $life[0], '--manager, a subclass, and --pid') or diag(explain(\@life));
    is($life[1][-1], 'removed', 'the pid file is removed');
}

# In the background.
for my $environment ({}, compat_environment()) {
    my $what = $environment->{PERL5OPT} ? 'Compat' : 'the original';
    my $folder = File::Temp->newdir;
    POSIX::mkfifo("$folder/reports", 0600) or die "mkfifo: $!";
    my $daemon = plack(
        folder  => $folder, address => '', environment => { %$environment, REPORTS => "$folder/reports" },
        options => [ qw(--nproc 2 --daemonize --pid), "$folder/pid" ],
    );
    # open waits for a writer; reading ends when the last process of the daemon has exited.
    local $SIG{ALRM} = sub { die 'the daemon hangs; its log: ', $daemon->log };
    alarm 30;
    open my $reports, '<', "$folder/reports" or die "reports: $!";
    alarm 0;
    my $started = $daemon->pid;
    is($daemon->ended, 0, "$what, --daemonize: the started process exits with status 0");
    my $answer = ask($daemon, '/');
    like($answer->{stdout}, qr/worker \d+/, 'the daemon serves');
    open my $pid, '<', "$folder/pid" or die "pid file: $!";
    chomp(my $manager = <$pid>);
    isnt($manager, $started, 'another process is the manager');
    kill TERM => $manager;
    alarm 30;
    my @rest = <$reports>;
    alarm 0;
    ok(!-e "$folder/pid", 'TERM stops it');
    ok(!-e $daemon->dir . '/socket', 'its socket file is removed') if $environment->{PERL5OPT};
}

# Reloads of a preloaded application lose no request.
for my $address ('', free_address()) {
    my $what = $address ? 'TCP' : 'unix';
    my $daemon = plack(address => $address, options => [qw(--nproc 3)], environment => compat_environment());
    $daemon->wait_for(qr/server .*initialized/) for 1 .. 3;
    my $answer = ask($daemon, '/');
    like($answer->{stdout}, qr/worker \d+ of @{[ $daemon->pid ]},/, "$what: loaded by the manager");
    my $old = worker_of($answer);
    reloads("$what, preloaded", $daemon, 5, expect => 'worker', keep => !!$address);
    isnt(worker_of(ask($daemon, '/')), $old, "$what: new workers");
    is($daemon->stop, 0, "$what: TERM stops it with status 0");
    ok(!-e $daemon->dir . '/socket', "$what: the socket file is removed") if !$address;
}

# A worker that is asked to exit while it runs cleanup handlers, under local $SIG{TERM}.
for my $from ('the manager', 'outside') {
    my $folder = File::Temp->newdir;
    POSIX::mkfifo("$folder/gate", 0600) or die "mkfifo: $!";
    my $daemon = plack(options => [qw(--nproc 1)], environment => compat_environment(GATE => "$folder/gate"));
    my $old = worker_of(ask($daemon, '/long'));
    $daemon->wait_for(qr/^cleaning up by $old/);
    if ($from eq 'outside') { kill TERM => $old }
    else                    { $daemon->signal('HUP'); $daemon->wait_for(qr/all new workers are ready/) }
    open my $gate, '>', "$folder/gate" or die "gate: $!";
    $daemon->wait_for(qr/^cleaned up by $old/);
    close $gate;
    $daemon->wait_for(qr/server \(pid $old\) exited with status 0/);
    isnt(worker_of(ask($daemon, '/')), $old, "asked to exit by $from during cleanup: finishes, exits, is replaced");
    is($daemon->stop, 0, 'TERM stops it');
}

# Harakiri on a keep-alive connection: another worker serves its next request.
{
    my $daemon = plack(options => [qw(--nproc 2)], environment => compat_environment());
    my $client = FastCGIClient->new($daemon->address);
    my @params = (REQUEST_METHOD => 'GET', SCRIPT_NAME => '', SERVER_NAME => 'here', SERVER_PORT => 80);
    my @worker = map {
        $client->send_bytes($client->request_bytes({ params => [ @params, REQUEST_URI => $_ ], keep => 1 }));
        worker_of($client->response);
    } '/harakiri', '/';
    isnt($worker[1], $worker[0], 'harakiri: another worker serves the keep-alive connection');
    like($worker[1], qr/\A\d+\z/, 'the request is answered');
    $daemon->stop;
}

# Server::Starter restarts everything, including the manager.
{
    my $folder = File::Temp->newdir;
    open my $file, '>', "$folder/application.psgi" or die;
    print {$file} $APPLICATION;
    close $file;
    my $daemon = Daemon->start(
        file      => '/usr/bin/start_server',
        address   => '',
        arguments => sub {
            my ($listen) = @_;
            return ('--path', $listen, '--interval', 1, '--', $^X, qw(/usr/bin/plackup -E production -s FCGI --nproc 2), "$folder/application.psgi");
        },
        environment => compat_environment(),
    );
    my $manager = $daemon->wait_for(qr/starting new worker (\d+)/);
    $daemon->wait_for(qr/server .*initialized/) for 1, 2;
    my $load = load_during($daemon, sub {
        for (1, 2) {
            $daemon->signal('HUP');
            my $next = $daemon->wait_for(qr/starting new worker (\d+)/);
            $daemon->wait_for(qr/old worker $manager died, status:0/);
            $manager = $next;
        }
    }, expect => 'worker', manager => $manager);
    is($load->{lost}, 0, "Server::Starter: two restarts lose none of $load->{requests} requests");
    like(ask($daemon, '/')->{stdout}, qr/worker \d+ of $manager,/, 'the manager is new');
    is($daemon->stop, 0, 'TERM stops it');
}

done_testing;
