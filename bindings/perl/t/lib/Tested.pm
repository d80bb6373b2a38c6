package Tested;

# The folders of the modules under test, which the programs of the tests get, too: lib in the
# repository, blib/lib and blib/arch in an unpacked archive.

use strict;
use warnings;

use File::Spec ();

sub folders {
    return map { File::Spec->rel2abs($_) } grep { !ref && (-e "$_/FCGIPM.pm" || -d "$_/auto/FCGIPM") } @INC;
}

sub switches { return map {"-I$_"} folders() }

# PERL5LIB, with these before what it has.
sub path { return join ':', folders(), grep { defined } $ENV{PERL5LIB} }

1;
