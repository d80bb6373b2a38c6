use strict;
use warnings;
use lib qw(t/lib xt/lib);
use Test::More;
use SameProgram;

# Results of functions and $!, programs started as CGI, sockets, the environment.

my @ONE = ({ params => [ NAME => 'value' ] });

sub program {
    my ($name, $text, %with) = @_;
    return same($name, ways => ['compat'], requests => [], %with, text => "use strict; use warnings; use FCGI; use Errno;\n$text\n");
}

my $CGI = 'close STDIN; open STDIN, "<", "program.pl";';

program('CGI: Accept once', "$CGI " . q{my $r = FCGI::Request(); print $r->Accept, ' ', $r->Accept, ' ', $r->Accept, "\n";}, contains => qr/^0 -1 -1$/m);
program('CGI: IsFastCGI', "$CGI " . q{my $r = FCGI::Request(); print '[', $r->IsFastCGI, "]\n";}, contains => qr/^\[0\]/);
program('CGI: handles do not change', "$CGI " . q{my $r = FCGI::Request(); $r->Accept; print tied *STDOUT ? 1 : 0, tied *STDIN ? 1 : 0, fileno STDIN, "\n"; print STDERR "to the log\n"; $r->Finish; $r->Flush; $r->Detach; $r->Attach; print "after\n";});
program('CGI: %ENV does not change', "$CGI " . q{$ENV{MINE} = 'kept'; my %own = (A => 1); my $r = FCGI::Request(\*STDIN, \*STDOUT, \*STDERR, \%own); $r->Accept; print $ENV{MINE}, join(',', %own), "\n";});
program('CGI: handles of its own', "$CGI " . q{use IO::Handle; my ($i, $o, $e) = map { IO::Handle->new } 1 .. 3; my $r = FCGI::Request($i, $o, $e); print $r->Accept, "\n"; { no warnings; my $x = print $o "lost\n"; print $x ? 1 : 0, "\n" } });
program('CGI: StartFilterData', "$CGI " . q{my $r = FCGI::Request(); $r->Accept; print $r->StartFilterData, "\n";});
program('CGI: LastCall', "$CGI " . q{my $r = FCGI::Request(); $r->LastCall; print $r->Accept < 0 ? 'refused' : 'accepted', "\n";});
program('CGI: a second request', "$CGI " . q{my $r = FCGI::Request(); my $s = FCGI::Request(); print $r->Accept, ' ', $s->Accept, "\n";});
program('CGI: a closed standard input', q{close STDIN; my $r = FCGI::Request(); print $r->IsFastCGI, ' ', $r->Accept, ' ', $r->Accept, "\n";});

program('values of all methods', <<'PROGRAM', requests => [ @ONE ]);
my $r = FCGI::Request();
my @values = map { my $m = $_; my @v = $r->$m; "$m:" . join ',', map { defined ? ref || $_ : 'undef' } @v }
    qw(IsFastCGI Accept IsFastCGI Flush Detach Attach GetEnvironment GetHandles StartFilterData Finish LastCall);
print STDERR "$_\n" for @values;
PROGRAM
program('scalar context', <<'PROGRAM', requests => [ @ONE ]);
my $r = FCGI::Request();
for my $m (qw(IsFastCGI Accept Flush Detach Attach Finish)) { my $v = $r->$m; print STDERR "$m ", defined $v ? $v : 'undef', "\n" }
PROGRAM
program('can and isa', q{print join(' ', map { FCGI->can($_) ? 1 : 0 } qw(Accept Finish Flush Detach Attach LastCall GetEnvironment GetHandles IsFastCGI StartFilterData OpenSocket CloseSocket Request RequestX FAIL_ACCEPT_ON_INTR DESTROY)), "\n"; my $r = FCGI::Request(); print $r->isa('FCGI') ? 1 : 0, ref $r, FCGI->can('import') ? 1 : 0, "\n";});
program('stream methods', q{print join(' ', map { FCGI::Stream->can($_) ? 1 : 0 } qw(PRINT PRINTF WRITE READ READLINE GETC CLOSE OPEN SEEK TELL BINMODE FILENO EOF TIEHANDLE)), "\n"; print FCGI::Stream->isa('FCGI::Stream'), "\n";});
program('the version', q{print FCGI->VERSION >= 0.82 ? 1 : 0, eval { FCGI->VERSION(99); 1 } ? 1 : 0, "\n"; print defined $FCGI::VERSION ? 1 : 0, "\n";});
program('%INC', q{print defined $INC{'FCGI.pm'} ? 1 : 0, -f $INC{'FCGI.pm'} ? 1 : 0, "\n"; require FCGI; print "again\n"; print eval { require FCGI::Stream; 1 } ? 1 : 0, "\n";});
program('importing', q{BEGIN { FCGI->import; print defined &main::Request ? 1 : 0, "\n" }});
program('a subclass', q{{ package Sub; our @ISA = 'FCGI'; sub more { 'more' } } my $r = bless FCGI::Request(), 'Sub'; print ref $r, $r->more, "\n"; print $r->Accept, "\n"; print "served\n"; $r->Finish;}, requests => [ @ONE ]);
program('Request without parentheses', q{my $r = FCGI::Request; print ref $r, "\n"; my $s = FCGI::Request \*STDIN, \*STDOUT; print ref $s, "\n";});
program('RequestX', q{my $r = FCGI::RequestX(\*STDIN, \*STDOUT, \*STDERR, \%ENV, 0, 0); print ref $r, "\n"; print $r->Accept, "\n"; $r->Finish; print "done\n";}, requests => [ @ONE ]);
program('too few for RequestX', q{eval q{FCGI::RequestX(\*STDIN); 1} or print $@ =~ /^Not enough arguments for FCGI::RequestX/ ? 'refused' : $@, "\n";});
program('an object that is a hash', q{my $env = bless {}, 'Env'; my $r = FCGI::Request(\*STDIN, \*STDOUT, \*STDERR, $env); $r->Accept; print ref $r->GetEnvironment, $env->{NAME}, "\n"; }, requests => [ @ONE ]);
program('local %ENV', q{my $r = FCGI::Request(); { local $ENV{NAME} = 'outer'; $r->Accept; print $ENV{NAME}, "\n"; $r->Finish; } print STDERR defined $ENV{NAME} ? "[$ENV{NAME}]" : 'undef', "\n";}, requests => [ @ONE ]);
program('children of system see the environment', q{$| = 1; my $path = $ENV{PATH}; my $r = FCGI::Request(); $r->Accept; print STDERR `/bin/sh -c 'echo \$NAME'`; $r->Finish;}, requests => [ @ONE ], contains => qr/value/);
program('children do not see a hash of its own', q{my %e; my $r = FCGI::Request(\*STDIN, \*STDOUT, \*STDERR, \%e); $r->Accept; my $shown = `/bin/sh -c 'echo "[\$NAME]"'`; $r->Finish; print $shown;}, requests => [ @ONE ], contains => qr/\[\]/);
program('%ENV has only the parameters', q{$ENV{BEFORE} = 1; my $r = FCGI::Request(); $r->Accept; print STDERR exists $ENV{BEFORE} ? 1 : 0, exists $ENV{PATH} ? 1 : 0, "\n"; $r->Finish; print exists $ENV{BEFORE} ? 1 : 0, "\n";}, requests => [ @ONE ]);
program('errno after a request', q{my $r = FCGI::Request(); $! = 0; my $n = $r->Accept; print STDERR $n, $!{ENOENT} ? 'ENOENT' : '', "\n"; $! = 5; print "x"; print STDERR $! + 0, "\n"; $r->Flush; $r->Finish; }, requests => [ @ONE ]);
program('a file instead of a socket', q{open my $file, '<', 'program.pl'; my $r = FCGI::Request(\*STDIN, \*STDOUT, \*STDERR, \%ENV, fileno $file); my $n = $r->Accept; print $n < 0 ? 1 : 0, $!{ENOTSOCK} ? 'ENOTSOCK' : $! + 0, "\n";});
program('a closed socket', q{my $s = FCGI::OpenSocket('own', 5); FCGI::CloseSocket($s); my $r = FCGI::Request(\*STDIN, \*STDOUT, \*STDERR, \%ENV, $s); my $n = $r->Accept; print $n < 0 ? 1 : 0, $!{EBADF} ? 'EBADF' : $! + 0, "\n";});
program('CloseSocket of nothing', q{FCGI::CloseSocket(99); print "on\n";});
program('OpenSocket replaces a socket', q{my $s = FCGI::OpenSocket('own', 5); FCGI::CloseSocket($s); my $t = FCGI::OpenSocket('own', 5); print $t > 2 ? 1 : 0, "\n";});
program('OpenSocket keeps to the umask', q{umask 077; my $s = FCGI::OpenSocket('own', 5); printf "%o\n", (stat 'own')[2] & 0777;});
program('serving a socket of its own', <<'PROGRAM');
my $s = FCGI::OpenSocket('own', 5);
my %env; my $r = FCGI::Request(\*STDIN, \*STDOUT, \*STDERR, \%env, $s);
use IO::Socket::UNIX;
my $client = IO::Socket::UNIX->new(Peer => 'own');
print {$client} pack('CCnnCC nCx5', 1, 1, 1, 8, 0, 0, 1, 0), pack('CCnnCC a*', 1, 4, 1, 4, 0, 0, "\1\1AB"), pack('CCnnCC', 1, 4, 1, 0, 0, 0), pack('CCnnCC', 1, 5, 1, 0, 0, 0);
$client->flush;
print $r->Accept, "\n"; print "body $env{A}"; $r->Finish;
my $answer = do { local $/; <$client> };
print $answer =~ /body B/ ? 1 : 0, "\n";
PROGRAM

# The methods behind read and syswrite, called with unusual arguments.
program('lengths and offsets that are not integers', <<'PROGRAM', requests => [ { stdin => 'abcdefgh' } ], contains => qr/\A\[3\]\[abc\]/);
my $r = FCGI::Request(); $r->Accept; my $b;
for my $with ([3.7], [2.2, 1.9], ['1x'], [-0.5], ['1e0'], [undef], [1, '0x1']) {
    my $n = eval { @$with > 1 ? read STDIN, $b, $with->[0], $with->[1] : read STDIN, $b, $with->[0] };
    print '[', $n // 'undef', "][$b]$@";
}
print '[', syswrite(STDOUT, 'hello', 2.9, 1.5), ']';
$r->Finish;
PROGRAM
program('too few arguments, and too many', <<'PROGRAM', requests => [ { stdin => 'abcdefgh' } ], contains => qr/Usage: FCGI::Stream::WRITE/);
my $r = FCGI::Request(); $r->Accept; my ($in, $out, $b) = (tied *STDIN, tied *STDOUT);
for my $call (
    sub { $out->WRITE }, sub { $out->WRITE('ab') }, sub { $out->WRITE('ab', 1) }, sub { $out->WRITE('ab', 1, 0, 5) }, sub { FCGI::Stream::WRITE() },
    sub { $in->READ }, sub { $in->READ($b) }, sub { $in->READ($b, 1) }, sub { $in->READ($b, 1, 0, 5) }, sub { FCGI::Stream::READ() },
    sub { $out->READ }, sub { $out->READ($b) }, sub { $out->READ($b, 1, 0, 5) }, sub { $in->WRITE }, sub { $in->WRITE('ab') }, sub { $in->WRITE('ab', 1) },
    sub { $out->PRINT }, sub { $out->PRINTF },
) {
    my @values = eval { $call->() };
    print STDERR scalar @values, ': ', join(',', map { $_ // 'undef' } @values), " $@\n";
}
$r->Finish;
PROGRAM

my %quiet = (in => 'stdout', requests => []);
my $SHOW_ADDRESS = q{use FCGI; use Socket; my $s = FCGI::OpenSocket('127.0.0.1:0', 5); open my $h, '<&=', $s; print sockaddr_family(getsockname $h) == AF_UNIX ? 'file' : 'port', "\n";};
differs('port 0 is any port', %quiet, original => "file\n", ours => "port\n", text => $SHOW_ADDRESS);
differs('a port of all interfaces is for IPv6, too', %quiet, original => "4\n", ours => "6\n",
    text => q{use FCGI; use Socket; use IO::Socket::INET; my $p = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1')->sockport;
        my $s = FCGI::OpenSocket(":$p", 5); open my $h, '<&=', $s; print sockaddr_family(getsockname $h) == AF_INET6 ? 6 : 4, "\n";});
differs('a listening socket is closed in executed programs', %quiet, original => "1\n", ours => "0\n",
    text => q{use FCGI; my $s = FCGI::OpenSocket('own', 5); my $list = `/bin/ls /proc/self/fd`; print $list =~ /^$s$/m ? 1 : 0, "\n";});
differs('a file that is not a socket is not removed', %quiet, original => "removed\n", ours => "kept\n",
    text => q{use FCGI; open my $f, '>', 'own'; print $f 'text'; close $f; my $s = FCGI::OpenSocket('own', 5); print -f 'own' ? 'kept' : 'removed', "\n";});
differs('OpenSocket that fails returns', in => 'stdout', requests => [], original => '', ours => "-1 No such file or directory\n",
    text => q{use FCGI; my $s = FCGI::OpenSocket('/nonexistent/own', 5); print "$s $!\n";});
differs('FCGI::Request with the result of a failed OpenSocket', in => 'stdout', requests => [], original => "made\n", ours => qr/\Asocket is not a descriptor: '-1'/,
    text => q{use FCGI; my $r = eval { FCGI::Request(\*STDIN, \*STDOUT, \*STDERR, \%ENV, -1) }; print $r ? "made\n" : $@;});

done_testing;
