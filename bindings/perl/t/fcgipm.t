use strict;
use warnings;
use lib 't/lib';
use Errno;
use File::Temp;
use Socket qw(SOL_SOCKET SO_ACCEPTCONN);
use Test::More;

use FCGIPM;

my $dir = File::Temp->newdir;

sub listens {
    my ($descriptor) = @_;
    open my $socket, '+<&', $descriptor or return 0;
    return unpack 'i', getsockopt $socket, SOL_SOCKET, SO_ACCEPTCONN;
}

{
    my $descriptor = FCGIPM::OpenSocket("$dir/socket", 5);
    cmp_ok($descriptor, '>', 2, 'a path');
    ok(listens($descriptor), 'the socket listens');
    is(FCGIPM::OpenSocket("$dir/socket", 5), -1, 'a path on which a process listens is refused');
    ok($!{EADDRINUSE}, 'with EADDRINUSE') or diag($!);
    like(FCGIPM::last_error(), qr/\Q$dir\E\/socket/, 'and a message with the path');
    is_deeply([ FCGIPM::CloseSocket($descriptor) ], [], 'CloseSocket returns nothing');
    ok(!listens($descriptor), 'and closes the socket');
    my $again = FCGIPM::OpenSocket("unix:$dir/socket", 5);
    cmp_ok($again, '>', 2, 'a stale socket file is replaced');
    FCGIPM::CloseSocket($again);
}
for my $address ('127.0.0.1:0', ':0', '@fcgipm-test-' . $$) {
    my $descriptor = FCGIPM::OpenSocket($address, 5);
    ok(listens($descriptor), "$address listens") or diag(FCGIPM::last_error());
    FCGIPM::CloseSocket($descriptor);
}
for my $address (':99999', '/nonexistent/socket', '') {
    is(FCGIPM::OpenSocket($address, 5), -1, "'$address' is refused");
    ok($! + 0, 'with $! set');
    like(FCGIPM::last_error(), qr/'\Q$address\E'/, 'the message names it');
}
{
    FCGIPM::CloseSocket(999);
    ok($!{EBADF}, 'CloseSocket of a closed descriptor sets $!') or diag($!);
}
{
    my $request = FCGIPM::Request(\*STDIN, \*STDOUT, \*STDERR, {}, 999);
    is($request->Accept, -Errno::EBADF, 'Accept on a closed descriptor');
    like(FCGIPM::last_error(), qr/999/, 'the message names it');
}
{
    open my $file, '<', __FILE__ or die;
    my $request = FCGIPM::Request(\*STDIN, \*STDOUT, \*STDERR, {}, $file);
    cmp_ok($request->Accept, '<', 0, 'Accept on a file');
    ok($! + 0, 'sets $!');
}
FCGIPM::OpenSocket('/nonexistent/socket', 1);
for ([ [ \*STDIN, \*STDOUT, \*STDERR, {}, 'nine' ], qr/socket is not a descriptor: 'nine'/ ],
    [ [ \*STDIN, \*STDOUT, \*STDERR, {}, -1 ], qr{socket is not a descriptor: '-1' \(listen address '/nonexistent/socket': No such file} ],
    [ [ \*STDIN, undef ], qr/out is not a GLOB reference: undef/ ],
    [ [ \*STDIN, \*STDOUT, \*STDERR, 'env' ], qr/env is not a reference to a hash: 'env'/ ]) {
    my ($arguments, $message) = @$_;
    ok(!eval { &FCGIPM::Request(@$arguments) }, 'a wrong argument croaks');
    like($@, $message, 'with the value');
    like($@, qr/at \Q${\ __FILE__ }\E line/, 'and the line of the caller');
}

done_testing;
