package FCGI::ProcManager::MaxRequests;

# The module FCGI::ProcManager::MaxRequests: a worker exits after a number of requests. The library
# starts a replacement before it exits.

use strict;
use warnings;

use FCGI::ProcManager;

our $VERSION = '0.02';

our @ISA = 'FCGI::ProcManager';

sub new {
    my ($proto, $init) = @_;
    my $this = $proto->SUPER::new($init);
    $this->{max_requests} = $ENV{PM_MAX_REQUESTS} || 0 if !defined $this->{max_requests};
    return $this;
}

sub library_parameters {
    my ($this) = @_;
    return ($this->SUPER::library_parameters, max_requests => int FCGI::ProcManager::number($this->max_requests));
}

sub max_requests { return shift->pm_parameter(max_requests => @_) }

sub handling_init {
    my ($this) = @_;
    $this->SUPER::handling_init();
    $this->{_request_counter} = $this->max_requests;
    return;
}

# For programs that accept by other means: the library cannot count their requests.
sub pm_post_dispatch {
    my ($this) = @_;
    if ($this->{_request_counter} && !$this->is_replaced && --$this->{_request_counter} == 0) {
        return $this->_exit_gracefully('safe exit after max_requests');
    }
    return $this->SUPER::pm_post_dispatch();
}

1;

__END__

=head1 NAME

FCGIPM::Compat::MaxRequests - what C<use FCGI::ProcManager::MaxRequests> loads under FCGIPM::Compat

=head1 SYNOPSIS

    #!/usr/bin/perl
    use strict;
    use warnings;
    use FCGIPM::Compat;
    use FCGI;
    use FCGI::ProcManager::MaxRequests;

    my $request = FCGI::Request();
    my $manager = FCGI::ProcManager::MaxRequests->new({ n_processes => 5, max_requests => 500 });
    $manager->pm_manage();
    while ($request->Accept() >= 0) {
        $manager->pm_pre_dispatch();
        print "Content-Type: text/plain\r\n\r\nHello from $$\n";
        $manager->pm_post_dispatch();
    }

=head1 DESCRIPTION

A worker that has served C<max_requests> (or C<PM_MAX_REQUESTS> in the environment) is replaced. If
it accepts its requests through C<FCGI>, its successor is ready before it exits.

=head1 SEE ALSO

L<FCGIPM::Compat>

=cut
