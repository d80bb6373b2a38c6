package FCGIPM::ProcManager::Log;

# Log lines on STDERR.

use strict;
use warnings;

use FCGIPM::Library;
use FCGIPM::Signals;

our $VERSION = '0.1.0';

# The priorities of syslog(3).
use constant { ERROR => 3, WARNING => 4, NOTICE => 5, INFO => 6 };

# Those of the lines of pm_warn and pm_notify, unless a caller sets it.
our $PRIORITY;

# That of a line of pm_warn.
sub priority_of_warning {
    my ($message) = @_;
    return ERROR if $message =~ /\A(?:emergency|reload failed)/;
    return $message =~ /\A(?:safe exit|dying: stopped)/ ? NOTICE : WARNING;
}

# Prints as `print STDERR` does, but raises no SIGPIPE if the reader has exited, and does not wait
# for one that has stopped reading: a manager that blocks there supervises nothing. This works on
# descriptor 2 only. The library turns the priority into what the log wants. If STDERR is tied, is another descriptor, or has other layers, perl prints.
sub print_line {
    my ($line) = @_;
    return print STDERR $line if tied *STDERR;
    local $SIG{PIPE} = 'IGNORE' if !FCGIPM::Signals::has_handler('PIPE');
    my $descriptor = fileno STDERR;
    return print STDERR $line if !defined $descriptor || $descriptor != 2;
    my $layers = join ' ', PerlIO::get_layers(*STDERR, output => 1);
    return print STDERR $line if $layers !~ /\Aunix perlio(?: encoding\(utf-?8(?:-strict)?\))?( utf8)?\z/i;
    $line .= $\ if defined $\;
    if   ($1) { utf8::encode($line) }
    else      { utf8::downgrade($line, 1) or return print STDERR $line }
    substr $line, 0, 0, '<' . ($PRIORITY || INFO) . '>';
    return FCGIPM::Library::log_write($line, length $line) >= 0;
}

1;
