use strict;
use warnings;
use lib qw(t/lib xt/lib);
use Config;
use Cwd ();
use File::Temp ();
use Test::More;
use Daemon;
use FastCGIClient;

# A signal that arrives between the last check for signals and the system call that waits. A
# preloaded library makes it arrive there each time: it replaces the calls that wait by ones that
# first raise it.

my $folder = File::Temp->newdir;
my $shim   = "$folder/late.so";
{
    open my $source, '>', "$folder/late.c" or die "late.c: $!";
    print {$source} <<'END_OF_C';
#define _GNU_SOURCE
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static void arrive_before(const char *call)
{
    static const char *at = "";
    if (at && !*at)
        at = strdup(getenv("LATE_AT"));
    if (at && strcmp(at, call) == 0) {
        at = NULL;
        raise(SIGTERM);
    }
}

int accept4(int fd, struct sockaddr *address, socklen_t *length, int flags)
{
    arrive_before("accept4");
    return syscall(SYS_accept4, fd, address, length, flags);
}

int epoll_wait(int fd, struct epoll_event *events, int count, int timeout)
{
    arrive_before("epoll_wait");
    return syscall(SYS_epoll_pwait, fd, events, count, timeout, NULL, 8);
}
END_OF_C
    close $source;
    system($Config{cc}, '-shared', '-fPIC', '-o', $shim, "$folder/late.c") == 0 or die 'late.c cannot be compiled';
}

my %PROGRAM = (
    'has a handler that sets a variable, and Accept returns' => [ 1, '$SIG{TERM} = sub { $stop = 1 };' ],
    'has a handler that calls LastCall, without the flag'               => [ 0, '$SIG{TERM} = sub { $request->LastCall };' ],
    'has no handler, without the flag'              => [ 0, '', 'FCGI' ],
    'has no handler'                                => [ 1, '', 'FCGI' ],
);
for my $module (qw(FCGI FCGIPM)) {
    for my $what (sort keys %PROGRAM) {
        my ($flags, $handler, $only) = @{ $PROGRAM{$what} };
        next if $only && $only ne $module;
        my $text = "use strict; use warnings; use $module; my (\$stop, \$request);\n"
            . "\$request = ${module}::Request(\\*STDIN, \\*STDOUT, \\*STDERR, \\%ENV, 0, $flags); $handler\n"
            . 'while (!$stop && $request->Accept >= 0) { print "Content-Type: text/plain\r\n\r\nserved" } exit 7;';
        for my $call (qw(accept4 epoll_wait)) {
            my $daemon = Daemon->start(
                text        => $text,
                environment => { PERL5OPT => '-MFCGIPM::Compat', PERL5LIB => Cwd::abs_path('lib'), LD_PRELOAD => $shim, LATE_AT => $call },
            );
            # After a request on a keep-alive connection, the worker waits in epoll_wait.
            if ($call eq 'epoll_wait') {
                my $client = FastCGIClient->new($daemon->address);
                is($client->call({ keep => 1 })->{stdout} =~ s/.*\n//sr, 'served', "$module, $what: a request on a keep-alive connection");
            }
            is(eval { $daemon->ended } // $@, 7 << 8, "$module, $what: TERM just before $call ends the wait");
        }
    }
}

# A signal during a request is up to the program, as with FCGI: its handler has run when Accept is
# called.
for my $finish ('', '$request->Finish;') {
    my $daemon = Daemon->start(
        environment => { PERL5OPT => '-MFCGIPM::Compat', PERL5LIB => Cwd::abs_path('lib') },
        text => 'use FCGI; $SIG{USR2} = sub { $count++ }; my $request = FCGI::Request(\*STDIN, \*STDOUT, \*STDERR, \%ENV, 0, 1);'
            . 'kill USR2 => $$; while ($request->Accept >= 0) { kill USR2 => $$; print "Content-Type: text/plain\r\n\r\n$count signals"; ' . $finish . ' kill USR2 => $$ }',
    );
    my $client = FastCGIClient->new($daemon->address);
    my @counts = map { $client->call({ keep => 1 })->{stdout} =~ s/.*\n//sr } 1 .. 3;
    is("@counts", '2 signals 4 signals 6 signals', 'signals during a request do not end the wait' . ($finish && ', nor after Finish'));
}

done_testing;
