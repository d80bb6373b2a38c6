package AppCode::DB;

# The application of daemon.fcgi: a page for each feature of a FastCGI program.

use strict;
use warnings;

use CGI ();
use Digest::SHA ();

use constant CHUNK => 64 * 1024;

my $requests = 0;

my %PAGE = (
    '/'        => \&front,
    '/env'     => \&env,
    '/echo'    => \&echo,
    '/hash'    => \&hash,
    '/bytes'   => \&bytes,
    '/headers' => \&headers,
    '/stderr'  => \&stderr,
    '/sleep'   => \&pause,
    '/status'  => \&status,
    '/die'     => \&death,
    '/exit'    => \&leave,
);

# These pages read the body themselves. CGI.pm would load all of it into memory.
my %READS_BODY = map { $_ => 1 } qw(/echo /hash);

sub handle {
    $requests++;
    my $path = path();
    my $q = $READS_BODY{$path} ? CGI->new($ENV{QUERY_STRING} || '') : CGI->new;
    my $page = $PAGE{$path} || \&missing;
    $page->($q);
    return;
}

# For a daemon that serves all paths, web servers set PATH_INFO and SCRIPT_NAME differently.
sub path {
    my $path = $ENV{DOCUMENT_URI} || $ENV{REQUEST_URI} || ($ENV{SCRIPT_NAME} || '') . ($ENV{PATH_INFO} || '') || '/';
    $path =~ s/\?.*//s;
    return $path;
}

sub text {
    my ($q, @more) = @_;
    print $q->header(-type => 'text/plain', -charset => 'utf-8', @more);
    return;
}

sub front {
    my ($q) = @_;
    text($q);
    print "worker $$\nrequest $requests\n";
    return;
}

sub env {
    my ($q) = @_;
    text($q);
    print map { "$_=$ENV{$_}\n" } sort keys %ENV;
    return;
}

sub echo {
    my ($q) = @_;
    my $body = do { local $/; <STDIN> };
    $body = '' if !defined $body;
    print $q->header(
        -type           => $ENV{CONTENT_TYPE} || 'application/octet-stream',
        -charset        => '',
        -content_length => length $body,
        -x_sha256       => Digest::SHA::sha256_hex($body),
    );
    print $body;
    return;
}

sub hash {
    my ($q) = @_;
    my ($sha, $length) = (Digest::SHA->new(256), 0);
    while (my $got = read STDIN, my $chunk, CHUNK) {
        $sha->add($chunk);
        $length += $got;
    }
    text($q);
    print $sha->hexdigest, " $length\n";
    return;
}

sub bytes {
    my ($q) = @_;
    my $missing = number($q, 'n', 0);
    print $q->header(-type => 'application/octet-stream', -charset => '', -content_length => $missing);
    my $chunk = '0123456789abcdef' x (CHUNK / 16);
    while ($missing > 0) {
        my $length = $missing < CHUNK ? $missing : CHUNK;
        print(substr $chunk, 0, $length) or return;    # the client has disconnected
        $missing -= $length;
    }
    return;
}

sub headers {
    my ($q) = @_;
    text($q, map { ("-x_header_$_" => "value $_") } 1 .. number($q, 'n', 1));
    print "headers\n";
    return;
}

sub stderr {
    my ($q) = @_;
    my $message = $q->param('msg');
    print STDERR defined $message ? $message : 'no message', "\n";
    text($q);
    print "written to STDERR\n";
    return;
}

sub pause {
    my ($q) = @_;
    select undef, undef, undef, number($q, 'ms', 0) / 1_000;
    text($q);
    print "awake\n";
    return;
}

sub status {
    my ($q) = @_;
    my $code = number($q, 'code', 200);
    text($q, -status => "$code As Requested");
    print "status $code\n";
    return;
}

sub death {
    my ($q) = @_;
    text($q);
    print "before the end\n";
    die "asked to die\n";
}

sub leave {
    my ($q) = @_;
    text($q);
    print "before the exit\n";
    exit 0;
}

sub missing {
    my ($q) = @_;
    text($q, -status => '404 Not Found');
    print "no such page\n";
    return;
}

sub number {
    my ($q, $name, $default) = @_;
    my $value = $q->param($name);
    return defined $value && $value =~ /\A\d{1,12}\z/ ? $value : $default;
}

1;
