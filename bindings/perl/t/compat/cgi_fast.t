use strict;
use warnings;
use lib 't/lib';
use POSIX ();
use Test::More;
use Compat;

# A script that only says `while (my $q = CGI::Fast->new)`, served by five workers on one socket: what the
# operator adds stands in the environment.

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
    return $daemon->ask(params => [ REQUEST_METHOD => 'GET', QUERY_STRING => $query // '' ])->{stdout};
}

sub worker { return $_[0] =~ /worker (\d+)/ ? $1 : '' }

for my $address ('', free_address()) {
    my $what = $address ? 'TCP' : 'unix';
    my $folder = File::Temp->newdir;
    POSIX::mkfifo("$folder/gate", 0600) or die "mkfifo: $!";
    my $daemon = compat(text => $SCRIPT, address => $address, environment => { FCGIPM_N_PROCESSES => 5, GATE => "$folder/gate" });
    my %worker = map { $daemon->wait_for(qr/^FastCGI: server \(pid (\d+)\): initialized/) => 1 } 1 .. 5;
    is(scalar keys %worker, 5, "$what: five workers");
    my $answer = ask($daemon, 'ask=this');
    like($answer, qr/^worker \d+ of @{[ $daemon->pid ]} this$/m, "$what: answered");
    ok($worker{ worker($answer) }, "$what: by one of them");

    # Each waits in its request until the gate is opened.
    my @clients = map { FastCGIClient->new($daemon->address) } 1 .. 5;
    $_->send_bytes($_->request_bytes({ params => [ REQUEST_METHOD => 'GET', QUERY_STRING => 'ask=gate' ] })) for @clients;
    my %busy = map { $daemon->wait_for(qr/^waiting (\d+)$/) => 1 } @clients;
    is_deeply(\%busy, \%worker, "$what: all five at a time");
    open my $opened, '>', "$folder/gate" or die "gate: $!";
    is(scalar(grep { $_->response->{ended} } @clients), 5, "$what: and all are answered");
    close $opened;

    reloads($what, $daemon, 5, expect => 'worker');
    ok(!$worker{ worker(ask($daemon)) }, "$what: by new workers");
    is($daemon->stop, 0, "$what: TERM ends it with 0");
    ok(!-e $daemon->dir . '/socket', "$what: its socket file is gone") if !$address;
    like($daemon->log, qr/^after the loop of \d+$/m, "$what: workers come to the end of the script");
    like($daemon->log, qr/dying: safe exit from signal TERM\n\z/, "$what: the manager does not");
    unlike($daemon->log, qr/ at .* line \d+/, "$what: no warnings");
}

{
    my $daemon = compat(text => $SCRIPT, environment => { FCGIPM_N_PROCESSES => 2 });
    $daemon->wait_for(qr/server .*initialized/);
    reloads('kept connections, parameters in two segments', $daemon, 3, expect => 'worker', keep => 1, split => 2);
    my $old = worker(ask($daemon));
    kill TERM => $old;
    $daemon->wait_for(qr/server \(pid $old\) exited with status 0/);
    isnt(worker(ask($daemon)), $old, 'TERM to a worker has it replaced');
    is($daemon->stop, 0, 'an inherited socket');
}

# Without the variable it is what it always was.
{
    my $daemon = compat(text => $SCRIPT);
    is(worker(ask($daemon)), $daemon->pid, 'no manager unless one is asked for');
    $daemon->stop('KILL');
}

# What the script loads before its loop stands in the manager and stays; what it loads within is renewed.
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
    like(ask($daemon), qr/early first, late first/, 'loaded');
    $write->($_, 'second') for qw(Early Late);
    $daemon->signal('HUP');
    my $old = $daemon->wait_for(qr/server \(pid (\d+)\) exited/);
    like(ask($daemon), qr/early first, late second/, 'a reload renews what is loaded after the first new');
    $daemon->stop;
}

# The options of `use CGI::Fast`, and their variables, which win.
{
    my $backlog = <<'END';
# What listen(2) was told: tcpi_sacked of a listening socket.
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
        like(ask($daemon), qr/queue $queue\z/, "a listen queue of $queue");
        is($daemon->stop, 0, 'TERM ends it');
    }
    my $folder = File::Temp->newdir;
    my $daemon = compat(
        text => "use strict; use warnings; use CGI::Fast socket_path => '$folder/own', socket_perm => 0751, listen_queue => 5;\n"
            . "$loop sub backlog { '' }",
        address     => "$folder/own",
        environment => { FCGIPM_N_PROCESSES => 5, FCGI_SOCKET_PATH => '' },
    );
    $daemon->wait_for(qr/server .*initialized/) for 1 .. 5;
    like(ask($daemon), qr/worker \d/, 'socket_path');
    is(sprintf('%o', (stat "$folder/own")[2] & 07777), '751', 'socket_perm');
    is($daemon->stop, 0, 'TERM ends it');
    ok(!-e "$folder/own", 'and its socket file is gone');
}

# A broken deploy and the limits of the manager are the library's, whatever the script knows.
{
    my $daemon = compat(text => $SCRIPT, environment => { FCGIPM_N_PROCESSES => 1, FCGIPM_MAX_REQUESTS => 3, FCGIPM_PM_TITLE => 'the shop' });
    my %worker = map { worker(ask($daemon)) => 1 } 1 .. 3;
    is(scalar keys %worker, 1, 'three requests by one');
    $daemon->wait_for(qr/exited with status 0/);
    ok(!$worker{ worker(ask($daemon)) }, 'FCGIPM_MAX_REQUESTS replaces it then');
    open my $title, '<', '/proc/' . $daemon->pid . '/cmdline' or die "cmdline: $!";
    like(scalar <$title>, qr/\Athe shop/, 'FCGIPM_PM_TITLE');
    $daemon->stop;
}

done_testing;
