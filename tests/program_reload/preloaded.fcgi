#!/usr/bin/perl
# As preloaded.c: loads its "code", a word in a file, before the manager starts.
use strict;
use warnings;

use Cwd ();
use FCGIPM::Compat;
use FCGI;
use FCGI::ProcManager;
use POSIX ();

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
$ENV{FCGIPM_START_TIMEOUT} = 2 if $word eq 'impatient';

my $socket = FCGI::OpenSocket($address, 100);
chdir '/' or die "chdir: $!\n";
$ENV{PRELOADED_VARIABLE} = 'changed';
my $request = FCGI::Request(\*STDIN, \*STDOUT, \*STDERR, \my %env, $socket);
my $manager = FCGI::ProcManager->new({ n_processes => 2 });
$manager->pm_manage;
if ($word eq 'waiting') {
    # A child that lives as long as this process, and a handler that waits for any.
    my $worker = $$;
    if (fork == 0) {
        sleep 1 while getppid == $worker;
        POSIX::_exit(0);
    }
    $SIG{CHLD} = sub { wait };
}
if ($word eq 'abandoning') {
    # Asked for a template, frees the manager in the middle of the fork.
    $FCGIPM::Request::Loop::on_fork_due = sub {
        my $template = FCGIPM::Library::manager_of_worker();
        FCGIPM::Library::manager_next($template);
        FCGIPM::Library::manager_fork_begins($template);
        FCGIPM::Library::manager_free($template);
        POSIX::sigprocmask(POSIX::SIG_BLOCK(), POSIX::SigSet->new, my $blocked = POSIX::SigSet->new);
        warn 'abandoned: TERM is ', $blocked->ismember(POSIX::SIGTERM()) ? '' : 'not ', "blocked\n";
    };
}
exit 3 if $word eq 'dying';
my $served = 0;    # by this memory: by this process, and by those that it is a copy of
while ($request->Accept >= 0) {
    $manager->pm_pre_dispatch;
    if ($env{REQUEST_URI} eq '/stuck') { sleep while 1 }
    print "Content-Type: text/plain\r\n\r\n$word worker $$ parent ", getppid, ' folder ', Cwd::getcwd(), ' variable ',
        $ENV{PRELOADED_VARIABLE}, ' leak ', $ENV{FCGIPM_TEMPLATE} // '-', ' served ', $served++, "\n";
    $manager->pm_post_dispatch;
}
