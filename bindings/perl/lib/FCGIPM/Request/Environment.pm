package FCGIPM::Request::Environment;

# Fills the program's hash with the parameters of a request, and leaves nothing of the previous one
# in it. This is the definition; FCGIPM::XS does the same in C for hashes without magic, and for
# %ENV.
#
# Each value becomes a new scalar, because the program may have kept a reference to the old one,
# blessed it, or left the position of a match on it.

use strict;
use warnings;

use FCGIPM::Library;

our $VERSION = '0.1.0';

# Enough for the parameters of a typical request.
use constant COLUMNS => 16 * 1024;

# Where the library puts names and values. vec() gives the scalar a buffer of its own, not shared
# with a constant.
my $columns = '';
vec($columns, COLUMNS - 1, 8) = 0;

sub fill {
    my ($request) = @_;
    return _update_process_environment($request) if $request->{scope} == FCGIPM::Library::PARAMS_ENVIRONMENT;
    my $length
        = FCGIPM::Library::request_copy_params(${ $request->{handle} }, $request->{scope}, '', 0, $columns, COLUMNS);
    my ($environment, $list) = @$request{qw(environment list)};
    my $end = length $list;
    return _replace($request) if $length > COLUMNS || !$end || substr($columns, 0, $end) ne $list;

    # The same names as in the previous request.
    %$environment = ();
    @$environment{ @{ $request->{names} } } = split /\0/, substr($columns, $end, $length - $end - 1), -1;
    return;
}

# To set an element of %ENV changes the process's environment, which is expensive, and consecutive
# requests have most parameters in common. So the library gets the current values of the hash,
# whatever the program has done to them, and returns those that differ. A value with another
# reference to it, or with the position of a match, is replaced.
sub _update_process_environment {
    my ($request) = @_;
    local $@;
    my ($environment, $names) = @$request{qw(environment names)};
    return _replace($request)
        if !@$names || keys %$environment != @$names
        || grep { Internals::SvREFCNT($_) > 1 || defined pos } @$environment{@$names};

    my $current = do { no warnings 'uninitialized'; join "\0", substr($request->{list}, 0, -1), @$environment{@$names}, '' };
    my $length = utf8::is_utf8($current) ? 0 : length $current;
    $length = FCGIPM::Library::request_copy_params(${ $request->{handle} }, $request->{scope}, $current, $length, $columns, COLUMNS);
    return _replace($request) if $length > COLUMNS || ord $columns;

    my @changes = $length > 1 ? split /\0/, substr($columns, 1, $length - 2), -1 : ();
    eval {
        while (@changes) {
            my $name = shift @changes;
            my $value = shift @changes;
            $environment->{$name} = $value if $value ne '' || !defined $environment->{$name} || $environment->{$name} ne '';
        }
        1;
    } or return _replace($request);    # a value was made read-only
    # The slice above has created the names that the program had deleted.
    return keys %$environment == @$names ? () : _replace($request);
}

sub _replace {
    my ($request) = @_;
    my ($into, $size) = (\$columns, COLUMNS);
    my @arguments = (${ $request->{handle} }, $request->{scope}, '', 0);
    my $length = FCGIPM::Library::request_copy_params(@arguments, $$into, $size);
    if ($length > $size) {
        ($into, $size) = (\my $large, $length);
        vec($$into, $size - 1, 8) = 0;
        $length = FCGIPM::Library::request_copy_params(@arguments, $$into, $size);
    }
    my $end = 2 + index $$into, "\0\0";
    $request->{list} = substr $$into, 0, $end;
    $request->{names} = [ split /\0/, $request->{list} ];
    my $environment = $request->{environment};
    %$environment = ();
    @$environment{ @{ $request->{names} } } = split /\0/, substr($$into, $end, $length - $end - 1), -1;
    return;
}

1;
