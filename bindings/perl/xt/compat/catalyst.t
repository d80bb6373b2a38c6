use strict;
use warnings;
use lib qw(t/lib xt/lib);
use Test::More;
use Compat;
use Program ();

# Catalyst's own script, as `catalyst.pl` creates it, on the original and under FCGIPM::Compat.

needs(qw(Catalyst FCGI::ProcManager));

my $TEXT = <<'END';
use strict;
use warnings;

package Shop::Controller::Root;
use Moose;
BEGIN { extends 'Catalyst::Controller' }
__PACKAGE__->config(namespace => '');
sub default : Private { $_[1]->res->content_type('text/plain'); $_[1]->res->body("worker $$ at " . $_[1]->req->path) }
sub form : Local { $_[1]->res->body(join ',', map { "$_=" . $_[1]->req->params->{$_} } sort keys %{ $_[1]->req->params }) }
sub written : Local { my ($self, $c) = @_; $c->res->content_type('text/plain'); $c->res->write("part $_\n") for 1 .. 3 }
sub wrong : Local { die "asked to\n" }
sub away : Local { $_[1]->res->redirect('/elsewhere') }

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
Catalyst::ScriptRunner->run('Shop', 'FastCGI');
END

sub shop {
    my ($environment) = @_;
    my $daemon = Daemon->start(
        text        => $TEXT,
        address     => '',
        arguments   => sub { my ($listen, $folder) = @_; return ('--listen', $listen, '--nproc', 2, '--pidfile', "$folder/pid") },
        environment => $environment,
    );
    $daemon->wait_for(qr/server .*initialized/) for 1, 2;
    return $daemon;
}

sub ask {
    my ($daemon, $path, $form) = @_;
    my @form = defined $form ? (CONTENT_TYPE => 'application/x-www-form-urlencoded', CONTENT_LENGTH => length $form) : ();
    my $response = $daemon->ask(
        params => [
            REQUEST_METHOD => defined $form ? 'POST' : 'GET', REQUEST_URI => $path, SCRIPT_NAME => '', PATH_INFO => $path, QUERY_STRING => '',
            SERVER_NAME => 'here', SERVER_PORT => 80, SERVER_PROTOCOL => 'HTTP/1.1', HTTP_HOST => 'here', REMOTE_ADDR => '127.0.0.1', @form,
        ],
        stdin => $form // '',
    );
    delete $response->{stdout_records};
    $response->{$_} =~ s/worker \d+/worker N/ for qw(stdout stderr);
    return $response;
}

sub answers {
    my ($environment) = @_;
    my $daemon = shop($environment);
    my @answers = (map({ ask($daemon, $_) } qw(/ /some/where /written /wrong /away)), ask($daemon, '/form', 'a=1&b=2'));
    my $has_pid_file = -s $daemon->dir . '/pid' ? 'pid file' : 'none';
    # The original loses a signal that arrives before accept.
    Program::wait_until_idle($_) for $daemon->log =~ /server \(pid (\d+)\): initialized/g;
    return [ @answers, $has_pid_file, $daemon->stop ];
}

my ($original, $ours) = map { answers($_) } {}, compat_environment();
is_deeply($ours, $original, 'the responses are the same') or diag(explain({ ours => $ours, original => $original }));
like($ours->[5]{stdout}, qr/a=1,b=2/, 'a form');

my $daemon = shop(compat_environment());
reloads('Catalyst', $daemon, 3, expect => 'worker');
is($daemon->stop, 0, 'TERM stops it with status 0');
ok(!-e $daemon->dir . "/$_", "no $_ is left") for qw(socket pid);

done_testing;
