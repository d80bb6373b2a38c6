package Program;

# Runs a Perl program as a web server would, with the listening socket as descriptor 0. Connections
# wait in the socket's queue until the program accepts, so a client can connect immediately.

use strict;
use warnings;

use Cwd ();
use File::Temp ();
use IO::Socket::UNIX;

use FastCGIClient;
use Tested;

# %with: text (the program), requests (for each, arguments of FastCGIClient->ask, or a sub that
# takes the path of the socket and the pid and returns responses), environment, signal_at_end.
# Returns the responses, the program's own stdout and stderr, and its wait status.
sub run {
    my (%with) = @_;
    my $dir = File::Temp->newdir;
    _spew("$dir/program.pl", $with{text});
    my $listener = IO::Socket::UNIX->new(Local => "$dir/socket", Listen => 10) or die "listen: $!";
    my $pid = fork;
    defined $pid or die "fork: $!";
    if (!$pid) {
        eval { _become($dir, $listener, $with{environment}) };
        print STDERR $@;
        require POSIX;
        POSIX::_exit(127);
    }
    close $listener;    # so that connections to an exited program are refused
    my @responses = map { ref eq 'CODE' ? $_->("$dir/socket", $pid) : _ask("$dir/socket", $_) } @{ $with{requests} || [] };
    kill $with{signal_at_end}, $pid if $with{signal_at_end};
    waitpid $pid, 0;
    my $status = $?;
    return {
        responses => \@responses,
        stdout    => _slurp("$dir/stdout"),
        stderr    => _slurp("$dir/stderr"),
        status    => $status,
    };
}

sub _ask {
    my ($socket, $request) = @_;
    my $response = eval { FastCGIClient->ask($socket, %$request) };
    return $response || { refused => $@ };
}

sub _become {
    my ($dir, $listener, $environment) = @_;
    open STDIN, '<&', $listener or die "stdin: $!";
    open STDOUT, '>', "$dir/stdout" or die "stdout: $!";
    open STDERR, '>', "$dir/stderr" or die "stderr: $!";
    $ENV{PERL5LIB} = Tested::path();
    @ENV{ keys %$environment } = values %$environment if $environment;
    chdir $dir or die "chdir: $!";
    exec $^X, 'program.pl' or die "exec: $!";
}

# Waits until a process sleeps. A process that only waits for requests is then in Accept.
sub wait_until_idle {
    my ($pid) = @_;
    for (;;) {
        my $state = _slurp("/proc/$pid/stat");
        return if $state !~ /\A\d+ \(.*\) ([A-Z])/s || $1 =~ /[SZ]/;
        select undef, undef, undef, 0.001;
    }
}

sub _spew {
    my ($path, $text) = @_;
    open my $file, '>', $path or die "$path: $!";
    print {$file} $text;
    close $file or die "$path: $!";
    return;
}

sub _slurp {
    my ($path) = @_;
    open my $file, '<', $path or return '';
    local $/;
    my $text = <$file>;
    return defined $text ? $text : '';
}

1;
