use strict;
use warnings;
use lib qw(t/lib xt/lib);
use Cwd ();
use File::Temp ();
use Test::More;
use Application;
use Compat;

# gitweb, as git ships it: CGI::Fast and FCGI::ProcManager, a reference to FCGI::Stream::PRINT that
# is taken before FCGI is loaded, and workers that exit on their own after each error and after 100
# requests.

my $GITWEB = '/usr/share/gitweb/gitweb.cgi';
-x $GITWEB or BAIL_OUT("$GITWEB is needed (packaging/setup.sh test)");
needs(qw(CGI::Fast FCGI::ProcManager));

# The commits are from 2005, so that their ages do not change while the test runs.
my $folder = File::Temp->newdir;
my $text = "Gr\xc3\xbc\xc3\x9fe\n" x 100;
my $binary = join '', map { chr } 0 .. 255;
{
    local %ENV = (
        %ENV, GIT_CONFIG_GLOBAL => '/dev/null', map { ("GIT_${_}_NAME" => "J\xc3\xb6rg", "GIT_${_}_EMAIL" => 'j@example.org', "GIT_${_}_DATE" => '2005-05-05T05:05:05Z') }
            qw(AUTHOR COMMITTER),
    );
    my $git = sub { system('git', '-C', "$folder/work", @_) == 0 or die "git @_: $?" };
    mkdir "$folder/work" or die "work: $!";
    $git->(qw(init -q -b main));
    for ([ 'text.txt', $text ], [ 'binary', $binary ]) {
        my ($name, $content) = @$_;
        open my $file, '>:raw', "$folder/work/$name" or die "$name: $!";
        print {$file} $content;
        close $file or die "$name: $!";
        $git->('add', $name);
        $git->(qw(commit -q -m), "Add $name, gr\xc3\xbcn");
    }
    system('git', 'clone', '-q', '--bare', "$folder/work", "$folder/city.git") == 0 or die "git clone: $?";
}
open my $config, '>', "$folder/gitweb.conf" or die "gitweb.conf: $!";
print {$config} "\$projectroot = '$folder'; \$feature{'snapshot'}{'default'} = ['tgz']; \$feature{'blame'}{'default'} = [1];\n";
close $config or die "gitweb.conf: $!";

my @variable = (GITWEB_CONFIG => "$folder/gitweb.conf", SCRIPT_FILENAME => $GITWEB);

sub start {
    my ($environment, $listener, $workers) = @_;
    $workers //= 4;
    return application(
        command     => [ 'env', '-u', 'FCGI_SOCKET_PATH', $GITWEB, '--fastcgi', "--nproc=$workers" ],
        in          => "$folder",
        environment => { %$environment, @variable },
        listener    => $listener,
    );
}

my @page = (
    [ '',                                       qr/projects list|>city\.git</ ],
    [ '?p=city.git;a=summary',                  qr/J\xc3\xb6rg/ ],
    [ '?p=city.git;a=log',                      qr/gr\xc3\xbcn/ ],
    [ '?p=city.git;a=tree',                     qr/text\.txt/ ],
    [ '?p=city.git;a=blob;f=text.txt',          qr/Gr\xc3\xbc\xc3\x9fe/ ],
    [ '?p=city.git;a=blob_plain;f=text.txt',    qr/\r\n\r\n\Q$text\E\z/ ],
    [ '?p=city.git;a=blob_plain;f=binary',      qr/\r\n\r\n\Q$binary\E\z/ ],
    [ '?p=city.git;a=commitdiff',               qr/binary/ ],
    [ '?p=city.git;a=blame;f=text.txt',         qr/Gr\xc3\xbc/ ],
    [ '?p=city.git;a=snapshot;h=HEAD;sf=tgz',          qr/\r\n\r\n\x1f\x8b/ ],
    [ '?p=city.git;a=rss',                      qr/<rss/ ],
    [ '?a=opml',                                qr/<opml/ ],
    [ '?p=nowhere.git',                         qr/\AStatus: 404/ ],
    [ '?p=city.git;a=nonsense',                 qr/\AStatus: 400/ ],
    [ '?p=city.git;a=summary',                  qr/J\xc3\xb6rg/ ],
);
# One worker, because the title of an error page has the project of the worker's previous request.
pages_alike('gitweb', sub { start($_[0], undef, 1) }, [ map { page($_->[0], script => '/gitweb', @variable) } @page ],
    workers   => 1,
    contains  => [ map { $_->[1] } @page ],
    anonymous => sub {
        my ($page) = @_;
        # Depends on the time.
        $page =~ s/^(Expires|Date): .*\r$/$1: WHEN/mg;
        return $page;
    },
);

my @load = ('--script-name', '/gitweb', map { ('--param', "$variable[$_]=$variable[$_ + 1]") } 0, 2);
undisturbed('gitweb', \&start, load => [ @load, '--uri', '/gitweb?p=city.git;a=summary' ], expect => 'text.txt');

# A worker that exits with status 0 after its response has not failed: it is replaced immediately.
{
    my $daemon = start(compat_environment());
    $daemon->wait_for(qr{server \(pid \d+\): initialized});
    my $loaded = load_during($daemon, sub { $daemon->wait_for(qr/exited with status 0/) for 1 .. 40 },
        options => [ @load, '--uri', '/gitweb?p=nowhere.git', '--status', 404 ]);
    is($loaded->{lost}, 0, 'gitweb: 40 workers that exit on their own lose no request');
    is($daemon->stop, 0, 'gitweb: TERM stops it');
    unlike($daemon->log, qr/emergency|too fast|pause/, 'gitweb: the workers are replaced without a delay') or diag($daemon->log);
}

done_testing;
