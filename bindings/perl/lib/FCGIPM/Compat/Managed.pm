package FCGIPM::Compat::Managed;

# Workers for a program that has no process manager of its own, when the operator asks for them:
# FCGIPM_N_PROCESSES=5 in front of a script that only says `while (CGI::Fast->new)`. They are made where the
# program first waits for a request.

use strict;
use warnings;

our $VERSION = '0.1.0';

# The question is still open in this process.
our $is_open = 1;

# Somebody manages: the program's own manager, or the one above this worker.
sub settle {
    $is_open = 0;
    return;
}

sub ensure {
    my ($request) = @_;
    settle();
    return if !$ENV{FCGIPM_N_PROCESSES} || !$request->IsFastCGI;
    require FCGIPM::ProcManager;
    FCGIPM::ProcManager->new({ pm_title => $0 })->pm_manage;
    return;
}

1;

__END__

=head1 NAME

FCGIPM::Compat::Managed - workers for a program that has no process manager

=head1 SYNOPSIS

    #!/usr/bin/perl
    use strict;
    use warnings;
    use FCGIPM::Compat;
    use FCGI;

    # FCGIPM_N_PROCESSES=5 in the environment makes five of it.
    my $socket  = FCGI::OpenSocket('/run/app.sock', 100);
    my $request = FCGI::Request(\*STDIN, \*STDOUT, \*STDERR, \%ENV, $socket);
    while ($request->Accept() >= 0) {
        print "Content-Type: text/plain\r\n\r\nHello from $$\n";
    }


=head1 DESCRIPTION

When C<FCGIPM_N_PROCESSES> is set, and the program has come to its first C<Accept> without a manager of its own, a manager is started
there, and the workers go on behind it. The process that was started stays the manager.


=head1 SEE ALSO

L<FCGIPM::Compat>

=cut
