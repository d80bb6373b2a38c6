package Compat;

# Unchanged programs under PERL5OPT=-MFCGIPM::Compat, and load on them.

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
use Tested;
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
    return { PERL5OPT => '-MFCGIPM::Compat', PERL5LIB => Tested::path(), %more };
}

# Daemon->start under FCGIPM::Compat.
sub compat {
    my (%with) = @_;
    return Daemon->start(%with, environment => compat_environment(%{ $with{environment} || {} }));
}

# A copy of the modules and the library that other users can read, in the layout of a build tree.
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

# Four clients send requests continuously while $work runs; returns the counts of `fcgipm load`.
# %with: expect (a text in every response), keep, split, options (others), manager (its pid, if it
# is another process).
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

# Waits for one request. Not for more, because the counters of workers disappear with them.
sub wait_for_request {
    my ($manager) = @_;
    my $before = status($manager)->{requests};
    1 while status($manager)->{requests} <= $before;
    return;
}

# Reloads $count times under load, and checks that no request is lost.
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
