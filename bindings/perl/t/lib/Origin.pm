package Origin;

# Notes where a process has the modules from that FCGIPM::Compat stands for: a line each, "FCGI.pm PATH", in the file
# that the environment names.

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
