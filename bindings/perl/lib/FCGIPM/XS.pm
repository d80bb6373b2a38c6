package FCGIPM::XS;

# Loads the compiled part, if it was built. The other modules check $is_loaded.

use strict;
use warnings;

use Config ();
use DynaLoader ();
use File::Spec ();

use FCGIPM::Library::Search;

our $VERSION = '0.1.0';

# $reason: why it is not loaded. $is_broken: it exists, and cannot be used.
our ($reason, $is_broken);
our $is_loaded = _load();

sub _load {
    my $wanted = $ENV{FCGIPM_XS} // '';
    $wanted =~ /\A[01]?\z/ or die "environment variable FCGIPM_XS: '$wanted' is neither 0 nor 1\n";
    if ($wanted eq '0') {
        $reason = 'FCGIPM_XS=0 disables the compiled part';
        return 0;
    }
    local ($@, $!);
    my $file = _find();
    if (!defined $file) { $reason = 'the compiled part was not built (' . _path() . ' is not in @INC)' }
    elsif (defined(my $cause = _bind($file))) {
        $is_broken = 1;
        $reason = "$file cannot be used: $cause: build FCGIPM again for this perl"
            . ' (Debian: apt-get install --reinstall libfcgipm-perl; CPAN: cpanm --reinstall FCGIPM; from source: make build)';
    }
    else { return 1 }
    die "FCGIPM_XS=1: $reason\n" if $wanted;
    return 0;
}

sub _path { return "auto/FCGIPM/XS/XS.$Config::Config{dlext}" }

# In the build tree, then in @INC.
sub _find {
    my $tree = FCGIPM::Library::Search::build_tree();
    ($tree) = $tree =~ /\A(.*)\z/s if defined $tree;    # untaints: this module was loaded from the same tree
    for my $folder ((defined $tree ? File::Spec->catdir($tree, 'perl') : ()), grep { !ref } @INC) {
        my $file = File::Spec->catfile($folder, _path());
        return $file if -e $file;
    }
    return undef;
}

# Returns why the file cannot be used, or undef. What it was built for is compared first, because
# perl ends the process when it finds that out itself.
sub _bind {
    my ($file) = @_;
    my $handle = DynaLoader::dl_load_file($file, 0);
    return FCGIPM::Library::Search::error_of($file) if !$handle;
    my $for = DynaLoader::dl_find_symbol($handle, 'fcgipm_xs_built_for', 1);
    my $boot = DynaLoader::dl_find_symbol($handle, 'boot_FCGIPM__XS', 1);
    return 'it is not the compiled part of FCGIPM' if !$boot;
    my $built_for = $for ? unpack 'p', pack 'J', $for : 'an unknown version';
    my $this = "$VERSION $Config::Config{api_versionstring} $Config::Config{archname}";
    return 'it was built for ' . _shown($built_for) . ', and this is ' . _shown($this) if $built_for ne $this;
    push @DynaLoader::dl_librefs, $handle;
    push @DynaLoader::dl_modules, __PACKAGE__;
    push @DynaLoader::dl_shared_objects, $file;
    DynaLoader::dl_install_xsub(__PACKAGE__ . '::bootstrap', $boot, $file)->(__PACKAGE__, $VERSION);
    return undef;
}

sub _shown {
    my ($version, $perl, $platform) = split / /, $_[0];
    return defined $platform ? "FCGIPM $version on perl $perl ($platform)" : $_[0];
}

1;

__END__

=head1 NAME

FCGIPM::XS - calls libfcgipm and handles requests in C

=head1 SYNOPSIS

    #!/usr/bin/perl
    use strict;
    use warnings;
    use FCGIPM;

    print 'the library is called through ', FCGIPM->backend, "\n";    # XS or FFI

=head1 DESCRIPTION

The compiled part of FCGIPM. It calls the library, and does in C what every request does, and what a
page may do thousands of times (printing, reading a line of the body). Without it, L<FCGIPM::FFI>
calls the library, and everything else is done in Perl. Only the speed differs: with it, a small
request takes a seventh of the instructions, or a third if the parameters go into a hash of the
program and not into C<%ENV>.

F<Makefile.PL> builds it if there is a C compiler and perl's headers, and says so if not.

=head1 WHICH ONE IS USED

C<< FCGIPM->backend >> returns C<XS> or C<FFI>:

    perl -MFCGIPM -e 'print FCGIPM->backend, "\n"'

=over 4

=item The compiled part was built

The result is C<XS>, and L<FFI::Platypus> is neither loaded nor needed.

=item It was not built

(F<auto/FCGIPM/XS/XS.so> is not in C<@INC>; for instance, after C<perl Makefile.PL PUREPERL_ONLY=1>
or without a compiler.) The result is C<FFI>. Without L<FFI::Platypus>, C<use FCGIPM> dies with one
line that says what to install.

=item It exists, but this perl cannot use it

(It was built for another perl or another version of FCGIPM, or the file is damaged.) A warning names
the file, the reason and the remedy, and the result is C<FFI>. Without L<FFI::Platypus>, C<use FCGIPM>
dies with this line.

=back

=head1 ENVIRONMENT

=over 4

=item FCGIPM_XS=0

Disables the compiled part.

=item FCGIPM_XS=1

Makes it an error if the compiled part is missing or cannot be used. For services, so that an
incomplete upgrade does not make them slower.

=back

=head1 SEE ALSO

L<FCGIPM>

=cut
