use strict;
use warnings;
use lib qw(t/lib xt/lib);
use Test::More;
use Compat;

# Applications that are loaded before the workers are forked, under FCGIPM::Compat: USR2 loads them
# again, and no client notices it. Each one reads a word when it is loaded.

needs(qw(Plack CGI::Fast Catalyst FCGI::ProcManager));

my $READ = <<'END';
use strict;
use warnings;
our $WORD = do { open my $file, '<', $ENV{WORD_FILE} or die "no word: $!\n"; <$file> };
chomp $WORD;
die "the deploy is broken\n" if $WORD eq 'broken';
END

my %PROGRAM = (
    'CGI::Fast' => <<'END',
use CGI::Fast;
while (my $q = CGI::Fast->new) { print $q->header('text/plain'), "word $main::WORD of ", getppid, "\n" }
END
    Plack => <<'END',
use Plack::Runner;
my $runner = Plack::Runner->new;
$runner->parse_options('-s', 'FCGI', '-E', 'deployment', '--listen', $ENV{FCGI_SOCKET_PATH}, '--nproc', 2);
$runner->run(sub { [ 200, [ 'Content-Type' => 'text/plain' ], [ "word $main::WORD of " . getppid . "\n" ] ] });
END
    Catalyst => <<'END',
package Shop::Controller::Root;
use Moose;
BEGIN { extends 'Catalyst::Controller' }
__PACKAGE__->config(namespace => '');
sub default : Private { $_[1]->res->content_type('text/plain'); $_[1]->res->body("word $main::WORD of " . getppid . "\n") }

package Shop;
use Moose;
use Catalyst;
extends 'Catalyst';
BEGIN { $INC{'Shop.pm'} = $INC{'Shop/Controller/Root.pm'} = __FILE__ }
__PACKAGE__->config(name => 'Shop', encoding => undef, setup_components => { except => qr/./ });
__PACKAGE__->inject_components('Controller::Root' => { from_component => 'Shop::Controller::Root' });
__PACKAGE__->setup;

package main;
use Catalyst::ScriptRunner;
@ARGV = ('--listen', $ENV{FCGI_SOCKET_PATH}, '--nproc', 2);
Catalyst::ScriptRunner->run('Shop', 'FastCGI');
END
);

sub deploy {
    my ($file, $word) = @_;
    open my $new, '>', "$file.new" or die "$file: $!";
    print {$new} "$word\n";
    close $new or die "$file: $!";
    rename "$file.new", $file or die "$file: $!";
    return;
}

my $folder = File::Temp->newdir;
for my $name (sort keys %PROGRAM) {
    my $file = "$folder/word";
    deploy($file, 'first');
    my $daemon = Daemon->start(
        text        => $READ . $PROGRAM{$name},
        address     => '',
        environment => { %{ compat_environment() }, WORD_FILE => $file, FCGIPM_N_PROCESSES => 2 },
    );
    my $manager = $daemon->pid;
    $daemon->wait_for(qr/server .*initialized/) for 1, 2;
    my $word = sub { ($daemon->ask->{stdout} =~ /word (\S+) of $manager\n/)[0] };
    is($word->(), 'first', "$name: the application was loaded before the fork");
    my $counts = load_during($daemon, sub {
        for my $round (1 .. 30) {
            my $is_broken = $round % 10 == 5;
            deploy($file, $is_broken ? 'broken' : "round-$round");
            $daemon->signal('USR2');
            $daemon->wait_for($is_broken ? qr/reload failed.*the deploy is broken/ : qr/reload done/);
        }
    }, expect => 'word');
    is($word->(), 'round-30', "$name: USR2 has loaded it again");
    my $requests = $counts->{requests};
    cmp_ok($requests, '>', 100, "$name: requests during 30 reloads");
    is($counts->{lost}, 0, "$name: none of them is lost");
    note("measured: $name: $requests requests during 30 reloads of the program, lost=0");
    is($daemon->stop, 0, "$name: TERM stops it with status 0");
}

done_testing;
