use strict;
use warnings;
use lib qw(t/lib xt/lib);
use POSIX ();
use Test::More;
use Compat;
use Program ();
use SameProgram ();
use Workers qw(worker_of);

# Programs that do not name a socket, `FCGI::Request()`: they listen on FCGI_SOCKET_PATH, unless
# descriptor 0 is a listening socket.

needs(qw(CGI::Fast FCGI::ProcManager));

my $LOOP = <<'END';
open my $log, '>&', \*STDERR or die;
my $request = FCGI::Request();
syswrite $log, "made $$\n";
while ($request->Accept >= 0) {
    print "Content-Type: text/plain\r\n\r\nworker $$ of ", getppid, $request->IsFastCGI ? '' : ', CGI', "\n";
}
END
my $PLAIN = "use strict; use warnings; use FCGI;\n$LOOP";
my $MANAGED = "use strict; use warnings; use FCGI; use FCGI::ProcManager;\n"
    . "my \$pm = FCGI::ProcManager->new({ n_processes => 3 });\n";

# Waits until $count different workers have answered: they share one socket.
sub all_answer {
    my ($name, $daemon, $count) = @_;
    my %seen;
    while (keys %seen < $count) {
        my $answer = $daemon->ask;
        like($answer->{stdout}, qr/^worker \d+ of @{[ $daemon->pid ]}$/m, "$name: answered by a worker") if !$seen{ worker_of($answer) }++;
    }
    return;
}

for my $address ('', free_address()) {
    my $what = $address ? 'TCP' : 'unix';

    my $alone = compat(text => $PLAIN, address => $address);
    $alone->wait_for(qr/^made \d+$/);
    is(worker_of($alone->ask), $alone->pid, "$what: the program serves alone") for 1, 2;
    is($alone->stop, 0, "$what: TERM stops it");

    my $five = compat(text => $PLAIN, address => $address, environment => { FCGIPM_N_PROCESSES => 5 });
    my @workers = map { $five->wait_for(qr/^FastCGI: server \(pid (\d+)\): initialized/) } 1 .. 5;
    all_answer($what, $five, 2);
    reloads("$what, five workers", $five, 3, expect => 'worker');
    my %old = map { $_ => 1 } @workers;
    ok(!$old{ worker_of($five->ask) }, "$what: new workers serve");
    is($five->stop, 0, "$what: TERM stops it with status 0");
    is(scalar(() = $five->log =~ /^made \d+$/mg), 1, "$what: the request was created once, in the manager");
    ok(!-e $five->dir . '/socket', "$what: the socket file is removed") if !$address;
}

# With the program's own manager, before and after the request is created.
my %ORDER = (
    'the request, then pm_manage' => $MANAGED . ($LOOP =~ s/(?=while)/\$pm->pm_manage;\n/r),
    'pm_manage, then the request' => "$MANAGED\$pm->pm_manage;\n$LOOP",
    'pm_manage, then CGI::Fast'   => $MANAGED . 'use CGI::Fast; $pm->pm_manage; '
        . 'while (my $q = CGI::Fast->new) { $pm->pm_pre_dispatch; print $q->header, "worker $$ of ", getppid, "\n"; $pm->pm_post_dispatch }',
);
for my $order (sort keys %ORDER) {
    my $daemon = compat(text => $ORDER{$order}, address => '');
    $daemon->wait_for(qr/^FastCGI: server .*initialized/) for 1 .. 3;
    all_answer($order, $daemon, 2);
    $daemon->signal('HUP');
    $daemon->wait_for(qr/reload done/);
    all_answer("$order, after a reload", $daemon, 2);
    is($daemon->stop, 0, "$order: TERM stops it with status 0");
    unlike($daemon->log, qr/status [1-9]/, "$order: no worker failed");
}

# A listening socket at descriptor 0 takes precedence over the variable.
{
    my $folder = File::Temp->newdir;
    my $daemon = compat(text => $PLAIN, environment => { FCGI_SOCKET_PATH => "$folder/other" });
    is(worker_of($daemon->ask), $daemon->pid, 'descriptor 0 is used if it is a listening socket');
    ok(!-e "$folder/other", 'no other socket is opened');
    is($daemon->stop, 0, 'TERM stops it');
}

# A socket that the program names is used. If it opens the same address, it gets the same socket.
{
    my $text = <<'END';
use strict; use warnings; use FCGI;
my @requests = map { FCGI::Request() } 1, 2;
print STDERR "made\n";
my $again = FCGI::OpenSocket($ENV{FCGI_SOCKET_PATH}, 5);
my $named = FCGI::Request(\*STDIN, \*STDOUT, \*STDERR, \%ENV, 0);
for my $number (0 .. 2) {
    my $request = $requests[$number % 2];
    print "request $number, ", $named->IsFastCGI, ", worker $$" if $request->Accept >= 0;
    $request->Finish;
}
my $own = FCGI::Request(\*STDIN, \*STDOUT, \*STDERR, {}, $again);
print "closing" if $own->Accept >= 0;
$own->Finish;
FCGI::CloseSocket($again);
my $anew = FCGI::OpenSocket("$ARGV[0]", 5);
print STDERR "anew ", -S $ARGV[0] ? 1 : 0, "\n";
END
    my $daemon = compat(text => $text, address => '', arguments => sub { $_[0] });
    $daemon->wait_for(qr/^made$/);
    like($daemon->ask->{stdout}, qr/\Arequest $_, 0, worker/, "request $_, of two objects in turn; descriptor 0 by name is CGI") for 0 .. 2;
    is($daemon->ask->{stdout}, 'closing', 'OpenSocket of the same address is the same socket');
    $daemon->wait_for(qr/^anew 1$/);
    is($daemon->ended, 0, 'after CloseSocket, a new socket can be opened there');
}

# Errors are reported before workers are started.
{
    my $daemon = compat(text => $PLAIN, address => '/no/such/folder/socket');
    isnt($daemon->ended, 0, 'an address that cannot be opened: the program exits');
    like($daemon->log, qr{\Asocket is not a descriptor: '-1' \(listen address '/no/such/folder/socket': No such file}, 'with the reason');
    $daemon = compat(text => $ORDER{'pm_manage, then the request'}, address => '/no/such/folder/socket');
    isnt($daemon->ended, 0, 'the same in pm_manage');
    like($daemon->log, qr{\Alisten address '/no/such/folder/socket': No such file}, 'with the reason');
    unlike($daemon->log, qr/started/, 'before a worker is started');
    for my $option (qw(FCGIPM_USER FCGIPM_GROUP FCGIPM_CHROOT)) {
        $daemon = compat(text => $PLAIN, address => '', environment => { $option => '/' });
        isnt($daemon->ended, 0, "$option without workers is refused");
        like($daemon->log, qr/\b\Q@{[ lc $option =~ s{FCGIPM_}{}r ]}\E\b.*for the workers of a manager, but n_processes is 0/, 'with a message');
    }
}

# Still CGI: without the variable, as on the original, and in a program that a web server has
# started as CGI.
{
    my $ask = 'use strict; use warnings; use FCGI; close STDIN; open STDIN, "<", "/dev/null"; my $r = FCGI::Request();'
        . ' print $r->IsFastCGI, " ", $r->Accept, " ", $r->Accept, "\n";';
    for my $environment ({}, { FCGIPM_N_PROCESSES => 3 }, { FCGI_SOCKET_PATH => '' }, { FCGI_SOCKET_PATH => 'none', GATEWAY_INTERFACE => 'CGI/1.1' }) {
        my $outcomes = SameProgram::outcomes(ways => ['compat'], text => $ask, requests => [], environment => $environment);
        my $name = join ', ', 'CGI', map { "$_=$environment->{$_}" } sort keys %$environment;
        is_deeply($outcomes->{compat}, $outcomes->{original}, "$name: as on the original");
        is($outcomes->{original}{stdout}, "0 0 -1\n", "$name: one request");
    }
}

done_testing;
