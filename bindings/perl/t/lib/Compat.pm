package Compat;

# Programs that know nothing of FCGIPM, under PERL5OPT=-MFCGIPM::Compat; and those who use them meanwhile.

use strict;
use warnings;

use Cwd ();
use Exporter 'import';
use File::Basename ();
use File::Path ();
use File::Temp ();
use IO::Socket::INET;
use JSON::PP ();
use Test::More;

use Daemon;
use Workers qw(fcgipm status);

our @EXPORT = qw(compat compat_environment free_address load_during needs other_users_tree reloads wait_for_request);

my $LIB = Cwd::abs_path('lib');

sub needs {
    my (@modules) = @_;
    for my $module (@modules) {
        eval "require $module; 1" or BAIL_OUT("$module is needed (packaging/setup.sh test): $@");
    }
    return;
}

sub compat_environment {
    my (%more) = @_;
    my $path = join ':', $LIB, grep { defined } $ENV{PERL5LIB};
    return { PERL5OPT => '-MFCGIPM::Compat', PERL5LIB => $path, %more };
}

# Daemon->start, unchanged programs.
sub compat {
    my (%with) = @_;
    return Daemon->start(%with, environment => compat_environment(%{ $with{environment} || {} }));
}

# A copy of the modules and the library, laid out as in a build tree, that other users can read wherever this tree is.
sub other_users_tree {
    my $folder = File::Temp->newdir;
    my $release = File::Basename::dirname(fcgipm());
    chmod 0755, $folder;
    File::Path::make_path("$folder/bindings/perl", "$folder/target/release");
    system('cp', '-r', $LIB, "$folder/bindings/perl/") == 0 or die "cp: $?";
    system('cp', '-r', "$release/libfcgipm.so", "$release/perl", "$folder/target/release/") == 0 or die "cp: $?";
    return $folder;
}

sub free_address {
    my $socket = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 1) or die "listen: $!";
    return '127.0.0.1:' . $socket->sockport;
}

# Four clients ask without a pause while something is done; returns what `fcgipm load` counted. %with: expect
# (a text of every answer), keep, split, options (more of them), manager (its pid,
# if it is another process).
sub load_during {
    my ($daemon, $work, %with) = @_;
    my @command = (fcgipm(), 'load', '--json', '--clients', 4, '--time', 3600);
    push @command, '--expect', $with{expect} if defined $with{expect};
    push @command, '--keep' if $with{keep};
    push @command, '--split', $with{split} if $with{split};
    push @command, @{ $with{options} || [] };
    my $pid = open my $pipe, '-|', @command, $daemon->address or die "fcgipm load: $!";
    my $done = eval { wait_for_request($with{manager} || $daemon); $work->(); 1 };
    my $why = $@;
    kill INT => $pid;
    my $counted = do { local $/; readline $pipe };
    close $pipe;
    $done or die $why;
    return JSON::PP::decode_json($counted);
}

# The workers' counters end with them, so one more than before is all that can be waited for.
sub wait_for_request {
    my ($manager) = @_;
    my $before = status($manager)->{requests};
    1 while status($manager)->{requests} <= $before;
    return;
}

# Has the workers replaced so many times under load, and tells whether anybody noticed.
sub reloads {
    my ($name, $daemon, $count, %with) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $load = load_during($daemon, sub {
        for (1 .. $count) {
            $daemon->signal('HUP');
            $daemon->wait_for(qr/reload done/);
        }
    }, %with);
    is($load->{lost}, 0, "$name: nothing lost in $count reloads") or diag(explain($load), $daemon->log);
    cmp_ok($load->{ok}, '>', 0, "$name: and $load->{ok} requests answered");
    return;
}

1;
