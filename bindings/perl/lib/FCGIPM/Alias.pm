package FCGIPM::Alias;

# Gives functions further names.

use strict;
use warnings;

our $VERSION = '0.1.0';

# A program may have taken a reference to the name before the module was loaded
# (`our $raw = \&FCGI::Stream::PRINT; require FCGI`). That creates a stub, which only a definition
# fills: after an assignment to the glob, the reference would still lead to the empty stub.
sub alias {
    my ($name, $code) = @_;
    no strict 'refs';
    if (exists &$name && !defined &$name) {
        my $prototype = prototype $code;
        $prototype = defined $prototype ? "($prototype)" : '';
        local $@;
        eval "no warnings 'prototype'; sub $name$prototype { goto &\$code } 1" or die $@;
    }
    else {
        *$name = $code;
    }
    return;
}

# Gives functions of one package the same names in another.
sub alias_all {
    my ($into, $from, @names) = @_;
    no strict 'refs';
    alias("${into}::$_", \&{"${from}::$_"}) for @names;
    return;
}

1;

__END__

=head1 NAME

FCGIPM::Alias - a function under a second name

=head1 SYNOPSIS

    #!/usr/bin/perl
    use strict;
    use warnings;
    use FCGIPM::Alias;

    sub hello { print "Hello\n" }

    my $early = \&Other::hello;
    FCGIPM::Alias::alias('Other::hello', \&hello);
    $early->();

=head1 DESCRIPTION

For the other modules of the distribution. References to the name that were taken before the
function existed also lead to the alias.

=cut
