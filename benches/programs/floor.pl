#!/usr/bin/perl

# floor.c in Perl: only accept, sysread, syswrite and close.
#
#     floor.pl SOCKET WORKERS closed|kept SIZE TEXT

use strict;
use warnings;

use Socket qw(PF_UNIX SOCK_STREAM pack_sockaddr_un);

my ($path, $workers, $way, $size, $text) = @ARGV;
my %escaped = (r => "\r", n => "\n");
$text =~ s/\\([rn])/$escaped{$1}/g;
$text .= 'x' x $size;
my $answer = '';
$answer .= pack('CCnnCx', 1, 6, 1, length, 0) . $_ for unpack('(a65528)*', $text), '';
$answer .= pack 'CCnnCx x8', 1, 3, 1, 8, 0;
my $input_end = pack 'CCnnCx', 1, 5, 1, 0, 0;
my $kept      = $way eq 'kept';

socket my $listener, PF_UNIX, SOCK_STREAM, 0 or die "socket: $!";
bind $listener, pack_sockaddr_un($path) or die "$path: $!";
listen $listener, 1024 or die "listen: $!";
my @pids;
$SIG{TERM} = sub { kill TERM => @pids; exit };
for (1 .. $workers) {
    my $pid = fork // die "fork: $!";
    if (!$pid) {
        serve();
        exit;
    }
    push @pids, $pid;
}
waitpid $pids[0], 0;

sub serve {
    $SIG{TERM} = sub { exit };
    while (accept my $connection, $listener) {
        while (1) {
            my $input = '';
            while (sysread $connection, $input, 65_536, length $input) {
                last if substr($input, -8) eq $input_end;
            }
            last if !length $input;
            syswrite $connection, $answer;
            last if !$kept;
        }
        close $connection;
    }
    return;
}
