package FCGIPM::ProcManager::Settings;

# The parameters of a manager as options of the library, and back: the effective values, after the
# environment has overridden the program.

use strict;
use warnings;

use Carp ();

use FCGIPM::Library;

our $VERSION = '0.1.0';

our @CARP_NOT = 'FCGIPM::ProcManager';    # reports a bad value at the line of its caller

# Parameters with a method, which a subclass may override.
use constant ACCESSORS => qw(n_processes pid_fname no_signals die_timeout role start_delay);

# Those of which the program finds the effective value.
use constant SHOWN_ACCESSORS => grep { $_ ne 'role' } ACCESSORS;

# Options that the manager's methods implement, as FCGI::ProcManager's do. The library gets these
# values for them.
my %OURS = (log => 'none', pm_title => '');

# Checks every value: the library knows which parameters are options, and the others are up to the
# program.
sub library_options {
    my ($pm) = @_;
    my $options = FCGIPM::Library::options_new();
    my %parameters = $pm->library_parameters;
    for my $name (sort keys %parameters) {
        my $value = $parameters{$name};
        next if !defined $value || ref $value;
        my $result = FCGIPM::Library::options_set($options, $name, $value);
        next if $result == 0 || $result == FCGIPM::Library::EOPTION;
        my $message = FCGIPM::Library::last_error_message();
        FCGIPM::Library::options_free($options);
        Carp::croak($message);
    }
    FCGIPM::Library::options_set($options, $_, $OURS{$_}) for keys %OURS;
    # The library opens the file, and what pm_notify writes goes into it.
    my $log = exists $ENV{ _variable('log') } ? $ENV{ _variable('log') } : $parameters{log};
    if (defined $log && $log =~ m{/} && FCGIPM::Library::options_set($options, log => "none:$log") < 0) {
        my $message = FCGIPM::Library::last_error_message();
        FCGIPM::Library::options_free($options);
        Carp::croak($message);
    }
    return $options;
}

# Copies the effective values into the parameters, for the manager's methods and for the program.
sub adopt_effective {
    my ($pm, $options) = @_;
    my %is_in_environment = map { /\AFCGIPM_(\w+)\z/ ? (lc $1 => 1) : () } keys %ENV;
    $pm->{_effective} = { map { $_ => _effective($options, $_) } qw(pm request_timeout request_timeout_signal) };
    for my $name ($pm->shown_parameters, keys %is_in_environment) {
        next if exists $OURS{$name};
        my $value = _effective($options, $name);
        next if !defined $value || !length $value && !$is_in_environment{$name};    # not set, or not an option
        $pm->{$name} = $value;
        $pm->{_from_environment}{$name} = $value if $is_in_environment{$name};
    }
    for my $name (keys %OURS) {
        my $value = $ENV{ _variable($name) };
        $pm->{$name} = $value if defined $value;
    }
    return;
}

# Number of workers that the program, or else the environment, asks for at present.
sub worker_count {
    my ($pm) = @_;
    my $count = $pm->{_from_environment}{n_processes};
    $count = { $pm->library_parameters }->{n_processes} if !defined $count;
    no warnings qw(numeric uninitialized);
    return int $count;
}

# The environment must not give the library the options that the manager's methods implement.
sub new_library_manager {
    my ($options) = @_;
    my @variables = map { _variable($_) } keys %OURS;
    local @ENV{@variables};
    delete @ENV{@variables};
    return FCGIPM::Library::manager_new($options) || Carp::croak(FCGIPM::Library::last_error_message());
}

sub _effective {
    my ($options, $name) = @_;
    return FCGIPM::Library::text_of(\&FCGIPM::Library::options_effective, $options, $name);
}

sub _variable { return 'FCGIPM_' . uc $_[0] }

1;
