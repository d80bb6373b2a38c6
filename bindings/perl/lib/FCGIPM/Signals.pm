package FCGIPM::Signals;

# A worker's signal handlers. The library has them in C, where perl knows nothing of them: code that restores %SIG
# (`local @SIG{keys %SIG} = values %SIG`, which CGI::Compile does in each request) would put perl's own in their place,
# or none. So perl's table has a sub for each of them, which does the same where it is called, and Accept puts the
# library's back.

use strict;
use warnings;

use Config ();

use FCGIPM::FFI;
use FCGIPM::XS;

our $VERSION = '0.1.0';

my @NAME = split ' ', $Config::Config{sig_name};
my %NUMBER = map { $NAME[$_] => $_ } 0 .. $#NAME;

sub name_of   { return $NAME[ $_[0] ] }
sub number_of { return $NUMBER{ $_[0] } }

# Subs that stand in %SIG and that no program has put there.
our %not_the_programs;

# By the signal's name, those of them that stand for a handler of the library's.
my %stand_in;

# What Accept asks without FCGIPM::XS, which knows by itself: in a worker, whether URG is in perl's table what it was.
our $is_looking = 0;
my $urg;

# The library's wait was interrupted by the manager, and by nobody else who would want to know.
our $is_from_manager = 0;

sub has_handler {
    my ($signal) = @_;
    my $handler = $SIG{$signal};
    return defined $handler && $handler ne '' && $handler ne 'DEFAULT' && !$not_the_programs{$handler};
}

# Perl's handler, above the one that the library has put in its place. Assigning an element to itself would do nothing.
sub set_anew {
    my ($signal) = @_;
    my $handler = $SIG{$signal};
    $SIG{$signal} = $handler;
    return;
}

# The library handles the signal, and perl believes it to be this sub.
sub stand_in {
    my ($signal, $sub) = @_;
    $stand_in{$signal} = $not_the_programs{$sub} = $sub;
    $SIG{$signal} = $sub;
    _watch($signal);
    _protect($signal);
    return;
}

# In every worker: URG is how its manager reaches it. A handler that the program has for it is called as well.
sub expect_manager {
    $stand_in{URG} = $not_the_programs{ \&_from_manager } = \&_from_manager;
    restore();
    $is_looking = !$FCGIPM::XS::is_loaded;
    return;
}

# In a program that `fcgipm run` has made a worker, for the signals that it has not handled itself until then.
sub expect_signals {
    for my $signal (grep { !has_handler($_) } @_) {
        my $now = $SIG{$signal};
        stand_in($signal, ref $now ? $now : sub { FCGIPM::FFI::worker_retire() });
    }
    return expect_manager();
}

sub look {
    my $now = $SIG{URG};
    restore() if !ref $now || !defined $urg || $now != $urg;
    return;
}

# The library's handlers stand again wherever perl's table has not been given another by the program. A manager must be
# able to reach its worker, whatever the program has done.
sub restore {
    my $sub = $stand_in{URG} or return;
    $SIG{URG} = $sub if !has_handler('URG') || $SIG{URG} eq 'IGNORE';
    $urg = $SIG{URG};
    for my $signal (keys %stand_in) {
        my $now = $SIG{$signal};
        next if $signal ne 'URG' && !(ref $now && $now == $stand_in{$signal});
        _watch($signal);
        _protect($signal);
    }
    return;
}

# Perl calls it where its handler has taken the place of the library's.
sub _from_manager {
    $is_from_manager = 1;
    return restore();
}

# Perl gets a URG only while the program has a handler for it.
sub _protect {
    my ($signal) = @_;
    return FCGIPM::FFI::worker_protect_signal($NUMBER{$signal}, has_handler('URG') ? 1 : 0);
}

# Whatever is done to the element from now on has Accept call restore().
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
