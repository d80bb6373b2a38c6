package Daemon;

# A managed program in the background. Its log is read line by line, so that a test waits for a line
# instead of some time. Its listening socket is created here and inherited, so that clients can
# connect immediately.

use strict;
use warnings;

use File::Temp ();
use IO::Socket::UNIX;

use FastCGIClient;
use Tested;

use constant LIMIT => 30;    # seconds; only reached by a program that hangs

# %with:
#   text, file   the program; FCGI_SOCKET_PATH in its environment is the address
#   environment  additional variables
#   address      an address that the program opens itself; '' for a socket file in its directory
#   arguments    a sub that takes the address and the directory, and returns the program's arguments
#   command, in  a command instead of perl, and the directory in which it runs
#   listener     a socket of the caller that the program inherits
#   own_group    kill_all kills its children as well
sub start {
    my ($class, %with) = @_;
    my $dir = File::Temp->newdir;
    my $file = $with{file};
    if (!defined $file && !$with{command}) {
        $file = "$dir/program.pl";
        open my $program, '>', $file or die "$file: $!";
        print {$program} $with{text};
        close $program or die "$file: $!";
    }
    pipe my $log, my $log_in or die "pipe: $!";
    my $address = $with{address};
    my $listener = $with{listener};
    if ($listener) { $address = $listener->hostpath }
    elsif (!defined $address) {
        $listener = IO::Socket::UNIX->new(Local => "$dir/socket", Listen => 100) or die "listen: $!";
    }
    my $pid = fork;
    defined $pid or die "fork: $!";
    if (!$pid) {
        setpgrp if $with{own_group};
        my $listen = $listener ? 'fd:0' : length $address ? $address : "$dir/socket";
        $ENV{FCGI_SOCKET_PATH} = $listen;
        if   ($listener) { open STDIN, '<&', $listener  or exit 127 }
        else             { open STDIN, '<', '/dev/null' or exit 127 }
        @ENV{ keys %{ $with{environment} } } = values %{ $with{environment} } if $with{environment};
        open STDERR, '>&', $log_in or exit 127;
        open STDOUT, '>', "$dir/stdout" or exit 127;
        if ($with{command}) { chdir $with{in} or exit 127; exec @{ $with{command} } or exit 127 }
        exec $^X, Tested::switches(), $file, $with{arguments} ? $with{arguments}->($listen, "$dir") : () or exit 127;
    }
    close $log_in;
    close $listener if $listener && !$with{listener};
    return bless { pid => $pid, log => $log, dir => $dir, address => $address || "$dir/socket", seen => '', pending => '', own_group => $with{own_group} }, $class;
}

sub pid    { $_[0]{pid} }
sub dir    { $_[0]{dir} }
sub address { $_[0]{address} }
sub log    { $_[0]{seen} }
sub stdout { open my $file, '<', "$_[0]{dir}/stdout" or return ''; local $/; my $text = <$file>; return $text }

# Reads the log up to a matching line, and returns the first capture.
sub wait_for {
    my ($self, $pattern) = @_;
    local $SIG{ALRM} = sub { die "no line like $pattern in:\n$self->{seen}" };
    alarm LIMIT;
    while (defined(my $line = readline $self->{log})) {
        $self->{seen} .= $line;
        if (my @captured = $line =~ $pattern) { alarm 0; return $captured[0] }
    }
    alarm 0;
    die "the log ended without a line like $pattern:\n$self->{seen}";
}

sub ask {
    my ($self, %request) = @_;
    return FastCGIClient->ask($self->{address}, %request);
}

sub signal {
    my ($self, $name) = @_;
    kill $name, $self->{pid};
    return;
}

# Stops the program, reads the rest of the log, and returns the wait status.
sub stop {
    my ($self, $name) = @_;
    $self->signal($name || 'TERM');
    return $self->ended;
}

sub ended {
    my ($self) = @_;
    local $SIG{ALRM} = sub { die "still running; its log:\n$self->{seen}" };
    alarm LIMIT;
    while (defined(my $line = readline $self->{log})) { $self->{seen} .= $line }
    waitpid delete $self->{pid}, 0;
    alarm 0;
    return $?;
}

# Kills the program, and with own_group its children.
sub kill_all {
    my ($self) = @_;
    kill KILL => $self->{own_group} ? -$self->{pid} : $self->{pid};
    waitpid delete $self->{pid}, 0;
    return;
}

sub DESTROY {
    my ($self) = @_;
    return if !defined $self->{pid};
    local ($?, $@);
    $self->kill_all;
    return;
}

1;
