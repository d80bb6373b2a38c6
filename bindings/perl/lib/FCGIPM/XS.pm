package FCGIPM::XS;

# Loads the compiled part, if it was built. The other modules check $is_loaded.

use strict;
use warnings;

use File::Basename ();
use File::Spec ();

use FCGIPM::FFI;

our $VERSION = '0.1.0';

our $is_loaded = _load();

# Searched beside the library in the build tree, then in @INC.
sub _load {
    my $wanted = $ENV{FCGIPM_XS} // '';
    $wanted =~ /\A[01]?\z/ or die "environment variable FCGIPM_XS: '$wanted' is neither 0 nor 1\n";
    return 0 if $wanted eq '0';
    my $folder = File::Spec->catdir(File::Basename::dirname(FCGIPM::FFI::build_tree_library()), 'perl');
    ($folder) = $folder =~ /\A(.*)\z/s;    # untaints: this module was loaded from the same tree
    local @INC = ($folder, @INC);
    my $failure;
    {
        local ($@, $!);
        return 1 if eval {
            require XSLoader;
            XSLoader::load(__PACKAGE__, $VERSION);
            use_library(map { FCGIPM::FFI::address_of("request_$_") } qw(accept forget_signals role params read_full finish_with));
            1;
        };
        $failure = $@;
    }
    # Its absence is not an error. A perl that cannot use it warns.
    return 0 if !$wanted && $failure =~ /\ACan't locate loadable object/;
    $failure =~ s/ at \S+ line \d+\.?\n.*//s;
    die "FCGIPM::XS cannot be loaded: $failure\n" if $wanted;
    warn "FCGIPM::XS cannot be loaded, so requests are slower: $failure\n";
    return 0;
}

1;

__END__

=head1 NAME

FCGIPM::XS - request handling in C

=head1 SYNOPSIS

    #!/usr/bin/perl
    use strict;
    use warnings;
    use FCGIPM::XS;

    print "requests are served in ", $FCGIPM::XS::is_loaded ? 'C' : 'Perl', "\n";

=head1 DESCRIPTION

FCGIPM needs no compiler: it calls the library through L<FFI::Platypus>, and everything else is
Perl. If this module was built, it does in C what every request does, and what a page may do
thousands of times (printing, reading a line of the body). C<make build> builds it for the installed
perl; a distribution may also provide it. Only the speed differs.

=head1 ENVIRONMENT

=over 4

=item FCGIPM_XS=0

Disables the compiled part.

=item FCGIPM_XS=1

Makes it an error if the compiled part is missing.

=back

If the compiled part exists but this perl cannot use it, because it was built for another perl, a
warning says so.

=head1 SEE ALSO

L<FCGIPM>

=cut
