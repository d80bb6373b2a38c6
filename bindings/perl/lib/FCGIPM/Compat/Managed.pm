package FCGIPM::Compat::Managed;

# What the operator adds to a program that leaves it to whoever starts it: a socket, and workers.
# FCGI_SOCKET_PATH is where a request listens that names no socket, if descriptor 0 is none. FCGIPM_N_PROCESSES=5
# makes five of a program that has no process manager of its own, where it first waits for a request.

use strict;
use warnings;

our $VERSION = '0.1.0';

# The question whether there is a manager is still open in this process.
our $is_open = 1;

# Where requests listen that name no socket, once it is known. Looked up once, because a program may put another
# file at descriptor 0, and every request replaces %ENV. In a manager's workers it is the manager's.
my $socket;
my $address;

# Somebody manages: the program's own manager, or the one above this worker.
sub settle {
    $is_open = 0;
    return;
}

sub default_socket {
    return $socket if defined $socket;
    my $path = $ENV{FCGI_SOCKET_PATH};
    # A program that a web server has started for one request (CGI) has no use for another.
    my $is_asked = defined $path && length $path && !defined $ENV{GATEWAY_INTERFACE} && !FCGIPM::FFI::socket_is_listening(0);
    my $opened = $is_asked ? FCGI::OpenSocket($path, $ENV{FCGI_LISTEN_QUEUE} || 100) : 0;
    return $opened if $opened < 0;
    $address = $path if $is_asked;
    return $socket = $opened;
}

# Before the workers are made. A program that makes its requests, or opens that address, in each of them gets the
# one socket there; one that has opened a socket before has no use for another.
sub open_for_workers {
    return if !defined &FCGI::OpenSocket || $FCGI::has_opened || default_socket() >= 0;
    require Carp;
    Carp::croak(FCGIPM::FFI::last_error_message());
}

# What is open already at an address that the program wants to open; forgotten once the program closes it.
sub opened {
    my ($path) = @_;
    return defined $address && defined $path && $path eq $address ? $socket : undef;
}

sub closed {
    my ($descriptor) = @_;
    return if !defined $address || !defined $descriptor || $descriptor ne $socket;
    ($address, $socket) = ();
    return;
}

# Without workers nobody becomes another user. That is said here and not found out later.
my @FOR_WORKERS_ONLY = map { "FCGIPM_$_" } qw(USER GROUP CHROOT);

sub ensure {
    my ($request) = @_;
    settle();
    return if !$request->IsFastCGI || defined $ENV{FCGIPM_WORKER} || FCGIPM::FFI::environment_is_untrusted();
    return if !$ENV{FCGIPM_N_PROCESSES} && !grep { defined $ENV{$_} && length $ENV{$_} } @FOR_WORKERS_ONLY;
    require FCGIPM::ProcManager;
    # The script has not asked for a manager, so it is named as it was: some look in $0 for their own file.
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

    # In the environment: FCGI_SOCKET_PATH=/run/app.sock is the address, FCGIPM_N_PROCESSES=5 starts five workers.
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

Without C<FCGI_SOCKET_PATH> everything is as with FCGI: the request is that of the environment. The
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
