package FCGIPM::Compat;

# Programs that say `use FCGI` and `use FCGI::ProcManager` get FCGIPM's: this looks for those modules first,
# and loads nothing until one of them is asked for. With PERL5OPT every perl that a program starts comes by
# here, so it uses nothing that costs time to load.

use strict;
use warnings;

our $VERSION = '0.1.0';

# Modules that are replaced, and the files that stand for them beside this one.
my %INSTEAD = (
    'FCGI.pm'                         => 'FCGI.pm',
    'FCGI/ProcManager.pm'             => 'ProcManager.pm',
    'FCGI/ProcManager/Constrained.pm' => 'Constrained.pm',
    'FCGI/ProcManager/MaxRequests.pm' => 'MaxRequests.pm',
);

# Absolute, because the program may change its folder before it asks.
my ($ROOM) = __FILE__ =~ m{\A(/.*)\.pm\z}s;
if (!defined $ROOM) {
    require File::Spec;
    ($ROOM) = File::Spec->rel2abs(__FILE__) =~ /\A(.*)\.pm\z/s;
}

my $is_enabled;

sub import {
    my ($class) = @_;
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

# A hook in @INC (perlfunc, "require").
sub _provide {
    my (undef, $module) = @_;
    return _provide_lib() if $module eq 'lib.pm';
    my $path = defined $INSTEAD{$module} ? "$ROOM/$INSTEAD{$module}" : _own($module);
    return if !defined $path;
    open my $file, '<', $path or return;
    my $text = do { local $/; <$file> };
    close $file;
    # Programs look in %INC for where a module came from. Set by the module and not here, because some only ask
    # whether there is one; deleted before, because what stands there is @INC's own element.
    $text = qq{BEGIN { delete \$INC{'$module'}; \$INC{'$module'} = "\Q$path\E" }\n#line 1 "$path"\n$text};
    open my $source, '<', \$text or return;
    return $source;
}

# Ours, too, if a program has left the folder that `-I lib` is relative to.
sub _own {
    my ($module) = @_;
    return $module =~ m{\AFCGIPM(?:/[\w/]+)?\.pm\z} ? substr($ROOM, 0, -length 'FCGIPM/Compat') . $module : undef;
}

sub _is_ours { return index($INC{ $_[0] }, "$ROOM/") == 0 }

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

# A program's own `use lib` puts its folders in front, and one of them may have the original.
my $is_followed;
our $is_looking;

sub _provide_lib {
    return if $is_looking;
    local $is_looking = 1;
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

# What came in another way is told of as soon as the program is compiled.
{
    no warnings 'void';    # too late for it when this is loaded by a program that runs
    CHECK {
        for my $module ($is_enabled ? sort keys %INSTEAD : ()) {
            next if !defined $INC{$module} || _is_ours($module);
            warn _other($module), ", which stands before FCGIPM::Compat in \@INC, and is used\n";
        }
    }
}

1;

__END__

=encoding UTF-8

=head1 NAME

FCGIPM::Compat - programs for FCGI and FCGI::ProcManager run unchanged on FCGIPM

=head1 SYNOPSIS

    #!/usr/bin/perl
    # As it stands under `perl -MFCGIPM::Compat`, or with PERL5OPT=-MFCGIPM::Compat in the environment.
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

From here on C<FCGI>, C<FCGI::ProcManager>, C<FCGI::ProcManager::Constrained> and C<FCGI::ProcManager::MaxRequests> are those of this
distribution, for the program and for every module that it loads: C<CGI::Fast>, Plack, Catalyst, subclasses of your own. Nothing in the
program changes. With C<PERL5OPT> the perls that the program starts load this, too; until one of the modules is asked for it does nothing.

When the original C<FCGI> was loaded before, this dies and says from where. perl loads what C<PERL5OPT> names I<after> the C<-M> of its command
line, so C<PERL5OPT=-MFCGIPM::Compat perl -MFCGI::ProcManager ...> is such a case. On the command line the order is as it is written, and this
goes first: C<perl -MFCGIPM::Compat -MFCGI::ProcManager ...>.

=head2 Scripts under C<-T>

In taint mode perl ignores C<PERL5OPT> and C<PERL5LIB>, without a word: a script whose first line is C<#!/usr/bin/perl -T> runs on the
original C<FCGI>. Three ways to run it here:

    #!/usr/bin/perl -T -MFCGIPM::Compat                        the first line of the script, where this is installed
    perl -T -I/opt/fcgipm/lib -MFCGIPM::Compat script.fcgi     the command line, which then needs -T, too
    use lib '/opt/fcgipm/lib'; use FCGIPM::Compat;             in the script, before it loads FCGI

The first is for scripts that are started by their own name; C<perl -T script.fcgi> says C<Too late for "-M">. To see which one a script
has loaded, print C<$INC{'FCGI.pm'}>.

=head2 A socket and workers for a program that has neither

A script that only says C<< while (my $q = CGI::Fast->new) >>, or C<FCGI::Request()> and C<Accept>, is served by five workers on one socket with

    FCGI_SOCKET_PATH=:9005 FCGIPM_N_PROCESSES=5 PERL5OPT=-MFCGIPM::Compat perl script.fcgi

A listening socket at descriptor 0 goes before C<FCGI_SOCKET_PATH>, as ever with C<FCGI::Request()>. The workers are made where the script waits for
its first request (L<FCGIPM::Compat::Managed>). HUP, TERM and every option are as with L<FCGIPM::ProcManager>. What the script loaded before
that is not renewed by HUP.

=head1 DIFFERENCES

Those of print, read and format are in L<FCGIPM::Stream/"DIFFERENCES FROM FCGI 0.82">, those
of the request in L<FCGIPM::Request/"DIFFERENCES FROM FCGI 0.82">, those of the manager in L<FCGIPM::ProcManager/"DIFFERENCES FROM FCGI::ProcManager 0.28">.

    what                                  the originals                       here
    ------------------------------------  ----------------------------------  -----------------------------------------
    say; $, and $\                        nothing is added                    as with any handle
    <STDIN> in a list                     one line                            all lines
    $/ undefined; \N                      a paragraph; all                    all; N bytes
    write (formats)                       lost                                in the response
    HTTP_PROXY in %ENV                    there                               not there; Param and other hashes have it
    OpenSocket fails                      the process ends                    -1, and $! set
    OpenSocket on a file                  the file is removed                 only a socket nobody answers on, or an empty file
    OpenSocket, port 0                    a file of that name                 any port
    :PORT                                 IPv4                                IPv6, too
    a listening socket in exec'ed         open                                closed
    programs
    a child forked in a request ends      answers a second time               answers after Detach, otherwise not
    it prints when the request is over    in the next response                dropped, and logged once
    an input that breaks off              looks like its end                  undef, and $! set
    a signal without FAIL_ACCEPT_ON_INTR  its handler waits for a request     its handler runs
    $SIG{TERM}, $SIG{USR1}, $SIG{PIPE}    undef, and handled                  code, where the program has none
    after TERM or USR1, no manager        Accept: -107                        what waits is served, then Accept: -4
    TERM in a request, n_processes 0      is forgotten                        the process exits after the request
    HUP to a manager                      TERM to all workers at once         one successor after another
    max_requests                          a worker goes, another is forked    the successor is ready before; the worker
                                                                              serves until then
    "safe exit after ..."                 in the log of the last request      in the manager's log
    ::Constrained, max_size               needs Linux::Pid                    needs no other module
    sig_handler                           when the signal comes               when the program asks, or the request is done
    a thread made beside a request        ends in a fault                     goes on
    a pm_wait that calls waitpid itself   sees every exit                     not those of the end, which the log tells of
    n_processes changed at run time       when a worker has exited            at once

Modules that the program puts in front of @INC by hand (C<unshift @INC>) are used, with a warning.

=cut
