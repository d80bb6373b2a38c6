package FCGIPM;

# FCGI's functions on libfcgipm.

use strict;
use warnings;

use FCGIPM::Alias;
use FCGIPM::FFI;
use FCGIPM::Request;
use FCGIPM::Stream::Format;

our $VERSION = '0.1.0';

sub FAIL_ACCEPT_ON_INTR () { return FCGIPM::FFI::FAIL_ACCEPT_ON_INTR }

sub OpenSocket($$) {
    my ($address, $backlog) = @_;
    $! = 0;
    my $descriptor = FCGIPM::FFI::socket_open($address, $backlog, undef);
    return $descriptor if $descriptor >= 0;
    FCGIPM::FFI::set_errno($descriptor);
    return -1;
}

sub CloseSocket($) {
    my ($descriptor) = @_;
    $! = 0;
    my $result = FCGIPM::FFI::socket_close($descriptor);
    FCGIPM::FFI::set_errno($result) if $result < 0;
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

sub last_error () { return FCGIPM::FFI::last_error_message() }

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

The functions and methods of L<FCGI> 0.82 under another name: a program changes C<FCGI> to C<FCGIPM> and C<FCGI::ProcManager>
to C<FCGIPM::ProcManager>, and nothing else. The work is done by the library libfcgipm; see L<FCGIPM::FFI> for where it is looked for.

=head1 FUNCTIONS

=over 4

=item FCGIPM::OpenSocket(ADDRESS, BACKLOG)

Opens a listening socket and returns its descriptor, or -1 with C<$!> set. Addresses: C<:9005> (all interfaces), C<127.0.0.1:9005>,
C<host:9005>, C<[::1]:9005>, C</path> or C<unix:/path>, C<@name> (abstract), C<fd:N>.

When the process manager stops, nothing arrives at the socket any more, what waits in its queue is answered, and its file is removed.

=item FCGIPM::CloseSocket(DESCRIPTOR)

Closes it.

=item FCGIPM::Request([IN, OUT, ERR, ENVIRONMENT, SOCKET, FLAGS])

Makes a request object (L<FCGIPM::Request>). The defaults are C<\*STDIN>, C<\*STDOUT>, C<\*STDERR>, C<\%ENV>, 0 (the descriptor that a
web server or C<spawn-fcgi> hands over) and C<FCGIPM::FAIL_ACCEPT_ON_INTR>. Handles are references to globs, IO::Handle
objects among them; the environment is a reference to a hash; the socket is a descriptor or a handle.

=item FCGIPM::FAIL_ACCEPT_ON_INTR

The flag that makes Accept return when a signal came.

=item FCGIPM::last_error()

What the library says about its last error, with the name of the thing and its value: C<listen address ':99999': port out of range 0..65535>.

=back

=head1 ENVIRONMENT

C<FCGIPM_LIB> is the library's file. C<FCGIPM_XS=0> leaves the compiled part out (L<FCGIPM::XS>). C<FCGIPM_> and the name of an option in upper case (C<FCGIPM_N_PROCESSES=5>) sets the option and wins
over the program.

=head1 DIFFERENCES FROM FCGI 0.82

Those that are meant are listed in L<FCGIPM::Request> and L<FCGIPM::Stream>. Of the functions here: OpenSocket takes more forms of
address, refuses the path of a socket on which somebody still answers, and never ends the process.

=head1 SEE ALSO

L<FCGIPM::ProcManager>

=head1 LICENCE

MIT OR Apache-2.0

=cut
