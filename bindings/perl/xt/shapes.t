use strict;
use warnings;
use Test::More;

use FCGIPM::FFI;

# The library's functions are declared twice: for FFI::Platypus, and as a shape in xs/library.c.

my %LETTER = (
    'void' => 'v', 'sint32' => 'i', 'uint32' => 'u', 'sint64' => 'l', 'size_t' => 's', 'opaque' => 'p', 'opaque*' => 'o',
    'size_t*' => 'o', 'string' => 'c',
);

open my $file, '<', 'xs/library.c' or die "xs/library.c: $!";
my %shape = do { local $/; <$file> } =~ /^    \{ "(\w+)", (\w+), NULL \},$/mg;
my %declared;
for my $name (FCGIPM::FFI->names) {
    my ($arguments, $result) = @{ FCGIPM::FFI::types_of($name) };
    $declared{$name} = join '', $LETTER{$result}, '_', map { $LETTER{$_} } @$arguments;
}

# FFI::Platypus has one type for strings, and for buffers that the library fills.
for (sort keys %shape) {
    (my $same = $shape{$_}) =~ tr/b/c/;
    is($same, $declared{$_}, "$_: $shape{$_}");
}
is_deeply([ sort keys %shape ], [ sort keys %declared ], 'the same functions');
is_deeply([ sort grep { $shape{$_} =~ /b/ } keys %shape ],
    [qw(options_effective request_copy_params request_peer_address request_read request_read_full)], 'functions that fill a buffer');

done_testing;
