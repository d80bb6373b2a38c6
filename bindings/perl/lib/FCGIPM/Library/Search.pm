package FCGIPM::Library::Search;

# Finds and loads libfcgipm.

use strict;
use warnings;

use Cwd ();
use DynaLoader ();
use File::Basename ();
use File::Spec ();

our $VERSION = '0.1.0';

use constant SONAME => 'libfcgipm.so.0';

# The folder of the products, if this file is ROOT/bindings/perl/lib/FCGIPM/Library/Search.pm: they
# are in ROOT/target/release. Installed modules have no such folder.
sub build_tree {
    my $root = Cwd::abs_path(__FILE__);
    return if $root !~ m{/bindings/perl/lib/FCGIPM/Library/[^/]+\z};
    $root = File::Basename::dirname($root) for 1 .. 6;
    return File::Spec->catdir($root, qw(target release));
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
sub _candidates {
    return [ 'FCGIPM_LIB', $ENV{FCGIPM_LIB} ] if defined $ENV{FCGIPM_LIB} && length $ENV{FCGIPM_LIB} && !environment_is_untrusted();
    my $tree = build_tree();
    return ((defined $tree ? [ 'the build tree', File::Spec->catfile($tree, 'libfcgipm.so') ] : ()),
        [ "the dynamic linker's directories", SONAME ]);
}

# Returns the handle of dlopen(3), and the name by which the library was found.
sub load {
    my @searched;
    for my $candidate (_candidates()) {
        my ($place, $name) = @$candidate;
        my $handle = DynaLoader::dl_load_file($name, 0);
        return ($handle, $name) if $handle;
        push @searched, "$name from $place (" . error_of($name) . ')';
    }
    die 'libfcgipm cannot be loaded: ', join(', ', @searched),
        ': install it (Debian: apt-get install libfcgipm0; from source: make install, then ldconfig),',
        " or set FCGIPM_LIB to its file\n";
}

# Why a file could not be loaded. Perl adds the place of the call and a NUL.
sub error_of {
    my ($name) = @_;
    return DynaLoader::dl_error() =~ s/\A\Q$name\E: //r =~ s/ at \S+ line \d+\..*//sr;
}

# The file that is mapped at an address. Compared as text, since not every perl has numbers of this
# size without a warning.
sub file_of {
    my ($address) = @_;
    my $wanted = sprintf '%016x', $address;
    open my $maps, '<', '/proc/self/maps' or return undef;
    while (my $line = <$maps>) {
        my ($from, $to, $file) = $line =~ m{\A([0-9a-f]+)-([0-9a-f]+) .{4} \S+ \S+ \d+ +(/.*)$} or next;
        return $file if sprintf('%016s', $from) le $wanted && $wanted lt sprintf '%016s', $to;
    }
    return undef;
}

1;
