# Answers with the body. It installs handlers that interrupt waiting calls, or ignores these signals.
use strict;
use warnings;

use FCGIPM;
use FCGIPM::ProcManager;

my $socket = FCGIPM::OpenSocket($ENV{FCGI_SOCKET_PATH}, 100);
my $request = FCGIPM::Request(\*STDIN, \*STDOUT, \*STDERR, \%ENV, $socket, 0);
my $pm = FCGIPM::ProcManager->new({ n_processes => 2 });
my $interrupted = 0;
my $answer = $ENV{ECHO_IGNORES} ? 'IGNORE' : sub { $interrupted++ };
# Before the first worker starts, which a signal would kill.
@SIG{qw(ALRM WINCH)} = ($answer) x 2;
$pm->pm_manage();
$SIG{CHLD} = $answer;

while ($request->Accept() >= 0) {
    $pm->pm_pre_dispatch();
    my $body = '';
    while (read STDIN, my $chunk, 30_000) {
        $body .= $chunk;
    }
    print "Content-Type: application/octet-stream\r\n\r\n";
    my ($at, $piece) = (0, 0);
    for (; $at < length $body; $at += $piece) {
        $piece = $at % 3 == 0 ? 100_000 : 1_001;
        print substr $body, $at, $piece;
    }
    $pm->pm_post_dispatch();
}
