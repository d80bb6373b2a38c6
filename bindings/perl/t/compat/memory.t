use strict;
use warnings;
use lib 't/lib';
use JSON::PP ();
use Test::More;
use Compat;
use Workers qw(fcgipm worker_of);

# A worker of an unchanged program keeps its size, whatever its pages are made of.
# MEMORY_REQUESTS=1000000 in the environment looks longer.

needs('FCGI::ProcManager');

use constant {
    WARM_UP  => 4_000,
    REQUESTS => $ENV{MEMORY_REQUESTS} || 20_000,
    SLACK    => 64,                                # KiB
};

my $PROGRAM = <<'END';
use strict; use warnings; use FCGI; use FCGI::ProcManager;
my $socket = FCGI::OpenSocket($ENV{FCGI_SOCKET_PATH}, 100);
my %own;
my $request = FCGI::Request(\*STDIN, \*STDOUT, \*STDERR, $ENV{OWN_HASH} ? \%own : \%ENV, $socket);
my $manager = FCGI::ProcManager->new({ n_processes => 1 });
$manager->pm_manage;
my $served = 0;
while ($request->Accept >= 0) {
    $manager->pm_pre_dispatch;
    $served++;
    print "Content-Type: text/plain\r\n\r\nworker $$ ";
    PAGE;
    $manager->pm_post_dispatch;
}
END

# name => what the page does, more environment, the peer's options
my @CASES = (
    'a small page'           => [ 'print "ok\n"', {}, [] ],
    'on kept connections'    => [ 'print "ok\n"', {}, ['--keep'] ],
    '%ENV, read and written' => [ '$ENV{"MINE_" . $served % 3} = "value $served"; $ENV{QUERY_STRING} .= "&n=$served"; print map { "$_=$ENV{$_}\n" } sort keys %ENV', {}, [] ],
    'a hash of its own'      => [ '$own{"MINE_" . $served % 3} = "value $served"; delete $own{SERVER_NAME}; print map { "$_=$own{$_}\n" } sort keys %own', { OWN_HASH => 1 }, [] ],
    'many prints'            => [ 'print "line ", $_, "\n" for 1 .. 60; printf "%d\n", $served; print STDERR "said\n" if $served % 100 == 0', {}, [] ],
    'a body by lines'        => [ 'my $n = 0; while (my $line = <STDIN>) { $n += length $line } print "$n\n"', {}, 'lines' ],
);

sub private {
    my ($pid) = @_;
    open my $file, '<', "/proc/$pid/smaps_rollup" or die "smaps_rollup: $!";
    my $sum = 0;
    while (<$file>) { $sum += $1 if /^Private_\w+: +(\d+) kB/ }
    $sum or die 'no private memory';
    return $sum;
}

my $folder = File::Temp->newdir;
open my $lines, '>', "$folder/lines" or die "lines: $!";
print {$lines} map { 'a line of a form ' x ($_ % 7) . "\n" } 1 .. 160;
close $lines or die "lines: $!";

while (my ($name, $case) = splice @CASES, 0, 2) {
    my ($page, $environment, $options) = @$case;
    my @options = ref $options ? @$options : ('--body-file', "$folder/lines");
    (my $text = $PROGRAM) =~ s/PAGE/$page/;
    my $daemon = compat(text => $text, environment => $environment);
    my $worker = worker_of($daemon->ask(stdin => ''));
    my ($lost, $ok) = (0, 0);
    my $ask = sub {
        my ($count) = @_;
        open my $pipe, '-|', fcgipm(), 'load', '--json', '-n', $count, '--expect', "worker $worker ", @options, $daemon->address or die "fcgipm load: $!";
        my $counted = JSON::PP::decode_json(do { local $/; readline $pipe });
        close $pipe;
        $lost += $counted->{lost};
        $ok += $counted->{ok};
        return private($worker);
    };
    my $before = $ask->(WARM_UP);
    my $after = $ask->(REQUESTS);
    is($lost, 0, "$name: none lost, all by one worker");
    is($ok, WARM_UP + REQUESTS, "$name: and all answered");
    cmp_ok($after - $before, '<=', SLACK, "$name: $before KiB, and $after KiB after @{[REQUESTS]} requests");
    diag("$name: $before -> $after KiB") if $ENV{MEMORY_REQUESTS};
    is($daemon->stop, 0, "$name: TERM ends it");
}

done_testing;
