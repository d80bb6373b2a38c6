use strict;
use warnings;
use lib qw(t/lib xt/lib);
use File::Find ();
use POSIX ();
use Test::More;
use Daemon;
use Program ();

# Each synopsis is a complete program: it is started, sent a request, and stopped.

my $HELLO = qr/^Hello from \d+$/m;
my %ANSWER = (
    'FCGIPM'                       => $HELLO,
    'FCGIPM::Request'              => qr/^Hello, unix:: GET$/m,
    'FCGIPM::Stream'               => qr/^4\n4$/m,
    'FCGIPM::Stream::Input'        => qr/^2 lines$/m,
    'FCGIPM::Stream::Output'       => qr/^FCGIPM::Stream::Output$/m,
    'FCGIPM::Stream::Format'       => qr/^tea +4\.20$/m,
    'FCGIPM::ProcManager'          => $HELLO,
    'FCGIPM::ProcManager::Events'  => $HELLO,
    'FCGIPM::ProcManager::Options' => $HELLO,
    'FCGIPM::Compat'               => $HELLO,
    'FCGIPM::Compat::FCGI'         => qr/^1$/m,
    'FCGIPM::Compat::ProcManager'  => $HELLO,
    'FCGIPM::Compat::Constrained'  => $HELLO,
    'FCGIPM::Compat::MaxRequests'  => $HELLO,
    'FCGIPM::Compat::Managed'      => $HELLO,
    'FCGIPM::Compat::Redirected'   => qr/^done$/m,
);
# These are not servers.
my %PRINTS = (
    'FCGIPM::Library' => qr/\Alibfcgipm \d+\.\d+\.\d+ from \//,
    'FCGIPM::Alias'   => qr/\AHello\n\z/,
    'FCGIPM::Signals' => qr/\ATERM is not handled\n\z/,
    'FCGIPM::FFI'     => qr/\Athe library is called through XS\n\z/,
    'FCGIPM::XS'      => qr/\Athe library is called through XS\n\z/,
);

my @files;
File::Find::find({ wanted => sub { push @files, $_ if /\.(?:pm|pod)\z/ }, no_chdir => 1 }, 'lib');
my $folder = File::Temp->newdir;
my %run;

for my $file (sort @files) {
    (my $module = $file) =~ s{\Alib/|\.\w+\z}{}g;
    $module =~ s{/}{::}g;
    open my $in, '<', $file or die "$file: $!";
    my $text = do { local $/; <$in> };
    next if $text !~ /^=head1/m;    # xt/distribution.t lists the modules without POD
    my ($synopsis) = $text =~ /^=head1 SYNOPSIS\n\n(.*?)\n=head1/ms;
    ok(defined $synopsis, "$module: has a synopsis") or next;
    $synopsis =~ s/^    //mg;
    like($synopsis, qr{\A#!/usr/bin/perl\n}, "$module: the synopsis is a complete program");
    # Addresses and files are replaced.
    $synopsis =~ s{'(?::9005|/run/app\.sock)'}{'fd:0'}g;
    $synopsis =~ s{'/(?:run|tmp)/(app\.pid|report)'}{'$folder/$1'}g;
    unlike($synopsis, qr{'(?::\d|/(?:run|tmp)/(?!\Q@{[ $folder =~ s{\A/tmp/}{}r ]}\E))}, "$module: no other address or file");
    $run{$module} = 1;

    my $daemon = Daemon->start(text => $synopsis, environment => $module eq 'FCGIPM::Compat' ? { PERL5OPT => '-Ilib -MFCGIPM::Compat' } : {});
    if (my $prints = $PRINTS{$module}) {
        is($daemon->ended, 0, "$module: exits with status 0");
        like($daemon->stdout, $prints, "$module: prints");
    }
    else {
        my $answer = $daemon->ask(params => [ REQUEST_METHOD => 'GET' ], stdin => "tea\nmilk");
        like($answer->{stdout}, $ANSWER{$module}, "$module: answers");
        # Perl's handlers run between two statements: a signal just before accept would wait for a
        # request.
        Program::wait_until_idle($daemon->pid);
        # It kills a program without a manager, except under FCGIPM::Compat, which handles it.
        is($daemon->stop, $module =~ /\A(?:FCGIPM\z|FCGIPM::(?:Compat|ProcManager))/ ? 0 : POSIX::SIGTERM(), "$module: TERM ends it");
    }
    unlike($daemon->log, qr/ at \S+ line \d+/, "$module: without a warning");
}
is_deeply([ sort keys %run ], [ sort +(keys %ANSWER, keys %PRINTS) ], 'all modules with POD');

done_testing;
