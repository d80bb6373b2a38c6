#!/usr/bin/perl
# As preloaded.c: loads its "code", a word in a file, before the manager starts.
use strict;
use warnings;

use Cwd ();
use FCGIPM::Compat;
use FCGI;
use FCGI::ProcManager;

my ($path, $address) = @ARGV;
my $word = do {
    open my $file, '<', $path or die "no code in $path: $!\n";
    <$file>;
};
chomp $word;
if ($word eq 'broken') {
    warn "the code is broken\n";
    exit 25;
}
kill KILL => $$ if $word eq 'killed';
sleep if $word eq 'hanging';

my $socket = FCGI::OpenSocket($address, 100);
chdir '/' or die "chdir: $!\n";
$ENV{PRELOADED_VARIABLE} = 'changed';
my $request = FCGI::Request(\*STDIN, \*STDOUT, \*STDERR, \my %env, $socket);
my $manager = FCGI::ProcManager->new({ n_processes => 2 });
$manager->pm_manage;
exit 3 if $word eq 'dying';
my $served = 0;    # by this memory: by this process, and by those that it is a copy of
while ($request->Accept >= 0) {
    $manager->pm_pre_dispatch;
    print "Content-Type: text/plain\r\n\r\n$word worker $$ parent ", getppid, ' folder ', Cwd::getcwd(), ' variable ',
        $ENV{PRELOADED_VARIABLE}, ' leak ', $ENV{FCGIPM_TEMPLATE} // '-', ' served ', $served++, "\n";
    $manager->pm_post_dispatch;
}
