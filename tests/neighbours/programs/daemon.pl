use FCGI;
use FCGI::ProcManager;

my $socket = FCGI::OpenSocket(':9005', 100);
my $req = FCGI::Request(\*STDIN, \*STDOUT, \*STDERR, \%ENV, $socket, FCGI::FAIL_ACCEPT_ON_INTR);
my $pm = FCGI::ProcManager->new({ n_processes => 5 });
$pm->pm_manage();                    # forks; never returns in the parent
require AppCode::DB;                 # loaded per worker, so a reload picks up new code
while ($req->Accept() >= 0) {
    $pm->pm_pre_dispatch();          # from here a signal waits
    CGI::initialize_globals();
    AppCode::DB::handle();
    $pm->pm_post_dispatch();         # here it is acted on
}
