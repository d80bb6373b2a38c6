package FCGIPM;

# FCGI's functions on libfcgipm.

use strict;
use warnings;

use FCGIPM::Alias;
use FCGIPM::Library;
use FCGIPM::Request;
use FCGIPM::Stream::Format;

our $VERSION = '0.1.0';

sub FAIL_ACCEPT_ON_INTR () { return FCGIPM::Library::FAIL_ACCEPT_ON_INTR }

sub OpenSocket($$) {
    my ($address, $backlog) = @_;
    $! = 0;
    my $descriptor = FCGIPM::Library::socket_open($address, $backlog, undef);
    return $descriptor if $descriptor >= 0;
    FCGIPM::Library::set_errno($descriptor);
    return -1;
}

sub CloseSocket($) {
    my ($descriptor) = @_;
    $! = 0;
    my $result = FCGIPM::Library::socket_close($descriptor);
    FCGIPM::Library::set_errno($result) if $result < 0;
    return;
}

sub Request(;***$*$) {
    my @arguments = (\*STDIN, \*STDOUT, \*STDERR, \%ENV, 0, FAIL_ACCEPT_ON_INTR);
    splice @arguments, 0, @_, @_;
    return &RequestX(@arguments);
}

sub RequestX(***$$$) {
    my @arguments = @_;
    if (defined $arguments[4]) {
        my $descriptor = fileno $arguments[4];
        $arguments[4] = $descriptor if defined $descriptor;
    }
    return 'FCGIPM::Request'->create(@arguments);
}

# XS or FFI: what calls the library.
sub backend { return $FCGIPM::Library::BACKEND =~ s/.*:://r }

sub last_error () { return FCGIPM::Library::last_error_message() }

# FCGI's methods are functions too: FCGI::Accept($request).
BEGIN {
    FCGIPM::Alias::alias_all('FCGIPM', 'FCGIPM::Request',
        qw(Accept Finish Flush Detach Attach LastCall GetEnvironment GetHandles IsFastCGI StartFilterData));
}

1;

__END__

=encoding UTF-8

=head1 NAME

FCGIPM - FastCGI for Perl programs, on libfcgipm

=head1 SYNOPSIS

    #!/usr/bin/perl
    use strict;
    use warnings;
    use FCGIPM;
    use FCGIPM::ProcManager;

    my $socket = FCGIPM::OpenSocket(':9005', 100);
    $socket >= 0 or die FCGIPM::last_error(), "\n";
    my $request = FCGIPM::Request(\*STDIN, \*STDOUT, \*STDERR, \%ENV, $socket, FCGIPM::FAIL_ACCEPT_ON_INTR);

    my $manager = FCGIPM::ProcManager->new({ n_processes => 5 });
    $manager->pm_manage();

    while ($request->Accept() >= 0) {
        $manager->pm_pre_dispatch();
        print "Content-Type: text/plain\r\n\r\nHello from $$\n";
        $manager->pm_post_dispatch();
    }

=head1 DESCRIPTION

The functions and methods of L<FCGI> 0.82 under another name. To port a program, change C<FCGI> to
C<FCGIPM> and C<FCGI::ProcManager> to C<FCGIPM::ProcManager>, and check the result of C<OpenSocket>,
which no longer ends the program when it fails. The library libfcgipm does the work; L<FCGIPM::Library>
describes where it is searched for.

=head1 INSTALLATION

The modules need the library, libfcgipm.so.0.

=over 4

=item Debian

    apt-get install libfcgipm-perl

The package contains the compiled part and depends on the package of the library, libfcgipm0.

=item CPAN

    apt-get install libfcgipm0    # or the library from source
    cpanm FCGIPM

With a C compiler and perl's headers, F<Makefile.PL> builds the compiled part. Otherwise it says so,
and L<FFI::Platypus> calls the library; C<perl Makefile.PL PUREPERL_ONLY=1> chooses that. Without the
library it says where it has searched and what to install.

=item Source

C<make build> and C<make install> in the source tree install the library and the modules.

=back

=head1 FUNCTIONS

=over 4

=item FCGIPM::OpenSocket(ADDRESS, BACKLOG)

Opens a listening socket and returns its descriptor, or -1 with C<$!> set. Addresses are C<:9005>
(all interfaces), C<127.0.0.1:9005>, C<host:9005>, C<[::1]:9005>, C</path> or C<unix:/path>,
C<@name> (abstract), C<fd:N>, and C<fd:NAME> for a socket that systemd has passed by this name. If
systemd has passed a socket with this address, it is returned. The environment variable
C<FCGIPM_LISTEN> replaces the address, and also descriptor 0 for a program that calls no OpenSocket.

When the process manager stops, no new connection reaches the socket. Connections that wait in its
listen queue are still answered, and the socket file is removed.

=item FCGIPM::CloseSocket(DESCRIPTOR)

Closes the socket.

=item FCGIPM::Request([IN, OUT, ERR, ENVIRONMENT, SOCKET, FLAGS])

Creates a request object (L<FCGIPM::Request>). The defaults are C<\*STDIN>, C<\*STDOUT>,
C<\*STDERR>, C<\%ENV>, 0 (the descriptor that a web server or C<spawn-fcgi> passes) and
C<FCGIPM::FAIL_ACCEPT_ON_INTR>. The handles are glob references; IO::Handle objects are such
references, too. The environment is a hash reference. The socket is a descriptor or a handle.

=item FCGIPM::FAIL_ACCEPT_ON_INTR

The flag that makes Accept return when a signal arrives.

=item FCGIPM::last_error()

The message of the library's last error, with the value that caused it: C<listen address ':99999':
port out of range 0..65535>.

=item FCGIPM->backend

C<XS> if the library is called by the compiled part, C<FFI> if it is called through
L<FFI::Platypus>, which is slower. L<FCGIPM::XS/"WHICH ONE IS USED"> says when.

=back

=head1 ENVIRONMENT

=over 4

=item FCGIPM_LIB

The file of the library (L<FCGIPM::Library>).

=item FCGIPM_XS=0

Disables the compiled part (L<FCGIPM::XS>).

=item FCGIPM_I<OPTION>

C<FCGIPM_> and the name of an option in upper case, such as C<FCGIPM_N_PROCESSES=5>, sets that
option. It overrides the program.

=back

=head1 DIFFERENCES FROM FCGI 0.82

The intended differences are listed in L<FCGIPM::Request> and L<FCGIPM::Stream>. On this page only
OpenSocket differs: it accepts more forms of address, refuses the path of a socket on which a
process still answers, and never ends the process.

=head1 SEE ALSO

L<FCGIPM::ProcManager>

=head1 LICENCE

MIT OR Apache-2.0

=cut
