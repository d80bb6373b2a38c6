use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Program;

# Large bodies and responses arrive completely, with a bounded amount of memory.

use constant MIB => 1024 * 1024;

sub serve {
    my ($statements, @requests) = @_;
    return Program::run(text => <<"PROGRAM", requests => \@requests);
use strict; use warnings; use FCGIPM;
sub resident { open my \$f, '<', '/proc/self/statm'; return (split ' ', <\$f>)[1] * 4096 }
my \$request = FCGIPM::Request(\\*STDIN, \\*STDOUT, \\*STDERR, {});
my \$before = 0;
for (1 .. ${\ scalar @requests}) {
    last if \$request->Accept < 0;
$statements
}
PROGRAM
}

# Sends a large body in pieces.
sub post {
    my ($mib) = @_;
    return sub {
        my $client = FastCGIClient->new($_[0]);
        my $bytes  = $client->request_bytes({});
        substr($bytes, -8) = '';
        $client->send_bytes($bytes);
        my $piece = $client->record(STDIN => '0123456789abcdef' x 2_048) x 32;
        $client->send_bytes($piece) for 1 .. $mib;
        $client->send_bytes($client->record(STDIN => ''));
        return $client->response;
    };
}

for my $how ('read STDIN, my $b, 65_536', 'sysread STDIN, my $b, 10_000', 'do { local $/ = \8_192; length(<STDIN> // "") }') {
    my $outcome = serve(
        "my \$n = 0; while (my \$got = $how) { \$n += \$got; \$before ||= resident() } print \$n, ' ', resident() - \$before",
        post(4), post(64));
    my ($length, $grown) = split ' ', $outcome->{responses}[1]{stdout};
    is($length, 64 * MIB, "$how: 64 MiB arrive");
    cmp_ok($grown, '<', MIB, 'the process grows by less than 1 MiB');
}
{
    my $outcome = serve('my $n = 0; while (my $l = <STDIN>) { $n += length $l; $before ||= resident() } print $n, " ", resident() - $before',
        { stdin => join '', map {"line $_ " . 'x' x 40 . "\n"} 1 .. 100_000 });
    my ($length, $grown) = split ' ', $outcome->{responses}[0]{stdout};
    cmp_ok($length, '>', 5_000_000, 'all lines arrive');
    cmp_ok($grown, '<', MIB, 'and are not accumulated');
}
{
    my $outcome = serve('my $chunk = "0123456789abcdef" x 4_096; $before = resident(); for (1 .. 1_024) { print $chunk } print STDERR resident() - $before',
        sub {
            my $client = FastCGIClient->new($_[0]);
            $client->send_bytes($client->request_bytes({}));
            my ($length, $stderr) = (0, '');
            while (my $record = $client->read_record) {
                $length += length $record->{content} if $record->{type} == $FastCGIClient::TYPE{STDOUT};
                $stderr .= $record->{content} if $record->{type} == $FastCGIClient::TYPE{STDERR};
                last if $record->{type} == $FastCGIClient::TYPE{END};
            }
            return { length => $length, grown => $stderr };
        });
    is($outcome->{responses}[0]{length}, 64 * MIB, 'a response of 64 MiB is sent completely');
    cmp_ok($outcome->{responses}[0]{grown}, '<', MIB, 'the process grows by less than 1 MiB');
}
{
    my $outcome = serve('my $all = do { local $/; <STDIN> }; print length $all; print $all', { stdin => join '', map {chr} 0 .. 255 });
    is($outcome->{responses}[0]{stdout}, '256' . join('', map {chr} 0 .. 255), 'all byte values pass unchanged');
}
{
    my $body = join '', map { chr(33 + $_ % 90) x ($_ % 7) . "\n" } 1 .. 3_000;
    my $outcome = serve(<<'STATEMENTS', map { { stdin => $body } } 1 .. 2);
        my $t = ''; my $i = 0;
        while (1) {
            my $way = $i++ % 5; my $got;
            if    ($way == 0) { $got = <STDIN> }
            elsif ($way == 1) { $got = getc STDIN }
            elsif ($way == 2) { read STDIN, $got, 7; }
            elsif ($way == 3) { local $/ = \5; $got = <STDIN> }
            else              { local $/ = 'AA'; $got = <STDIN> }
            last if !defined $got || !length $got; $t .= $got;
        }
        print $t;
STATEMENTS
    is($outcome->{responses}[1]{stdout}, $body, 'ways of reading can be mixed');
}

done_testing;
