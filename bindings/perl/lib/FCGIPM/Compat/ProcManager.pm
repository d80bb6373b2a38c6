package FCGI::ProcManager;

# The module FCGI::ProcManager, on libfcgipm's manager.

use strict;
use warnings;

use Exporter ();
use POSIX ();

use FCGIPM::Alias;
use FCGIPM::Compat::Managed;
use FCGIPM::ProcManager;
use FCGIPM::Request::Loop;

our $VERSION = '0.28';

our @ISA = 'FCGIPM::ProcManager';
our @EXPORT_OK = @FCGIPM::ProcManager::EXPORT_OK;
our %EXPORT_TAGS = (all => \@EXPORT_OK);

# Its variables are aliases of those in the module that does the work.
our ($Default, $Q, $SIG_CODEREF);
*Default     = \$FCGIPM::ProcManager::Default;
*Q           = \$FCGIPM::ProcManager::Q;
*SIG_CODEREF = \$FCGIPM::ProcManager::SIG_CODEREF;
$Default = __PACKAGE__;

# Exporter, and calls by full name, do not find inherited functions.
BEGIN {
    FCGIPM::Alias::alias_all('FCGI::ProcManager', 'FCGIPM::ProcManager',
        grep({ /\Apm_/ && $_ ne 'pm_manage' } @FCGIPM::ProcManager::EXPORT_OK),
        qw(new managing_init handling_init sig_sub sig_manager sig_handler self_or_default _set_signal_handler
        n_processes pid_fname no_signals die_timeout role start_delay));
    FCGIPM::Alias::alias('FCGI::ProcManager::import', \&Exporter::import);
}

sub pm_manage {
    FCGIPM::Compat::Managed::manager_is_known();
    FCGIPM::Compat::Managed::open_for_workers();
    goto &FCGIPM::ProcManager::pm_manage;
}

# Only FCGI::ProcManager's own parameters become options of the library, with the values that it
# would read. All other options come from the environment.
sub library_parameters {
    my ($this) = @_;
    my %parameters = map { $_ => number(scalar $this->$_) } qw(n_processes die_timeout start_delay);
    $parameters{n_processes} = POSIX::ceil($parameters{n_processes});
    $parameters{die_timeout} = int $parameters{die_timeout};
    $parameters{no_signals} = $this->no_signals ? 1 : 0;
    $parameters{pid_fname} = $this->pid_fname;
    return %parameters;
}

sub shown_parameters { return }

# FCGI::ProcManager's words, with the wait status.
sub _how_ended { return "exited with status $_[1]" }

# The numeric value, as perl converts it; 0 for a negative one.
sub number {
    my ($value) = @_;
    no warnings qw(numeric uninitialized);
    my $number = $value + 0;
    return $number > 0 ? $number : 0;
}

# True in a worker whose requests the library counts: it then starts the replacement before the
# worker exits.
sub is_replaced {
    my ($this) = @_;
    return $this->{MANAGER_PID} && FCGIPM::Request::Loop::is_running();
}

1;

__END__

=head1 NAME

FCGIPM::Compat::ProcManager - what C<use FCGI::ProcManager> loads under FCGIPM::Compat

=head1 SYNOPSIS

    #!/usr/bin/perl
    use strict;
    use warnings;
    use FCGIPM::Compat;
    use FCGI;
    use FCGI::ProcManager qw(:all);

    my $request = FCGI::Request();
    pm_manage(n_processes => 5);
    while ($request->Accept() >= 0) {
        pm_pre_dispatch();
        print "Content-Type: text/plain\r\n\r\nHello from $$\n";
        pm_post_dispatch();
    }

=head1 DESCRIPTION

The interface of FCGI::ProcManager 0.28 in the package C<FCGI::ProcManager>, implemented by
L<FCGIPM::ProcManager>. Subclasses, the functions of the tag C<:all> and the default object work as
with the original.

=head1 SEE ALSO

L<FCGIPM::Compat>

=cut
