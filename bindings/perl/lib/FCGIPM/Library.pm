package FCGIPM::Library;

# The functions of libfcgipm, each under its C name without the prefix `fcgipm_`, and the header's
# numbers. The other modules give the numbers a meaning for a Perl program.
#
# FCGIPM::XS calls the functions where it was built, and FCGIPM::FFI otherwise.

use strict;
use warnings;

use DynaLoader ();
use Errno ();

use FCGIPM::Library::Search;
use FCGIPM::XS;

our $VERSION = '0.1.0';

# The oldest libfcgipm that has all that these modules use.
use constant NEEDED => '0.1.0';

my %ERROR;

BEGIN {
    %ERROR = (
        EARGUMENT => -1,  EHANDLE => -2,      EFORKED => -3,    EADDRESS => -4,   EINUSE => -5,
        EOPTION => -6,    EVALUE => -7,       ESYSTEM => -8,    ESTATE => -9,     EINTERRUPTED => -10,
        ERETIRED => -11,  EABORTED => -12,    EINCOMPLETE => -13, EPROTOCOL => -14, ETIMEDOUT => -15,
        ECLOSED => -16,   ELISTENER => -17,   EDESCRIPTORS => -18, EPIDFILE => -19, ERUNNING => -20,
        ETHREADS => -21,  EPANIC => -22,      EFORKDUE => -23,
    );
}

use constant \%ERROR;
use constant {
    FAIL_ACCEPT_ON_INTR => 1,
    RETURN_ON_SIGNAL    => 2,

    PARAMS_ENVIRONMENT => 0,
    PARAMS_WELL_FORMED => 1,
    PARAMS_ALL         => 2,

    STREAM_STDOUT => 1,
    STREAM_STDERR => 2,

    EVENT_IN_WORKER      => 1,
    EVENT_STOPPED        => 2,
    EVENT_MANAGING       => 3,
    EVENT_WORKER_STARTED => 4,
    EVENT_WORKER_READY   => 5,
    EVENT_WORKER_EXITED  => 6,
    EVENT_RELOAD_BEGUN   => 7,
    EVENT_RELOAD_DONE    => 8,
    EVENT_RELOAD_FAILED  => 9,
    EVENT_STOPPING       => 10,
    EVENT_SIGNAL         => 11,
    EVENT_NOTICE         => 12,
    EVENT_RECYCLING      => 13,
    EVENT_SLOW_REQUEST   => 14,
    EVENT_REQUEST_TIMED_OUT => 15,
    EVENT_KILLING        => 16,
    EVENT_RESIZED        => 17,
    EVENT_EMERGENCY      => 18,
    EVENT_RECOVERED      => 19,
    EVENT_FORK           => 20,
};

# $! for errors of the library that do not set errno.
my %ERRNO = (
    EARGUMENT,    Errno::EINVAL,       EHANDLE,   Errno::EBADF,     EFORKED,     Errno::EPERM,
    EADDRESS,     Errno::EINVAL,       EINUSE,    Errno::EADDRINUSE, EOPTION,    Errno::EINVAL,
    EVALUE,       Errno::EINVAL,       ESTATE,    Errno::EINVAL,    EINTERRUPTED, Errno::EINTR,
    ERETIRED,     Errno::EINTR,        EABORTED,  Errno::ECONNABORTED, EINCOMPLETE, Errno::ECONNRESET,
    EPROTOCOL,    Errno::EPROTO,       ETIMEDOUT, Errno::ETIMEDOUT, ECLOSED,     Errno::EPIPE,
    ELISTENER,    Errno::EBADF,        EDESCRIPTORS, Errno::EMFILE, ERUNNING,    Errno::EEXIST,
);

# Binding to the library.

use constant UPGRADE => 'upgrade it (Debian: apt-get install libfcgipm0; from source: make install), or set FCGIPM_LIB to'
    . ' the file of another one';

our $BACKEND = _backend();
our $FILE = _attach_functions(FCGIPM::Library::Search::load());
_chain_handler();

# The class that calls the functions. It says when the compiled part exists and cannot be used:
# requests must not become slower without a word.
sub _backend {
    return 'FCGIPM::XS' if $FCGIPM::XS::is_loaded;
    local ($@, $!);
    my $has_ffi = eval {
        require FCGIPM::FFI;
        1;
    };
    if ($has_ffi) {
        warn "$FCGIPM::XS::reason; until then FFI::Platypus is used, and requests are slower\n" if $FCGIPM::XS::is_broken;
        return 'FCGIPM::FFI';
    }
    my $failure = $@ =~ /\ACan't locate / ? 'FFI::Platypus is not installed' : $@ =~ s/ at \S+ line \d+.*//sr;
    die "FCGIPM needs its compiled part or FFI::Platypus 2: $FCGIPM::XS::reason; $failure:",
        ' install FFI::Platypus (Debian: apt-get install libffi-platypus-perl; CPAN: cpanm FFI::Platypus),',
        " or build FCGIPM again with a C compiler\n";
}

sub _attach_functions {
    my ($handle, $name) = @_;
    my $version = DynaLoader::dl_find_symbol($handle, 'fcgipm_version')
        or die "$name is not libfcgipm: it has no function fcgipm_version; set FCGIPM_LIB to the file of libfcgipm.so.0\n";
    $BACKEND->attach(version => $version);
    my $found = version();
    my $file = FCGIPM::Library::Search::file_of($version) // $name;
    my $wrong = "FCGIPM $VERSION needs libfcgipm ${\ NEEDED } or later, and $file is libfcgipm $found";
    _number($found) >= _number(NEEDED) or die "$wrong: ", UPGRADE, "\n";
    for my $function (grep { $_ ne 'version' } $BACKEND->names) {
        my $address = DynaLoader::dl_find_symbol($handle, "fcgipm_$function")
            or die "$wrong without the function fcgipm_$function: ", UPGRADE, "\n";
        $BACKEND->attach($function => $address);
    }
    return $file;
}

# 1.2.3 as 1002003.
sub _number {
    my ($version) = @_;
    my ($major, $minor, $patch) = $version =~ /\A(\d+)\.(\d+)\.(\d+)/ or return 0;
    return ($major * 1000 + $minor) * 1000 + $patch;
}

# Perl has one C handler for all signals. It notes the signal, and the handler in %SIG runs later.
# Through the chain, a wait in the library knows of a signal that arrived just before it.
sub _chain_handler {
    my $handler = $BACKEND->handler_variable;
    signal_chain($handler) if defined $handler;
    return;
}

# Sets $! for an error. Set it to 0 before the call: if the call sets errno, that is the cause.
sub set_errno {
    my ($code) = @_;
    $! = $ERRNO{$code} if !$! && exists $ERRNO{$code};
    return;
}

# The text that a function like snprintf(3) writes, or undef for an error.
sub text_of {
    my ($function, @arguments) = @_;
    my $size = 256;
    for (;;) {
        my $buffer = '';
        vec($buffer, $size - 1, 8) = 0;
        my $length = $function->(@arguments, $buffer, $size);
        return undef if $length < 0;
        return substr $buffer, 0, $length if $length < $size;
        $size = $length + 1;
    }
}

# The bytes at a pointer that the library has returned.
sub bytes_at {
    my ($pointer, $length) = @_;
    return unpack "P$length", pack 'J', $pointer;
}

1;

__END__

=head1 NAME

FCGIPM::Library - finds and calls the library behind FCGIPM

=head1 SYNOPSIS

    #!/usr/bin/perl
    use strict;
    use warnings;
    use FCGIPM::Library;

    print "libfcgipm ", FCGIPM::Library::version(), " from $FCGIPM::Library::FILE\n";

=head1 DESCRIPTION

This module is for the other modules of the distribution. It searches for the library

=over 4

=item 1.

in the file that the environment variable C<FCGIPM_LIB> names; if it is set, nowhere else,

=item 2.

if the module is in a build tree, in that tree (F<target/release/libfcgipm.so>),

=item 3.

where the dynamic linker finds F<libfcgipm.so.0> (L<ld.so(8)>).

=back

C<FCGIPM_LIB> is ignored in a program that runs with more privileges than its caller has.

If the library cannot be loaded, or is older than these modules need, C<use FCGIPM> dies with one
line that names the file, the reason and the remedy.

=head1 SEE ALSO

L<FCGIPM>, L<FCGIPM::XS>, L<FCGIPM::FFI>

=cut
