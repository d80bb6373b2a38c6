use strict;
use warnings;
use Digest::SHA ();
use Plack::Request ();

my $requests = 0;

sub body {
    my ($input, $all) = ($_[0]->env->{'psgi.input'}, '');
    1 while $input->read($all, 65_536, length $all);
    return $all;
}

my %page = (
    '/hash'    => sub { my $body = body($_[0]); return Digest::SHA::sha256_hex($body) . ' ' . length($body) . "\n" },
    '/echo'    => \&body,
    '/env'     => sub { my $env = $_[0]->env; return map { "$_=$env->{$_}\n" } sort keys %$env },
    '/stderr'  => sub { $_[0]->env->{'psgi.errors'}->print($_[0]->param('msg'), "\n"); return 'logged' },
);

sub bytes {
    my ($missing) = @_;
    return sub {
        my $writer = $_[0]->([ 200, [ 'Content-Type' => 'application/octet-stream', 'Content-Length' => $missing ] ]);
        for (; $missing > 0; $missing -= 65_536) {
            $writer->write(substr '0123456789abcdef' x 4096, 0, $missing) or last;
        }
        $writer->close;
    };
}

sub {
    my $request = Plack::Request->new($_[0]);
    (my $path = $_[0]{REQUEST_URI}) =~ s/\?.*//s;
    $requests++;
    return bytes($request->query_parameters->{n}) if $path eq '/bytes';
    my @headers = $path eq '/headers' ? map { ("X-Header-$_" => "value $_") } 1 .. $request->query_parameters->{n} : ();
    my $page = $page{$path} || sub { "worker $$\nrequest $requests\nheaders\n" };
    return [ 200, [ 'Content-Type' => 'text/plain', @headers ], [ $page->($request) ] ];
};
