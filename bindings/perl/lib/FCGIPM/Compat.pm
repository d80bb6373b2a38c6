package FCGIPM::Compat;

# Replaces FCGI and FCGI::ProcManager by a hook in front of @INC, and loads nothing until one of
# them is required. With PERL5OPT, every perl that a program starts loads this module, so it uses no
# module that takes time to load.

use strict;
use warnings;

our $VERSION = '0.1.0';

# The replaced modules, and the files of their replacements, in the folder beside this file.
my %INSTEAD = (
    'FCGI.pm'                         => 'FCGI.pm',
    'FCGI/ProcManager.pm'             => 'ProcManager.pm',
    'FCGI/ProcManager/Constrained.pm' => 'Constrained.pm',
    'FCGI/ProcManager/MaxRequests.pm' => 'MaxRequests.pm',
);

# Absolute, because the program may change its directory before it requires one of them.
my ($FOLDER) = __FILE__ =~ m{\A(/.*)\.pm\z}s;
if (!defined $FOLDER) {
    require File::Spec;
    ($FOLDER) = File::Spec->rel2abs(__FILE__) =~ /\A(.*)\.pm\z/s;
}

my $is_enabled;

# How this process was started, for a reload of the program. A title ($0) overwrites it, and a program
# may set one before it loads FCGI, as plackup does.
our @STARTED;

sub _note_start {
    for my $name (qw(cmdline environ)) {
        open my $file, '<:raw', "/proc/self/$name" or return @STARTED = ();
        local $/;
        push @STARTED, scalar <$file>;
    }
    push @STARTED, readlink '/proc/self/cwd';
    return;
}

sub import {
    my ($class) = @_;
    _note_start() if !@STARTED;
    for my $module (sort keys %INSTEAD) {
        next if !defined $INC{$module} || _is_ours($module);
        require Carp;
        Carp::croak(_other($module) . ", and what it defined cannot be replaced: load $class before it");
    }
    $is_enabled = 1;
    _follow_lib() if $INC{'lib.pm'};
    _come_first();
    return;
}

# The hook in @INC (perlfunc, "require").
sub _provide {
    my (undef, $module) = @_;
    return _provide_lib() if $module eq 'lib.pm';
    my $path = defined $INSTEAD{$module} ? "$FOLDER/$INSTEAD{$module}" : _own($module);
    return if !defined $path;
    open my $file, '<', $path or return;
    my $text = do { local $/; <$file> };
    close $file;
    # Programs search %INC for the file of a module. The module's own code sets it, because some
    # programs only ask whether the module can be found; deleted before, because the value is the
    # element of @INC.
    $text = qq{BEGIN { delete \$INC{'$module'}; \$INC{'$module'} = "\Q$path\E" }\n#line 1 "$path"\n$text};
    open my $source, '<', \$text or return;
    return $source;
}

# This distribution's modules, for a program that has left the directory to which `-I lib` is
# relative.
sub _own {
    my ($module) = @_;
    return $module =~ m{\AFCGIPM(?:/[\w/]+)?\.pm\z} ? substr($FOLDER, 0, -length 'FCGIPM/Compat') . $module : undef;
}

sub _is_ours { return index($INC{ $_[0] }, "$FOLDER/") == 0 }

sub _other {
    my ($module) = @_;
    (my $name = $module) =~ s{/}{::}g;
    $name =~ s/\.pm\z//;
    return "FCGIPM::Compat: $name was loaded from $INC{$module}";
}

sub _come_first {
    @INC = (\&_provide, grep { !ref || $_ != \&_provide } @INC);
    return;
}

# A program's own `use lib` puts directories in front, and one of them may have the original.
my $is_followed;
our $is_providing_lib;

sub _provide_lib {
    return if $is_providing_lib;
    local $is_providing_lib = 1;
    require lib;
    _follow_lib();
    my $done = "1;\n";
    return \$done;
}

sub _follow_lib {
    return if $is_followed++;
    my $import = lib->can('import');
    no warnings qw(once redefine);
    *lib::import = sub {
        my $result = &$import;
        _come_first();
        return $result;
    };
    return;
}

# Warns about originals that were loaded in another way, as soon as the program is compiled.
{
    no warnings 'void';    # CHECK is too late if a running program loads this module
    CHECK {
        for my $module ($is_enabled ? sort keys %INSTEAD : ()) {
            next if !defined $INC{$module} || _is_ours($module);
            warn _other($module), ", which is before FCGIPM::Compat in \@INC, and is used\n";
        }
    }
}

1;

__END__

=encoding UTF-8

=head1 NAME

FCGIPM::Compat - runs programs for FCGI and FCGI::ProcManager unchanged on FCGIPM

=head1 SYNOPSIS

    #!/usr/bin/perl
    # Unchanged, under `perl -MFCGIPM::Compat` or with PERL5OPT=-MFCGIPM::Compat in the environment.
    use strict;
    use warnings;
    use FCGI;
    use FCGI::ProcManager;

    my $request = FCGI::Request();
    my $manager = FCGI::ProcManager->new({ n_processes => 5 });
    $manager->pm_manage();

    while ($request->Accept() >= 0) {
        $manager->pm_pre_dispatch();
        print "Content-Type: text/plain\r\n\r\nHello from $$\n";
        $manager->pm_post_dispatch();
    }

=head1 DESCRIPTION

Loading this module replaces C<FCGI>, C<FCGI::ProcManager>, C<FCGI::ProcManager::Constrained> and
C<FCGI::ProcManager::MaxRequests> with those of this distribution. It does so for the program and
for every module that it loads: C<CGI::Fast>, Plack, Catalyst, your own subclasses. The program
itself does not change. With C<PERL5OPT>, every perl that the program starts loads this module, too;
it does nothing until one of the replaced modules is loaded.

If the original C<FCGI> is already loaded, this module dies and says where it was loaded from. That
happens with C<PERL5OPT=-MFCGIPM::Compat perl -MFCGI::ProcManager ...>, because perl loads the
modules of C<PERL5OPT> I<after> the C<-M> options of its command line. On the command line, modules
are loaded in the order in which they are written, so this works: C<perl -MFCGIPM::Compat
-MFCGI::ProcManager ...>.

=head2 Taint mode (C<-T>)

In taint mode perl silently ignores C<PERL5OPT> and C<PERL5LIB>. A script whose first line is
C<#!/usr/bin/perl -T> therefore runs on the original C<FCGI>. There are three ways to run it on this
module:

    #!/usr/bin/perl -T -MFCGIPM::Compat                        first line of the script, if this module is installed
    perl -T -I/opt/fcgipm/lib -MFCGIPM::Compat script.fcgi     command line, which then also needs -T
    use lib '/opt/fcgipm/lib'; use FCGIPM::Compat;             in the script, before it loads FCGI

The first is for scripts that are started by their own name; C<perl -T script.fcgi> fails with C<Too
late for "-M">. To see which FCGI a script has loaded, print C<$INC{'FCGI.pm'}>.

=head2 Socket and workers for a script that has neither

Some scripts only contain C<< while (my $q = CGI::Fast->new) >>, or C<FCGI::Request()> and
C<Accept>. This command serves such a script with five workers on one socket:

    FCGI_SOCKET_PATH=:9005 FCGIPM_N_PROCESSES=5 PERL5OPT=-MFCGIPM::Compat perl script.fcgi

If descriptor 0 is a listening socket, it takes precedence over C<FCGI_SOCKET_PATH>, as always with
C<FCGI::Request()>. The workers are forked where the script waits for its first request
(L<FCGIPM::Compat::Managed>). HUP, TERM and all options work as with L<FCGIPM::ProcManager>. HUP
does not reload what the script loaded before it waited for its first request.

=head1 DIFFERENCES

Differences of print, read and format are in L<FCGIPM::Stream/"DIFFERENCES FROM FCGI 0.82">, those
of the request in L<FCGIPM::Request/"DIFFERENCES FROM FCGI 0.82">, those of the manager in
L<FCGIPM::ProcManager/"DIFFERENCES FROM FCGI::ProcManager 0.28">.

    what                                  originals                           here
    ------------------------------------  ----------------------------------  -----------------------------------------
    say; $, and $\                        add nothing                         work as with any handle
    <STDIN> in list context               one line                            all lines
    $/ undefined; $/ = \N                 one paragraph; everything           everything; N bytes
    write (formats)                       output is lost                      output is in the response
    HTTP_PROXY in %ENV                    present                             absent; Param and other hashes have it
    OpenSocket fails                      the process exits                   returns -1 and sets $!
    OpenSocket, the file exists           removes the file                    only if it is a socket on which no process
                                                                              answers, or an empty file
    OpenSocket, port 0                    a file of that name                 any port
    :PORT                                 IPv4                                IPv6, too
    the listening socket in programs      open                                closed
    that are executed
    a child forked in a request exits     answers a second time               answers only after Detach
    a child prints after the request      is in the next response             dropped, and logged once
    the input is cut short                looks like its end                  undef, and $! is set
    a signal without FAIL_ACCEPT_ON_INTR  handler runs after the next         handler runs at once
                                          request arrives
    $SIG{TERM}, $SIG{USR1}, $SIG{PIPE}    undef, although handled             a sub, unless the program has a handler
    TERM or USR1 without a manager        Accept returns -107                 waiting requests are served, then Accept
                                                                              returns -4
    TERM in a request, n_processes 0      is forgotten                        the process exits after the request
    HUP to the manager                    TERM to all workers at once         workers are replaced one after another
    max_requests                          worker exits, another is forked     worker serves until its successor is ready
    "safe exit after ..."                 on STDERR of the last request       in the manager's log
    ::Constrained, max_size               needs Linux::Pid                    needs no other module
    sig_handler is called                 when the signal arrives             when the program asks, or the request is
                                                                              done
    a thread created beside a request     the program crashes                 the program continues
    a pm_wait that calls waitpid itself   sees every exit                     not the last ones when the manager stops,
                                                                              which are logged
    n_processes changed at run time       applies when a worker has exited    applies at once

If the program puts directories in front of @INC itself (C<unshift @INC>), replaced modules that it
loads from there are used, with a warning.

=cut
