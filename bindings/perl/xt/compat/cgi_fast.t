use strict;
use warnings;
use lib qw(t/lib xt/lib);
use POSIX ();
use Test::More;
use Compat;
use Workers qw(worker_of);

# A script that only contains `while (my $q = CGI::Fast->new)`, served by five workers on one
# socket. The environment provides both.

needs('CGI::Fast');

my $SCRIPT = <<'END';
use strict;
use warnings;
use CGI::Fast;
open my $log, '>&', \*STDERR or die;
my ($before, $gate) = ($$, $ENV{GATE});
while (my $q = CGI::Fast->new) {
    print $q->header('text/plain'), "worker $$ of $before ", $q->param('ask') // '', "\n";
    next if ($q->param('ask') // '') ne 'gate';
    syswrite $log, "waiting $$\n";
    open my $file, '<', $gate or die "$gate: $!";
}
print STDERR "after the loop of $$\n";
END

sub ask {
    my ($daemon, $query) = @_;
    return $daemon->ask(params => [ REQUEST_METHOD => 'GET', QUERY_STRING => $query // '' ]);
}

for my $address ('', free_address()) {
    my $what = $address ? 'TCP' : 'unix';
    my $folder = File::Temp->newdir;
    POSIX::mkfifo("$folder/gate", 0600) or die "mkfifo: $!";
    my $daemon = compat(text => $SCRIPT, address => $address, environment => { FCGIPM_N_PROCESSES => 5, GATE => "$folder/gate" });
    my %worker = map { $daemon->wait_for(qr/^FastCGI: server \(pid (\d+)\): initialized/) => 1 } 1 .. 5;
    is(scalar keys %worker, 5, "$what: five workers");
    my $answer = ask($daemon, 'ask=this');
    like($answer->{stdout}, qr/^worker \d+ of @{[ $daemon->pid ]} this$/m, "$what: answered");
    ok($worker{ worker_of($answer) }, "$what: by one of the workers");

    # Each worker waits in its request until the gate is opened.
    my @clients = map { FastCGIClient->new($daemon->address) } 1 .. 5;
    $_->send_bytes($_->request_bytes({ params => [ REQUEST_METHOD => 'GET', QUERY_STRING => 'ask=gate' ] })) for @clients;
    my %busy = map { $daemon->wait_for(qr/^waiting (\d+)$/) => 1 } @clients;
    is_deeply(\%busy, \%worker, "$what: all five are busy");
    open my $opened, '>', "$folder/gate" or die "gate: $!";
    is(scalar(grep { $_->response->{ended} } @clients), 5, "$what: all requests are answered");
    close $opened;

    reloads($what, $daemon, 5, expect => 'worker');
    ok(!$worker{ worker_of(ask($daemon)) }, "$what: new workers serve");
    is($daemon->stop, 0, "$what: TERM stops it with status 0");
    ok(!-e $daemon->dir . '/socket', "$what: the socket file is removed") if !$address;
    like($daemon->log, qr/^after the loop of \d+$/m, "$what: workers reach the end of the script");
    like($daemon->log, qr/dying: safe exit from signal TERM\n\z/, "$what: but not the manager");
    unlike($daemon->log, qr/ at .* line \d+/, "$what: no warnings");
}

{
    my $daemon = compat(text => $SCRIPT, environment => { FCGIPM_N_PROCESSES => 2 });
    $daemon->wait_for(qr/server .*initialized/);
    reloads('keep-alive connections, parameters in two segments', $daemon, 3, expect => 'worker', keep => 1, split => 2);
    my $old = worker_of(ask($daemon));
    kill TERM => $old;
    $daemon->wait_for(qr/server \(pid $old\) exited with status 0/);
    isnt(worker_of(ask($daemon)), $old, 'a worker that receives TERM is replaced');
    is($daemon->stop, 0, 'an inherited socket');
}

# Without the variable, there is no manager.
{
    my $daemon = compat(text => $SCRIPT);
    is(worker_of(ask($daemon)), $daemon->pid, 'without the variable the script serves alone');
    $daemon->stop('KILL');
}

# A reload does not replace what the script loads before its loop, but what it loads within.
{
    my $folder = File::Temp->newdir;
    my $write = sub {
        my ($module, $version) = @_;
        open my $file, '>', "$folder/$module.pm" or die "$module: $!";
        print {$file} "package $module; sub version { '$version' } 1;";
        close $file or die "$module: $!";
    };
    $write->($_, 'first') for qw(Early Late);
    my $daemon = compat(environment => { FCGIPM_N_PROCESSES => 1, FOLDER => "$folder" }, text => <<'END');
use strict; use warnings; use CGI::Fast; use lib $ENV{FOLDER}; use Early;
while (my $q = CGI::Fast->new) {
    require Late;
    print $q->header('text/plain'), "early ", Early::version(), ", late ", Late::version();
}
END
    like(ask($daemon)->{stdout}, qr/early first, late first/, 'loaded');
    $write->($_, 'second') for qw(Early Late);
    $daemon->signal('HUP');
    my $old = $daemon->wait_for(qr/server \(pid (\d+)\) exited/);
    like(ask($daemon)->{stdout}, qr/early first, late second/, 'a reload replaces what is loaded after the first CGI::Fast->new');
    $daemon->stop;
}

# The options of `use CGI::Fast`, and their variables, which take precedence.
{
    my $backlog = <<'END';
# The backlog of listen(2): tcpi_sacked of a listening socket.
sub backlog {
    for my $descriptor (3 .. 20) {
        open my $socket, '<&=', $descriptor or next;
        my $listens = getsockopt $socket, 1, 30;
        my $info = $listens && unpack('i', $listens) ? getsockopt $socket, 6, 11 : undef;
        return unpack 'x28 L', $info if defined $info;
    }
}
END
    my $loop = "while (my \$q = CGI::Fast->new) { print \$q->header('text/plain'), 'worker ', \$\$, ' queue ', backlog() }\n";
    for my $with ([ 7, '', {} ], [ 9, '', { FCGI_LISTEN_QUEUE => 9 } ], [ 100, 'no option', {} ]) {
        my ($queue, $none, $environment) = @$with;
        my $options = $none ? '' : 'listen_queue => 7';
        my $daemon = compat(
            text        => "use strict; use warnings; use CGI::Fast $options;\n$loop$backlog",
            address     => free_address(),
            environment => { FCGIPM_N_PROCESSES => 2, %$environment },
        );
        $daemon->wait_for(qr/server .*initialized/) for 1, 2;
        like(ask($daemon)->{stdout}, qr/queue $queue\z/, "a listen queue of $queue");
        is($daemon->stop, 0, 'TERM stops it');
    }
    my $folder = File::Temp->newdir;
    my $daemon = compat(
        text => "use strict; use warnings; use CGI::Fast socket_path => '$folder/own', socket_perm => 0751, listen_queue => 5;\n"
            . "$loop sub backlog { '' }",
        address     => "$folder/own",
        environment => { FCGIPM_N_PROCESSES => 5, FCGI_SOCKET_PATH => '' },
    );
    $daemon->wait_for(qr/server .*initialized/) for 1 .. 5;
    like(ask($daemon)->{stdout}, qr/worker \d/, 'socket_path');
    is(sprintf('%o', (stat "$folder/own")[2] & 07777), '751', 'socket_perm');
    is($daemon->stop, 0, 'TERM stops it');
    ok(!-e "$folder/own", 'its socket file is removed');
}

# Options of the manager work without support by the script.
{
    my $daemon = compat(text => $SCRIPT, environment => { FCGIPM_N_PROCESSES => 1, FCGIPM_MAX_REQUESTS => 3, FCGIPM_PM_TITLE => 'the shop' });
    my %worker = map { worker_of(ask($daemon)) => 1 } 1 .. 3;
    is(scalar keys %worker, 1, 'three requests by one worker');
    $daemon->wait_for(qr/exited with status 0/);
    ok(!$worker{ worker_of(ask($daemon)) }, 'FCGIPM_MAX_REQUESTS replaces it after that');
    open my $title, '<', '/proc/' . $daemon->pid . '/cmdline' or die "cmdline: $!";
    like(scalar <$title>, qr/\Athe shop/, 'FCGIPM_PM_TITLE');
    $daemon->stop;
}

done_testing;
