#!/usr/bin/perl

# The same programs on FCGI and FCGI::ProcManager and on FCGIPM::Compat: requests per second, and processor
# time of the server per request. A round is short and the sides take turns, so that what else the machine
# does meets both; ratios are medians over the rounds.

use strict;
use warnings;

use Cwd ();
use File::Basename ();
use File::Temp ();
use Getopt::Long ();
use Socket qw(PF_UNIX SOCK_STREAM pack_sockaddr_un);
use Time::HiRes qw(clock_gettime CLOCK_MONOTONIC);

my $ROOT = File::Basename::dirname(Cwd::abs_path(__FILE__)) . '/../..';
my %OURS = (PERL5LIB => "$ROOT/bindings/perl/lib", PERL5OPT => '-MFCGIPM::Compat');

my $SMALL = q{print "Content-Type: text/plain\r\n\r\n", "hello $e->{REQUEST_URI}\n";};

# Name, ratio to reach, environment, what is done for a request, body.
my @CASES = (
    [ env      => 1.6, '\%ENV', $SMALL, '' ],
    [ hash     => 2.1, '{}',    $SMALL, '' ],
    [ prints   => 1.0, '{}', q{print "Content-Type: text/html\r\n\r\n"; print "<li>item $_</li>\n" for 1 .. 500;}, '' ],
    [ response => 1.0, '{}', q{print "Content-Type: text/plain\r\n\r\n"; print $mib;}, '' ],
    [ body     => 1.0, '{}', q{my $n = 0; while (my $got = read STDIN, my $b, 65_536) { $n += $got } print "Content-Type: text/plain\r\n\r\n$n\n";},
        'x' x (1024 * 1024) ],
    [ lines    => 6.0, '{}', q{my $n = 0; while (my $l = <STDIN>) { $n++ } print "Content-Type: text/plain\r\n\r\n$n\n";},
        substr join('', map { sprintf "%025d\n", $_ } 1 .. 2521), 0, 65_536 ],
);

my ($rounds, $seconds, $workers, $clients, $only) = (15, 0.4, 2, 4, "");
Getopt::Long::GetOptions(
    'rounds=i' => \$rounds, 'seconds=f' => \$seconds, 'workers=i' => \$workers, 'clients=i' => \$clients, 'only=s' => \$only,
) or die "usage: compare.pl [--rounds N] [--seconds S] [--workers N] [--clients N] [--only CASE,CASE]\n";
my %only = map { $_ => 1 } split /,/, $only;

my $dir = File::Temp->newdir;
my ($driver, %running) = $$;
$SIG{$_} = sub { exit 1 } for qw(INT TERM);
END { kill TERM => keys %running if $driver && $driver == $$ }

printf "%d workers, %d clients, %d rounds of %g s; microseconds are of a processor, of the server, per request\n\n",
    $workers, $clients, $rounds, $seconds;
printf "%-9s %10s %10s %7s %7s %9s %9s %7s\n", 'case', 'FCGI 1/s', 'FCGIPM 1/s', 'ratio', 'bound', 'FCGI us', 'FCGIPM us', 'ratio';
for my $case (@CASES) {
    next if %only && !$only{ $case->[0] };
    measure(@$case);
}

sub measure {
    my ($name, $bound, $environment, $statements, $body) = @_;
    my $program = program($environment, $statements);
    my @sides = map { start("$dir/$name-$_->[0]", $program, $_->[1]) } [ original => {} ], [ compat => \%OURS ];
    my @requests = map { request_bytes($_, $body) } 1 .. 16;

    # Both must say the same before it matters how fast.
    my @said = map { text(ask($_->{socket}, $requests[3])) } @sides;
    $said[0] eq $said[1] && length $said[0] or die "$name: the answers differ: " . substr("'$said[0]' '$said[1]'", 0, 200) . "\n";
    $_->{length} = length ask($_->{socket}, $requests[0]) for @sides;
    run_round($_, \@requests) for @sides;    # for warmth

    my (@rate, @cost);
    for my $round (1 .. $rounds) {
        for my $i ($round % 2 ? (0, 1) : (1, 0)) {
            my ($rate, $cost) = run_round($sides[$i], \@requests);
            push @{ $rate[$i] }, $rate;
            push @{ $cost[$i] }, $cost;
        }
    }
    printf "%-9s %10.0f %10.0f %7.2f %7.1f %9.1f %9.1f %7.2f\n", $name, median(@{ $rate[0] }), median(@{ $rate[1] }),
        median(map { $rate[1][$_] / $rate[0][$_] } 0 .. $rounds - 1), $bound, median(@{ $cost[0] }), median(@{ $cost[1] }),
        median(map { $cost[0][$_] / $cost[1][$_] } 0 .. $rounds - 1);
    stop($_) for @sides;
    return;
}

sub median {
    my @sorted = sort { $a <=> $b } @_;
    return ($sorted[ $#sorted / 2 ] + $sorted[ @sorted / 2 ]) / 2;
}

# Servers.

sub program {
    my ($environment, $statements) = @_;
    return <<"PROGRAM";
use strict; use warnings; use FCGI; use FCGI::ProcManager;
my \$socket = FCGI::OpenSocket(\$ENV{BENCH_SOCKET}, 100);
my \$mib = 'x' x (1024 * 1024);
my \$e = $environment;
my \$request = FCGI::Request(\\*STDIN, \\*STDOUT, \\*STDERR, \$e, \$socket);
my \$manager = FCGI::ProcManager->new({ n_processes => $workers });
\$manager->pm_manage;
while (\$request->Accept >= 0) {
    \$manager->pm_pre_dispatch;
    $statements
    \$manager->pm_post_dispatch;
}
PROGRAM
}

sub start {
    my ($path, $program, $environment) = @_;
    open my $file, '>', "$path.pl" or die "$path.pl: $!";
    print {$file} $program;
    close $file or die "$path.pl: $!";
    my $pid = fork // die "fork: $!";
    if (!$pid) {
        @ENV{ 'BENCH_SOCKET', keys %$environment } = ("$path.socket", values %$environment);
        open STDERR, '>', "$path.log" or die "$path.log: $!";
        exec $^X, "$path.pl" or die "exec: $!";
    }
    $running{$pid} = 1;
    my $side = { pid => $pid, socket => "$path.socket" };
    # One worker that answers is no proof that all are there.
    while ((() = tree($pid)) <= $workers || !connection("$path.socket")) {
        waitpid($pid, 1) == 0 or die "the program has ended:\n", `cat $path.log`;
        select undef, undef, undef, 0.01;
    }
    return $side;
}

sub stop {
    my ($side) = @_;
    delete $running{ $side->{pid} };
    kill TERM => $side->{pid};
    waitpid $side->{pid}, 0;
    return;
}

sub tree {
    my ($pid) = @_;
    open my $file, '<', "/proc/$pid/task/$pid/children" or return;
    return ($pid, split ' ', <$file> // '');
}

# Nanoseconds that the server has run, by the scheduler's count.
sub cost {
    my ($side) = @_;
    my $sum = 0;
    for my $pid (tree($side->{pid})) {
        open my $file, '<', "/proc/$pid/schedstat" or die "/proc/$pid/schedstat: $!";
        $sum += (split ' ', <$file>)[0];
    }
    return $sum;
}

# Clients: bytes that were made before, and nothing looked at but the length.

sub run_round {
    my ($side, $requests) = @_;
    pipe my $results, my $say or die "pipe: $!";
    my ($begin, $spent) = (clock_gettime(CLOCK_MONOTONIC), cost($side));
    my @pids = map {
        my $pid = fork // die "fork: $!";
        if (!$pid) {
            my ($end, $n, $address) = ($begin + $seconds, 0, pack_sockaddr_un($side->{socket}));
            while ($n % 8 || clock_gettime(CLOCK_MONOTONIC) < $end) {
                my $length = exchange($address, $requests->[ $n++ % @$requests ]);
                abs($length - $side->{length}) < 16 or die "a response of $length bytes instead of $side->{length}\n";
            }
            syswrite $say, "$n\n";
            require POSIX;
            POSIX::_exit(0);
        }
        $pid;
    } 1 .. $clients;
    close $say;
    my ($n, $answers) = (0, 0);
    while (my $line = <$results>) { $n += $line; $answers++ }
    my $time = clock_gettime(CLOCK_MONOTONIC) - $begin;
    $spent = cost($side) - $spent;
    waitpid $_, 0 for @pids;
    $answers == $clients or die "a client failed\n";
    return ($n / $time, $spent / 1_000 / $n);
}

sub connection {
    my ($path) = @_;
    socket my $connection, PF_UNIX, SOCK_STREAM, 0 or die "socket: $!";
    return connect($connection, pack_sockaddr_un($path)) ? $connection : undef;
}

my $buffer = '';

sub exchange {
    socket my $connection, PF_UNIX, SOCK_STREAM, 0 or die "socket: $!";
    connect $connection, $_[0] or die "connect: $!";
    my $sent = 0;
    while ($sent < length $_[1]) { $sent += syswrite($connection, $_[1], length($_[1]) - $sent, $sent) // die "send: $!" }
    my $length = 0;
    while (my $got = sysread $connection, $buffer, 262_144) { $length += $got }
    return $length;
}

sub ask {
    my ($path, $bytes) = @_;
    my $connection = connection($path) or die "connect: $!";
    my $sent = 0;
    while ($sent < length $bytes) { $sent += syswrite($connection, $bytes, length($bytes) - $sent, $sent) // die "send: $!" }
    my $answer = '';
    1 while sysread $connection, $answer, 262_144, length $answer;
    return $answer;
}

sub text {
    my ($records) = @_;
    my $text = '';
    while (length $records >= 8) {
        my (undef, $type, undef, $length, $padding) = unpack 'CCnnC', $records;
        $text .= substr $records, 8, $length if $type == 6;
        substr $records, 0, 8 + $length + $padding, '';
    }
    return $text;
}

# 28 parameters as nginx sends them; some are others with each request.
sub request_bytes {
    my ($i, $body) = @_;
    my @parameters = (
        QUERY_STRING => "page=$i&sort=name", REQUEST_METHOD => length $body ? 'POST' : 'GET', CONTENT_TYPE => '', CONTENT_LENGTH => length $body,
        SCRIPT_NAME => "/shop/list/$i", REQUEST_URI => sprintf('/shop/list/%02d?page=%02d&sort=name', $i, $i), DOCUMENT_URI => "/shop/list/$i",
        DOCUMENT_ROOT => '/srv/www/example.org/htdocs', SERVER_PROTOCOL => 'HTTP/1.1', REQUEST_SCHEME => 'https', HTTPS => 'on',
        GATEWAY_INTERFACE => 'CGI/1.1', SERVER_SOFTWARE => 'nginx/1.22.1', REMOTE_ADDR => '192.0.2.' . $i, REMOTE_PORT => 40_000 + $i * 13,
        SERVER_ADDR => '192.0.2.200', SERVER_PORT => 443, SERVER_NAME => 'example.org', REDIRECT_STATUS => 200,
        SCRIPT_FILENAME => '/srv/www/example.org/htdocs/shop.fcgi', HTTP_HOST => 'example.org', HTTP_CONNECTION => 'keep-alive',
        HTTP_USER_AGENT => 'Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0',
        HTTP_ACCEPT => 'text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8',
        HTTP_ACCEPT_LANGUAGE => 'en-GB,en;q=0.5', HTTP_ACCEPT_ENCODING => 'gzip, deflate, br', HTTP_COOKIE => "session=" . 'f00d' x 8 . $i,
        HTTP_REFERER => 'https://example.org/shop/',
    );
    my $content = '';
    while (my ($name, $value) = splice @parameters, 0, 2) {
        $content .= join '', map({ $_ < 128 ? chr : pack 'N', $_ | 1 << 31 } length $name, length $value), $name, $value;
    }
    return join '', record(1, pack 'nCx5', 1, 0), record(4, $content), record(4, ''), (map { record(5, $_) } unpack '(a32768)*', $body), record(5, '');
}

sub record {
    my ($type, $content) = @_;
    return pack('CCnnCx', 1, $type, 1, length $content, 0) . $content;
}
