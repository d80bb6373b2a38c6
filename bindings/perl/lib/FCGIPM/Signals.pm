package FCGIPM::Signals;

# A worker's signal handlers. The library installs them in C, so perl does not know of them: code
# that restores %SIG (`local @SIG{keys %SIG} = values %SIG`, which CGI::Compile does in each
# request) would install perl's own handlers, or none. So %SIG holds a placeholder for each of them,
# a sub that does the same when perl calls it, and Accept puts the library's handlers back.

use strict;
use warnings;

use Config ();

use FCGIPM::Library;
use FCGIPM::XS;

our $VERSION = '0.1.0';

my @NAME = split ' ', $Config::Config{sig_name};
my %NUMBER = map { $NAME[$_] => $_ } 0 .. $#NAME;

sub name_of   { return $NAME[ $_[0] ] }
sub number_of { return $NUMBER{ $_[0] } }

# Subs in %SIG that this distribution has put there, and not the program.
our %is_ours;

# The placeholders by the name of their signal.
my %placeholder;

# Without FCGIPM::XS, which notices changes of %SIG, Accept calls check() in a worker: it compares
# the element for URG.
our $needs_check = 0;
my $urg;

# The manager has interrupted the library's wait. The program is not concerned.
our $woken_by_manager = 0;

# Whether the program itself handles the signal.
sub has_handler {
    my ($signal) = @_;
    my $handler = $SIG{$signal};
    return defined $handler && $handler ne '' && $handler ne 'DEFAULT' && !$is_ours{$handler};
}

# Installs perl's handler again, in place of the library's.
sub reinstall {
    my ($signal) = @_;
    my $handler = $SIG{$signal};
    $SIG{$signal} = $handler;
    return;
}

# The library handles the signal, and %SIG holds this sub.
sub install {
    my ($signal, $sub) = @_;
    $placeholder{$signal} = $is_ours{$sub} = $sub;
    $SIG{$signal} = $sub;
    _watch($signal);
    _protect($signal);
    return;
}

# In every worker: the manager notifies it by URG. If the program has a handler for URG, that is
# called as well.
sub install_for_worker {
    $placeholder{URG} = $is_ours{ \&_on_urg } = \&_on_urg;
    restore();
    $needs_check = !$FCGIPM::XS::is_loaded;
    return;
}

# In a program that `fcgipm run` has started as a worker, for those of the signals that the program
# does not handle.
sub install_for_program {
    for my $signal (grep { !has_handler($_) } @_) {
        my $handler = $SIG{$signal};
        install($signal, ref $handler ? $handler : sub { FCGIPM::Library::worker_retire() });
    }
    return install_for_worker();
}

sub check {
    my $handler = $SIG{URG};
    restore() if !ref $handler || !defined $urg || $handler != $urg;
    return;
}

# Installs the library's handlers again, except where the program has assigned one of its own. The
# handler for URG is installed in any case, because the manager must be able to reach its worker.
sub restore {
    my $sub = $placeholder{URG} or return;
    $SIG{URG} = $sub if !has_handler('URG') || $SIG{URG} eq 'IGNORE';
    $urg = $SIG{URG};
    for my $signal (keys %placeholder) {
        my $handler = $SIG{$signal};
        next if $signal ne 'URG' && !(ref $handler && $handler == $placeholder{$signal});
        _watch($signal);
        _protect($signal);
    }
    return;
}

# Called by perl only where its handler has replaced the library's.
sub _on_urg {
    $woken_by_manager = 1;
    return restore();
}

# Perl receives URG only while the program has a handler for it.
sub _protect {
    my ($signal) = @_;
    return FCGIPM::Library::worker_protect_signal($NUMBER{$signal}, has_handler('URG') ? 1 : 0);
}

# After any change of the element, Accept calls restore().
sub _watch {
    my ($signal) = @_;
    FCGIPM::XS::watch_signal(\$SIG{$signal}) if $FCGIPM::XS::is_loaded;
    return;
}

1;

__END__

=head1 NAME

FCGIPM::Signals - the signal handlers of a worker

=head1 SYNOPSIS

    #!/usr/bin/perl
    use strict;
    use warnings;
    use FCGIPM::Signals;

    print FCGIPM::Signals::has_handler('TERM') ? "TERM is the program's\n" : "TERM is not handled\n";

=head1 DESCRIPTION

For the other modules of the distribution.

A worker has the library's handlers for TERM, HUP, INT, QUIT and URG. C<%SIG> holds a sub for each
of them, which does the same when perl calls it. Code that saves and restores C<%SIG> in a request,
or clears it, puts perl's handlers in place of the library's. The next C<Accept> restores the
library's handlers.

A handler that the program assigns to TERM, HUP, INT or QUIT replaces the library's. A handler that
it assigns to URG is called for every URG, including those from the manager.

=cut
