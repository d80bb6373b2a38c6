package FCGI::ProcManager::Constrained;

# The module FCGI::ProcManager::Constrained: a worker exits after a number of requests, or above a
# size. The library starts a replacement before a worker exits.

use strict;
use warnings;

use FCGI::ProcManager;

our $VERSION = '0.28';

our @ISA = 'FCGI::ProcManager';

sub new {
    my ($proto, $init) = @_;
    my $this = $proto->SUPER::new($init);
    for my $name (qw(max_requests sizecheck_num_requests max_size)) {
        $this->{$name} = $ENV{ 'PM_' . uc $name } || 0 if !defined $this->{$name};
    }
    return $this;
}

sub library_parameters {
    my ($this) = @_;
    return ($this->SUPER::library_parameters, max_requests => int FCGI::ProcManager::number($this->max_requests));
}

sub max_requests           { return shift->pm_parameter(max_requests           => @_) }
sub sizecheck_num_requests { return shift->pm_parameter(sizecheck_num_requests => @_) }
sub max_size               { return shift->pm_parameter(max_size               => @_) }

sub handling_init {
    my ($this) = @_;
    $this->SUPER::handling_init();
    $this->{_request_counter} = 0;
    return;
}

# A worker counts its requests here only if the library does not count them. The size, in KiB,
# includes shared memory, as with the original.
sub pm_post_dispatch {
    my ($this) = @_;
    my $served = ++$this->{_request_counter};
    if ($served == ($this->max_requests || 0) && !$this->is_replaced) {
        return $this->_exit_gracefully("safe exit after max_requests ($served)");
    }
    my $every = $this->sizecheck_num_requests;
    if ($every && $served % $every == 0 && $this->_limits_are_exceeded) {
        return $this->_exit_gracefully("safe exit due to memory limits exceeded after $served requests");
    }
    return $this->SUPER::pm_post_dispatch();
}

sub _limits_are_exceeded {
    my ($this) = @_;
    my $limit = $this->max_size or return 0;
    open my $statm, '<', '/proc/self/statm' or return 0;
    my ($pages) = split ' ', scalar <$statm>;
    close $statm;
    require POSIX;
    return $pages * POSIX::sysconf(POSIX::_SC_PAGESIZE()) / 1024 > $limit;
}

1;

__END__

=head1 NAME

FCGIPM::Compat::Constrained - what C<use FCGI::ProcManager::Constrained> loads under FCGIPM::Compat

=head1 SYNOPSIS

    #!/usr/bin/perl
    use strict;
    use warnings;
    use FCGIPM::Compat;
    use FCGI;
    use FCGI::ProcManager::Constrained;

    my $request = FCGI::Request();
    my $manager = FCGI::ProcManager::Constrained->new(
        { n_processes => 5, max_requests => 500, sizecheck_num_requests => 10, max_size => 200_000 });
    $manager->pm_manage();
    while ($request->Accept() >= 0) {
        $manager->pm_pre_dispatch();
        print "Content-Type: text/plain\r\n\r\nHello from $$\n";
        $manager->pm_post_dispatch();
    }

=head1 DESCRIPTION

A worker exits and is replaced after it has served C<max_requests>, or when it is larger than
C<max_size> KiB. The size is checked after every C<sizecheck_num_requests> requests. The defaults
are C<PM_MAX_REQUESTS>, C<PM_SIZECHECK_NUM_REQUESTS> and C<PM_MAX_SIZE> in the environment.

=head1 SEE ALSO

L<FCGIPM::Compat>

=cut
