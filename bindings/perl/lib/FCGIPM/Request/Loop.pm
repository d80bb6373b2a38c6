package FCGIPM::Request::Loop;

# The accept loops of this process: the library's handle of each request object, and what a retired
# worker does in Accept. A handle serves only the process that created it, and most programs create
# their request before they fork. So the first Accept creates it.

use strict;
use warnings;

use FCGIPM::Library;
use FCGIPM::Signals;

our $VERSION = '0.1.0';

# The library's options for handles that are created from now on; the environment overrides them.
our $options;

# Called when Accept finds that this worker is retired.
our $on_retired;

# Called when Accept finds that this worker is to fork a template. Returns in the worker, and in the
# workers that are copies of the template.
our $on_fork_due;

my $handles = 0;    # number of library handles in this process
my $exit;           # ends the process in Accept, where it was requested (see exit_in_accept)

sub create_handle {
    my ($request) = @_;
    # A wait must end for every signal, so that perl can run its handlers.
    my $flags = $request->{flags} | FCGIPM::Library::RETURN_ON_SIGNAL;
    # `fcgipm run` sets the variable for its worker.
    my $is_worker = ($ENV{FCGIPM_WORKER} || '') =~ /\A[0-9]+:$$:/;
    my $handle = FCGIPM::Library::request_new($request->{socket}, $flags, $options);
    FCGIPM::Signals::install_for_program(qw(TERM HUP INT QUIT)) if $is_worker && defined $handle;
    $handles++ if defined $handle;
    $request->{pid} = $$;
    return ${ $request->{handle} } = $handle;
}

sub free_handle {
    my ($request) = @_;
    my $handle = $request->{handle};
    return if !defined $$handle;
    FCGIPM::Library::request_free($$handle);
    $$handle = undef;
    $handles--;
    return;
}

# True if this process accepts through the library, which then counts its requests.
sub is_running { return $handles > 0 }

# A retired worker exits in Accept, after the library has handed over its keep-alive connections or
# answered what arrived on them; an exit before that would lose those requests. False if no loop
# will reach Accept.
sub exit_in_accept {
    my ($action) = @_;
    return 0 if !$handles;
    $exit = $action;
    return 1;
}

sub retired {
    $on_retired->() if $on_retired;
    $exit->()       if $exit;
    return;
}

1;
