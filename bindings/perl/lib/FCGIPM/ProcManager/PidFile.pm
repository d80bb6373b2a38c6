package FCGIPM::ProcManager::PidFile;

# Pid files that a program writes and removes with the manager's methods. The library itself keeps
# the file of the option pid_fname, and these functions leave it alone.

use strict;
use warnings;

our $VERSION = '0.1.0';

sub write_file {
    my ($pm, $fname) = @_;
    return if _is_librarys($pm, $fname);
    if (!open my $file, '>', $fname) {
        $pm->pm_warn("open: $fname: $!");
    }
    else {
        print {$file} "$$\n" or die "Could not print PID: $!";
        close $file or die "Could not close PID file: $!";
    }
    return;
}

sub remove_file {
    my ($pm, $fname) = @_;
    return 1 if _is_librarys($pm, $fname);
    my $removed = unlink $fname or $pm->pm_warn("unlink: $fname: $!");
    return $removed;
}

sub _is_librarys {
    my ($pm, $fname) = @_;
    return defined $pm->{library_pid_fname} && $pm->{library_pid_fname} eq $fname;
}

1;
