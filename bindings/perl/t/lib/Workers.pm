package Workers;

# Managed programs: a common beginning, options, and a common loop. A test may replace each part.

use strict;
use warnings;

use Cwd ();
use Exporter 'import';
use File::Basename ();
use JSON::PP ();

use Daemon;
use FCGIPM::Library;

our @EXPORT = qw(daemon worker_of fcgipm status);

my $HEAD = <<'HEAD';
use strict; use warnings; use FCGIPM; use FCGIPM::ProcManager;
my $socket = FCGIPM::OpenSocket($ENV{FCGI_SOCKET_PATH}, 100);
$socket >= 0 or die FCGIPM::last_error(), "\n";
my $request = FCGIPM::Request(\*STDIN, \*STDOUT, \*STDERR, \%ENV, $socket);
HEAD

my $LOOP = <<'LOOP';
while ($request->Accept >= 0) {
    $pm->pm_pre_dispatch;
    print "Content-Type: text/plain\r\n\r\nworker $$ ";
    page($ENV{ASK} // '');
    $pm->pm_post_dispatch;
}
LOOP

# %with: options (of the manager, as Perl), page (the body of page($ask)), loop (instead of the
# common one), before (statements before the manager is created), class, environment.
sub daemon {
    my (%with) = @_;
    my ($class, $options) = ($with{class} // 'FCGIPM::ProcManager', $with{options} // 'n_processes => 1');
    my $text = join "\n", $HEAD, $with{before} // '', 'sub page {', $with{page} // '', '}',
        "my \$pm = $class->new({ $options }); \$pm->pm_manage;", $with{loop} // $LOOP;
    return Daemon->start(text => $text, environment => $with{environment});
}

sub worker_of { return $_[0]{stdout} =~ /worker (\d+)/ ? $1 : '' }

# The command `fcgipm`, beside the library.
sub fcgipm {
    my $command = File::Basename::dirname(Cwd::abs_path($FCGIPM::Library::FILE)) . '/fcgipm';
    -x $command or die "$command is needed: make build\n";
    return $command;
}

# The status of a Daemon, or of a manager with this pid.
sub status {
    my ($daemon) = @_;
    open my $pipe, '-|', fcgipm(), 'status', '--json', ref $daemon ? $daemon->pid : $daemon or die "fcgipm: $!";
    local $/;
    my $status = JSON::PP::decode_json(readline $pipe);
    close $pipe or die "fcgipm status: $?";
    return $status;
}

1;
