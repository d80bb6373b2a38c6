#!/usr/bin/perl

# A FastCGI daemon with prefork workers, for use behind nginx, Apache or lighttpd:
#
#     FCGI_SOCKET_PATH=:9005 FCGIPM_N_PROCESSES=5 perl -Ilib examples/daemon.fcgi
#
# HUP to the manager reloads: new workers load AppCode::DB again. TERM stops gracefully.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use CGI ();
use FCGIPM;
use FCGIPM::ProcManager;

my $address = $ENV{FCGI_SOCKET_PATH} || ':9005';
my $socket = FCGIPM::OpenSocket($address, 100);
$socket >= 0 or die "$0: ", FCGIPM::last_error(), "\n";
my $req = FCGIPM::Request(\*STDIN, \*STDOUT, \*STDERR, \%ENV, $socket, FCGIPM::FAIL_ACCEPT_ON_INTR);

my $pm = FCGIPM::ProcManager->new({ n_processes => 5 });
$pm->pm_manage();

require AppCode::DB;    # in each worker, so that a reload loads the new code

while ($req->Accept() >= 0) {
    $pm->pm_pre_dispatch();
    CGI::initialize_globals();
    AppCode::DB::handle();
    $pm->pm_post_dispatch();
}
