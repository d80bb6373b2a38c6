package Application;

# A complete application as Debian ships it, on the originals and under FCGIPM::Compat: its pages
# are the same, and reloads and a stop under load lose no request.

use strict;
use warnings;

use Exporter 'import';
use IO::Socket::UNIX;
use Test::More;

use Compat;
use Daemon;

our @EXPORT = qw(application page pages_alike undisturbed);

sub application { return Daemon->start(@_, own_group => 1) }

# A request as web servers send it. %with: script (SCRIPT_NAME), body, type, and more parameters by
# their names.
sub page {
    my ($uri, %with) = @_;
    my ($script, $body) = (delete $with{script} // '', delete $with{body});
    my $type = delete $with{type} // (defined $body ? 'application/x-www-form-urlencoded' : '');
    my ($path, $query) = split /\?/, $uri, 2;
    return {
        name   => (defined $body ? 'POST ' : 'GET ') . $uri,
        stdin  => $body,
        params => [
            GATEWAY_INTERFACE => 'CGI/1.1', SERVER_SOFTWARE => 'test', SERVER_PROTOCOL => 'HTTP/1.1', SERVER_NAME => 'here.example',
            SERVER_PORT => 80, HTTP_HOST => 'here.example', REMOTE_ADDR => '127.0.0.1', REQUEST_METHOD => defined $body ? 'POST' : 'GET',
            SCRIPT_NAME => $script, PATH_INFO => $path // '', QUERY_STRING => $query // '', REQUEST_URI => $script . $uri,
            CONTENT_TYPE => $type, CONTENT_LENGTH => defined $body ? length $body : '', %with,
        ],
    };
}

sub _ask {
    my ($daemon, $page) = @_;
    my $response = $daemon->ask(%$page);
    return { map { $_ => $response->{$_} } qw(stdout stderr app_status protocol_status ended) };
}

# Requests each page from both, and compares the responses. A page may be a sub that takes the
# responses so far and returns the page. $start takes the environment and returns a Daemon. %with:
# workers (the number of workers that log "initialized", or 0), anonymous (takes a text and returns
# it without legitimate differences; name them there), contains (patterns for the pages, in order).
# Returns the responses under Compat.
sub pages_alike {
    my ($name, $start, $pages, %with) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $anonymous = $with{anonymous} || sub { $_[0] };
    my %answers;
    for my $way (qw(original compat)) {
        my $daemon = $start->($way eq 'compat' ? compat_environment() : {});
        $daemon->wait_for(qr/server \(pid \d+\): initialized/) for 1 .. $with{workers} // 0;
        $answers{$way} = [];
        push @{ $answers{$way} }, _ask($daemon, ref eq 'CODE' ? $_->(@{ $answers{$way} }) : $_) for @$pages;
        if ($way eq 'compat') {
            is($daemon->stop, 0, "$name: TERM stops it with status 0") or diag($daemon->log);
        }
        else {
            # The original may lose a TERM that arrives while a worker is starting.
            $daemon->kill_all;
        }
    }
    for my $i (0 .. $#$pages) {
        my ($ours, $original) = map { $answers{$_}[$i] } qw(compat original);
        my $what = "$name: " . (ref $pages->[$i] eq 'CODE' ? "page $i" : $pages->[$i]{name});
        like($original->{stdout}, $with{contains}[$i], "$what: has the expected content") if $with{contains}[$i];
        for my $answer ($ours, $original) { $answer->{$_} = $anonymous->($answer->{$_}) for qw(stdout stderr) }
        ok($ours->{stdout} eq $original->{stdout}, "$what: the same page") or diag(_difference(map { $_->{stdout} } $original, $ours));
        is_deeply({ %$ours, stdout => '' }, { %$original, stdout => '' }, "$what: everything else is the same");
    }
    return $answers{compat};
}

sub _difference {
    my ($original, $ours) = @_;
    my ($end, $length) = (0, length($original) < length $ours ? length $original : length $ours);
    $end++ while $end < $length && substr($original, $end, 1) eq substr $ours, $end, 1;
    my $begin = $end > 200 ? $end - 200 : 0;
    return sprintf "of %d bytes the first %d are the same; then\noriginal: %s\nours: %s\n", length $original, $end,
        map { substr $_, $begin, 600 } $original, $ours;
}

# Three reloads under load, with parameters in two segments; then a stop under load. $start takes
# Compat's environment and the listening socket to inherit; after the stop, a second instance serves
# the same socket. %with: load (options of `fcgipm load`), expect, opens (the application opens its
# socket itself, so there is no second instance).
sub undisturbed {
    my ($name, $start, %with) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $folder = File::Temp->newdir;
    chmod 0755, $folder;
    my $listener = $with{opens} ? undef : IO::Socket::UNIX->new(Local => "$folder/socket", Listen => 100) || die "listen: $!";
    my $daemon = $start->(compat_environment(), $listener);
    $daemon->wait_for(qr/server \(pid \d+\): initialized/);
    my %load = (split => 3, expect => $with{expect}, options => $with{load});
    reloads($name, $daemon, 3, %load);
    my ($stopped, $second);
    my $counted = load_during($daemon, sub {
        $stopped = $daemon->stop;
        return if $with{opens};
        $second = $start->(compat_environment(), $listener);
        $second->wait_for(qr/server \(pid \d+\): initialized/);
        wait_for_request($second);
    }, %load);
    is($stopped, 0, "$name: stopped under load") or diag($daemon->log);
    my $refused = $counted->{lost_by_kind}{refused};
    is($counted->{lost} - ($with{opens} ? $refused : 0), 0, "$name: nothing lost at the stop") or diag(explain($counted));
    for my $each (grep { defined } $daemon, $second) {
        is($each->stop, 0, "$name: the second instance is stopped") if $second && $each == $second;
        unlike($each->log, qr/killed by|die_timeout|emergency/, "$name: no worker was killed or missing") or diag($each->log);
    }
    return $daemon;
}

1;
