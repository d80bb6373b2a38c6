package FCGIPM::FFI;

# Finds libfcgipm and attaches its functions, each under its C name without the prefix `fcgipm_`.
# The other modules give the numbers a meaning for a Perl program.

use strict;
use warnings;

use Cwd ();
use Errno ();
my $warnings;
BEGIN { ($warnings, $^W) = ($^W, 0) }    # it warns under -w, for which the program is not responsible
use FFI::Platypus 2.00;
use FFI::Platypus::DL qw(dlopen dlerror dlclose RTLD_PLATYPUS_DEFAULT);
BEGIN { $^W = $warnings }
use File::Basename ();
use File::Spec ();

our $VERSION = '0.1.0';

my @SYSTEM_NAMES = qw(libfcgipm.so.0 libfcgipm.so);

my %ERROR;

BEGIN {
    %ERROR = (
        EARGUMENT => -1,  EHANDLE => -2,      EFORKED => -3,    EADDRESS => -4,   EINUSE => -5,
        EOPTION => -6,    EVALUE => -7,       ESYSTEM => -8,    ESTATE => -9,     EINTERRUPTED => -10,
        ERETIRED => -11,  EABORTED => -12,    EINCOMPLETE => -13, EPROTOCOL => -14, ETIMEDOUT => -15,
        ECLOSED => -16,   ELISTENER => -17,   EDESCRIPTORS => -18, EPIDFILE => -19, ERUNNING => -20,
        ETHREADS => -21,  EPANIC => -22,
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

# A buffer that the library fills is declared as a string, too: Platypus then passes the address of
# the scalar's buffer, and no call copies or packs anything.
my @FUNCTIONS = (
    version            => []                                 => 'string',
    last_error_message => []                                 => 'string',
    error_name         => ['sint32']                         => 'string',
    log_write          => [ 'string', 'size_t' ]             => 'sint32',
    options_new        => []                                 => 'opaque',
    options_free       => ['opaque']                         => 'void',
    options_set        => [ 'opaque', 'string', 'string' ]   => 'sint32',
    options_effective  => [ 'opaque', 'string', 'string', 'size_t' ] => 'sint32',
    socket_open        => [ 'string', 'sint32', 'opaque' ]   => 'sint32',
    socket_close       => ['sint32']                         => 'sint32',
    socket_is_listening => ['sint32']                        => 'sint32',

    request_new             => [ 'sint32', 'uint32', 'opaque' ]           => 'opaque',
    request_free            => ['opaque']                                 => 'void',
    request_accept          => ['opaque']                                 => 'sint32',
    request_forget_signals  => ['opaque']                                 => 'sint32',
    request_finish_with     => [ 'opaque', 'string', 'size_t' ]           => 'sint32',
    request_abandon         => ['opaque']                                 => 'sint32',
    request_continue_in_child  => ['opaque']                                 => 'sint32',
    request_read_in_child   => ['opaque']                                 => 'sint32',
    request_detach          => ['opaque']                                 => 'sint32',
    request_attach          => ['opaque']                                 => 'sint32',
    request_belongs_here    => [ 'opaque', 'uint32' ]                     => 'sint32',
    request_set_exit_status => [ 'opaque', 'uint32' ]                     => 'sint32',
    request_peer_address    => [ 'opaque', 'string', 'size_t' ]           => 'sint32',
    request_aborted         => ['opaque']                                 => 'sint32',
    request_role            => ['opaque']                                 => 'sint32',
    request_params          => [ 'opaque', 'uint32', 'opaque*', 'size_t*' ] => 'sint32',
    request_copy_params => [ 'opaque', 'uint32', 'string', 'size_t', 'string', 'size_t' ] => 'sint64',
    request_param      => [ 'opaque', 'string', 'size_t', 'opaque*', 'size_t*' ] => 'sint32',
    request_read       => [ 'opaque', 'string', 'size_t' ]           => 'sint64',
    request_read_full  => [ 'opaque', 'string', 'size_t' ]           => 'sint64',
    request_write      => [ 'opaque', 'uint32', 'string', 'size_t' ] => 'sint64',
    request_flush      => ['opaque']                                 => 'sint32',
    request_start_filter_data => ['opaque']                          => 'sint32',

    manager_new           => ['opaque']             => 'opaque',
    manager_free          => ['opaque']             => 'void',
    manager_next          => ['opaque']             => 'sint32',
    manager_next_within   => [ 'opaque', 'uint32' ] => 'sint32',
    manager_host_forks    => [ 'opaque', 'sint32' ] => 'sint32',
    manager_fork_begins   => ['opaque']             => 'sint32',
    manager_forked        => [ 'opaque', 'sint32', 'sint32' ] => 'sint32',
    manager_resize        => [ 'opaque', 'uint32' ] => 'sint32',
    manager_event_pid     => ['opaque']             => 'sint32',
    manager_event_status  => ['opaque']             => 'sint32',
    manager_event_message => ['opaque']             => 'string',
    manager_signal        => [ 'opaque', 'sint32' ] => 'sint32',
    signal_chain          => ['opaque']             => 'sint32',
    worker_retire         => []                     => 'sint32',
    worker_retiring       => []                     => 'sint32',
    worker_protect        => []                     => 'sint32',
    worker_protect_signal => ['sint32', 'sint32']   => 'sint32',
    worker_notice_given   => []                     => 'sint32',
);

# The search for the library.

# This file is ROOT/bindings/perl/lib/FCGIPM/FFI.pm, and the library is in ROOT/target/release.
sub build_tree_library {
    my $root = Cwd::abs_path(__FILE__);
    $root = File::Basename::dirname($root) for 1 .. 5;
    return File::Spec->catfile($root, qw(target release libfcgipm.so));
}

# Whether the environment may come from a user with fewer privileges than this process: a
# set-user-ID program must not load a library of its caller's choice. The kernel's AT_SECURE
# (getauxval(3)) covers file capabilities, too.
sub environment_is_untrusted {
    return 1 if $< != $> || $( + 0 != $) + 0;
    my $AT_SECURE = 23;
    open my $file, '<:raw', '/proc/self/auxv' or return $!{EACCES};
    local $/;
    my %auxv = unpack 'L!*', <$file>;
    return $auxv{$AT_SECURE};
}

# The places in order. If FCGIPM_LIB is set, it is the only one: after a misspelling, the user must
# not get another library.
sub candidates {
    return (!environment_is_untrusted() && defined $ENV{FCGIPM_LIB} && length $ENV{FCGIPM_LIB})
        ? [ 'FCGIPM_LIB', $ENV{FCGIPM_LIB} ]
        : ([ 'the build tree', build_tree_library() ], map { [ 'the system', $_ ] } @SYSTEM_NAMES);
}

sub find_library {
    my @searched;
    for my $candidate (candidates()) {
        my ($place, $name) = @$candidate;
        if (my $handle = dlopen($name, RTLD_PLATYPUS_DEFAULT)) {
            dlclose($handle);
            return $name;
        }
        push @searched, "  $place: $name (" . dlerror() . ")\n";
    }
    die "libfcgipm cannot be loaded; searched in\n", @searched,
        "Build it (make build), install it, or set FCGIPM_LIB to its file.\n";
}

# The functions.

my $ffi;

# The address of a function, for FCGIPM::XS.
sub address_of { return $ffi->find_symbol("fcgipm_$_[0]") }

sub attach_functions {
    my ($library) = @_;
    $ffi = FFI::Platypus->new(api => 2, lib => $library);
    for (my $i = 0; $i < @FUNCTIONS; $i += 3) {
        my ($name, $arguments, $result) = @FUNCTIONS[ $i .. $i + 2 ];
        defined $ffi->find_symbol("fcgipm_$name")
            or die "$library has no function fcgipm_$name: FCGIPM $VERSION needs another version of it\n";
        $ffi->attach([ "fcgipm_$name" => $name ] => $arguments => $result);
    }
    return;
}

# Perl has one C handler for all signals. It notes the signal, and the handler in %SIG runs later.
# Through the chain, a wait in the library knows of a signal that arrived just before it.
sub chain_handler {
    my $handler = FFI::Platypus->new(api => 2, lib => [undef])->find_symbol('PL_csighandlerp');
    signal_chain($handler) if defined $handler;
    return;
}

our $LIBRARY = find_library();
attach_functions($LIBRARY);
chain_handler();

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

FCGIPM::FFI - finds and attaches the library behind FCGIPM

=head1 SYNOPSIS

    #!/usr/bin/perl
    use strict;
    use warnings;
    use FCGIPM::FFI;

    print "libfcgipm ", FCGIPM::FFI::version(), " from $FCGIPM::FFI::LIBRARY\n";

=head1 DESCRIPTION

This module is for the other modules of the distribution. It searches for the library

=over 4

=item 1.

in the file that the environment variable C<FCGIPM_LIB> names; if it is set, nowhere else,

=item 2.

in the build tree that contains the module (F<target/release/libfcgipm.so>),

=item 3.

where the system's dynamic loader finds it (F<libfcgipm.so.0>, F<libfcgipm.so>).

=back

If it cannot be loaded, C<use FCGIPM> dies with one message that names every place and why loading
it failed.

=head1 SEE ALSO

L<FCGIPM>

=cut
