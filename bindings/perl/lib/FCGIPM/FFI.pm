package FCGIPM::FFI;

# Calls the library through FFI::Platypus, where FCGIPM::XS was not built.

use strict;
use warnings;

my $warnings;
BEGIN { ($warnings, $^W) = ($^W, 0) }    # it warns under -w, for which the program is not responsible
use FFI::Platypus 2.00;
BEGIN { $^W = $warnings }

our $VERSION = '0.1.0';

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
    manager_of_worker     => []                     => 'opaque',
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
    process_started       => [ 'string', 'size_t', 'string', 'size_t', 'string' ] => 'sint32',
);

my %TYPES;
for (my $i = 0; $i < @FUNCTIONS; $i += 3) {
    $TYPES{ $FUNCTIONS[$i] } = [ @FUNCTIONS[ $i + 1, $i + 2 ] ];
}

my $ffi = FFI::Platypus->new(api => 2, lib => [undef]);

sub names { return keys %TYPES }

# The arguments' types and the result's, for t/xs.t.
sub types_of { return $TYPES{ $_[0] } }

# Makes the function at this address a sub of FCGIPM::Library.
sub attach {
    my ($class, $name, $address) = @_;
    $ffi->attach([ $address => "FCGIPM::Library::$name" ] => @{ $TYPES{$name} });
    return;
}

# Where perl keeps the address of its C handler of signals.
sub handler_variable { return scalar $ffi->find_symbol('PL_csighandlerp') }

1;

__END__

=head1 NAME

FCGIPM::FFI - calls libfcgipm without a compiled part

=head1 SYNOPSIS

    #!/usr/bin/perl
    use strict;
    use warnings;
    use FCGIPM;

    print 'the library is called through ', FCGIPM->backend, "\n";    # XS or FFI

=head1 DESCRIPTION

This module is for the other modules of the distribution. It needs L<FFI::Platypus> 2 and no
compiler. L<FCGIPM::XS/"WHICH ONE IS USED"> says when it is used.

=head1 SEE ALSO

L<FCGIPM::Library>, L<FCGIPM::XS>

=cut
