use strict;
use warnings;

package Shop::Controller::Root;
use Moose;
use Digest::SHA ();
BEGIN { extends 'Catalyst::Controller' }
__PACKAGE__->config(namespace => '');
my $requests = 0;

sub auto : Private { $_[1]->res->content_type('text/plain'); $requests++; return 1 }
sub default : Private { $_[1]->res->body("worker $$\nrequest $requests\n") }

sub hash : Local {
    my ($self, $c) = @_;
    my $body = body($c);
    $c->res->body(Digest::SHA::sha256_hex($body) . ' ' . length($body) . "\n");
}

sub echo : Local { $_[1]->res->body(body($_[1])) }
sub body { my $file = $_[0]->req->body or return ''; local $/; return scalar readline($file) // '' }

sub env : Local {
    my ($self, $c) = @_;
    my $env = $c->req->env;
    $c->res->body(join '', map { "$_=$env->{$_}\n" } sort keys %$env);
}

sub bytes : Local {
    my ($self, $c) = @_;
    my $missing = $c->req->query_parameters->{n};
    $c->res->content_type('application/octet-stream');
    $c->res->content_length($missing);
    for (; $missing > 0; $missing -= 65_536) {
        $c->res->write(substr '0123456789abcdef' x 4096, 0, $missing) or last;
    }
    $c->res->body('') if !$c->req->query_parameters->{n};
}

sub headers : Local {
    my ($self, $c) = @_;
    $c->res->header("X-Header-$_" => "value $_") for 1 .. $c->req->query_parameters->{n};
    $c->res->body("headers\n");
}

sub stderr : Local {
    my ($self, $c) = @_;
    $c->req->env->{'psgi.errors'}->print($c->req->query_parameters->{msg}, "\n");
    $c->res->body('logged');
}

package Shop;
use Moose;
use Catalyst;
extends 'Catalyst';
BEGIN { $INC{'Shop.pm'} = $INC{'Shop/Controller/Root.pm'} = __FILE__ }
__PACKAGE__->config(name => 'Shop', encoding => undef, setup_components => { except => qr/./ });
__PACKAGE__->inject_components('Controller::Root' => { from_component => 'Shop::Controller::Root' });
__PACKAGE__->setup;

# The script that `catalyst.pl Shop` makes.
package main;
use Catalyst::ScriptRunner;
Catalyst::ScriptRunner->run('Shop', 'FastCGI');
