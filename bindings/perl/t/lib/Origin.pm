package Origin;

# Notes which FCGI a process has loaded: one line each in the file that the environment names.

use strict;
use warnings;

END {
    if (defined $INC{'FCGI.pm'} && open my $file, '>>', $ENV{ORIGIN_FILE}) {
        print {$file} "$INC{'FCGI.pm'}\n";
        close $file;
    }
}

1;
