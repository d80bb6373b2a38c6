package FCGIPM::Compat::Managed;

# The environment gives a program a socket and workers, if it has none. FCGI_SOCKET_PATH is the
# address of requests without a socket, if descriptor 0 is not a listening socket. With
# FCGIPM_N_PROCESSES=5, a program without its own process manager is forked into five workers where
# it first waits for a request.

use strict;
use warnings;

use FCGIPM::Library;
use FCGIPM::Library::Search;

our $VERSION = '0.1.0';

# FCGIPM::Compat was there before the program could change its title; the library was not.
require FCGIPM::Compat;
if (my ($command_line, $environment, $directory) = @FCGIPM::Compat::STARTED) {
    FCGIPM::Library::process_started($command_line, length $command_line, $environment, length $environment, $directory)
        if defined $directory;
}

# FCGI's OpenSocket, once that module is loaded, and whether the program has opened a socket or
# created a request.
our ($open_socket, $has_opened);

# True until it is known whether this process has a manager.
our $is_undecided = 1;

# The socket of requests without one, and its address. Determined once, because a program may put
# another file at descriptor 0, and every request replaces %ENV. Workers inherit the manager's.
my $socket;
my $address;

# There is a manager: the program's own, or this worker's.
sub manager_is_known {
    $is_undecided = 0;
    return;
}

sub default_socket {
    return $socket if defined $socket;
    my $path = $ENV{FCGI_SOCKET_PATH};
    # A program that a web server has started as CGI serves only that request.
    my $is_asked = defined $path && length $path && !defined $ENV{GATEWAY_INTERFACE} && !FCGIPM::Library::socket_is_listening(0);
    my $opened = $is_asked ? $open_socket->($path, $ENV{FCGI_LISTEN_QUEUE} || 100) : 0;
    return $opened if $opened < 0;
    $address = $path if $is_asked;
    return $socket = $opened;
}

# Before the workers are forked, so that workers that create their requests, or open this address,
# share one socket. Not for a program that has opened a socket itself.
sub open_for_workers {
    return if !$open_socket || $has_opened || default_socket() >= 0;
    require Carp;
    Carp::croak(FCGIPM::Library::last_error_message());
}

# The socket, if it is open at the address that the program is about to open. Until the program
# closes it.
sub open_socket_at {
    my ($path) = @_;
    return defined $address && defined $path && $path eq $address ? $socket : undef;
}

sub forget_socket {
    my ($descriptor) = @_;
    return if !defined $address || !defined $descriptor || $descriptor ne $socket;
    ($address, $socket) = ();
    return;
}

# These options apply only to workers. The manager refuses them if there are none.
my @FOR_WORKERS_ONLY = map { "FCGIPM_$_" } qw(USER GROUP CHROOT);

# At the first Accept: starts a manager if the environment asks for one.
sub start_manager {
    my ($request) = @_;
    manager_is_known();
    return if !$request->IsFastCGI || defined $ENV{FCGIPM_WORKER} || FCGIPM::Library::Search::environment_is_untrusted();
    return if !$ENV{FCGIPM_N_PROCESSES} && !grep { defined $ENV{$_} && length $ENV{$_} } @FOR_WORKERS_ONLY;
    require FCGIPM::ProcManager;
    # Keeps $0, because the script did not ask for a manager, and may find its own file by $0.
    FCGIPM::ProcManager->new({ pm_title => $0, keeps_name => 1 })->pm_manage;
    return;
}

1;

__END__

=head1 NAME

FCGIPM::Compat::Managed - a socket and workers for a program that has neither

=head1 SYNOPSIS

    #!/usr/bin/perl
    use strict;
    use warnings;
    use FCGIPM::Compat;
    use FCGI;

    # In the environment: FCGI_SOCKET_PATH=/run/app.sock is the address, FCGIPM_N_PROCESSES=5 starts
    # five workers.
    my $request = FCGI::Request();
    while ($request->Accept() >= 0) {
        print "Content-Type: text/plain\r\n\r\nHello from $$\n";
    }

=head1 DESCRIPTION

=head2 The socket

C<FCGI::Request()> without a socket uses descriptor 0, which C<spawn-fcgi>, a web server or systemd
passes to the program. If descriptor 0 is not a listening socket and C<FCGI_SOCKET_PATH> is set, the
first such call opens that address. The backlog is C<FCGI_LISTEN_QUEUE>, or 100. Later calls use the
same socket.

If the manager starts before any socket is open, C<pm_manage> opens it. So all workers share it,
even if each of them calls C<CGI::Fast-E<gt>new>. An address that cannot be opened is an error of
C<Request> or C<pm_manage>.

C<FCGIPM_LISTEN> is used instead of descriptor 0 and of C<FCGI_SOCKET_PATH>.

Without these variables everything is as with FCGI: the request is that of the environment. The
same is true for a program that a web server has started as CGI (C<GATEWAY_INTERFACE> is set).

=head2 The workers

If C<FCGIPM_N_PROCESSES> is set and the program reaches its first C<Accept> without a manager of its
own, a manager is started there. The workers continue from that point. The process that was started
becomes the manager, and C<$0> remains the script's name.

C<FCGIPM_USER>, C<FCGIPM_GROUP> and C<FCGIPM_CHROOT> apply to workers; if there are none, these
variables are refused.

=head1 SEE ALSO

L<FCGIPM::Compat>

=cut
