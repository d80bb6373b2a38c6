package Origin;

# Appends the origin of each module that FCGIPM::Compat replaces to the file ORIGIN_FILE: lines like
# "FCGI.pm PATH".

use strict;
use warnings;

END {
    my @modules = grep { m{\AFCGI(?:/ProcManager(?:/\w+)?)?\.pm\z} && defined $INC{$_} } sort keys %INC;
    if (@modules && open my $file, '>>', $ENV{ORIGIN_FILE}) {
        print {$file} "$_ $INC{$_}\n" for @modules;
        close $file;
    }
}

1;
