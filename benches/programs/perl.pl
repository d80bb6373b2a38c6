#!/usr/bin/perl

# The program of fcgx.c for FCGI and FCGI::ProcManager, which also runs on FCGIPM::Compat unchanged.
#
#     perl.pl SOCKET WORKERS env|hash
#
# In addition, /lines and /list read the body by lines, in scalar and in list context.

use strict;
use warnings;

use FCGI;
use FCGI::ProcManager;

my ($path, $workers, $kind) = @ARGV;
my $socket = FCGI::OpenSocket($path, 1024);
my $filler = 'x' x (1024 * 1024);
my $head   = "Content-Type: text/plain\r\n\r\n";
my $e      = $kind eq 'env' ? \%ENV : {};

my %DO = (
    # The library adds FCGI_ROLE, so it does not count.
    '/count' => sub { print $head, keys(%$e) - exists $e->{FCGI_ROLE}, " parameters\n" },
    '/bytes' => sub {
        my $left = $e->{QUERY_STRING};
        print "Content-Type: text/plain\r\nContent-Length: $left\r\n\r\nstart:";
        for ($left -= 6; $left > 0; $left -= length $filler) {
            print $left < length $filler ? substr $filler, 0, $left : $filler;
        }
    },
    '/body' => sub {
        my $total = 0;
        while (my $length = read STDIN, my $piece, 65_536) { $total += $length }
        print $head, "$total bytes\n";
    },
    '/prints' => sub {
        print $head;
        print "<li>item $_</li>\n" for 1 .. $e->{QUERY_STRING};
    },
    '/lines' => sub {
        my ($lines, $bytes) = (0, 0);
        while (defined(my $line = <STDIN>)) {
            $lines++;
            $bytes += length $line;
        }
        print $head, "$lines lines, $bytes bytes\n";
    },
    # In list context the original returns one line, or undef at the end. Perl's own handles return all.
    '/list' => sub {
        my ($lines, $bytes) = (0, 0);
        while (my @some = <STDIN>) {
            last if !defined $some[0];
            $lines += @some;
            $bytes += length for @some;
        }
        print $head, "$lines lines, $bytes bytes\n";
    },
);

my $request = FCGI::Request(\*STDIN, \*STDOUT, \*STDERR, $e, $socket);
my $manager = FCGI::ProcManager->new({ n_processes => $workers });
$manager->pm_manage;
while ($request->Accept >= 0) {
    $manager->pm_pre_dispatch;
    if (my $do = $DO{ $e->{PATH_INFO} }) {
        $do->();
    } else {
        print $head, "hello $e->{REQUEST_URI}\n";
    }
    $manager->pm_post_dispatch;
}
