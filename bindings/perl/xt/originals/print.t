use strict;
use warnings;
use lib qw(t/lib xt/lib);
use Test::More;
use SameProgram;

my @PROGRAMS = (
    'one string'                 => q{print "hello\n";},
    'a list'                     => q{print "a", 1, 2.5, "b\n";},
    'to STDOUT by name'          => q{print STDOUT "a\n"; print {*STDOUT} "b\n"; print {\*STDOUT} "c\n";},
    'the return value of print'  => q{my $x = print "a\n"; print "[$x]\n";},
    'an empty string'            => q{my $x = print ''; print "[$x]\n";},
    'an empty list'              => q{my $x = print STDOUT (); my @none; $x = print STDOUT @none; print "[$x]\n";},
    '$_'                         => q{print for 'a', 'b', "\n";},
    'undef warns'                => q{my $u; print "a", $u, "b\n"; print $u; printf "%s\n", 'x';},
    'undef without warnings'     => q{no warnings; my $u; print "a", $u, "b\n";},
    'binary bytes'               => q{print join '', map { chr } 0 .. 255;},
    'latin-1 held as UTF-8'      => q{my $s = "\xe9\xff\n"; utf8::upgrade($s); print $s; print "x", $s;},
    'a wide character'           => q{print "\x{263a}\n";},
    'a wide character in a list' => q{print "\xe9", "\x{263a}", "\xe8\n";},
    'wide, warnings off'         => q{no warnings 'utf8'; print "\x{263a}\n"; syswrite STDOUT, "\x{263a}\n";},
    'wide, all warnings off'     => q{no warnings; print "\x{263a}\n";},
    'wide, warnings fatal'       => q{eval { use warnings FATAL => 'utf8'; print "\x{263a}\n"; 1 } or print "died: $@";},
    'wide under use bytes'       => q{use bytes; print "\x{263a}\n"; my $s = "\xe9\n"; utf8::upgrade($s); print $s;},
    'wide with a warn handler'   => q{local $SIG{__WARN__} = sub { print "caught: @_" }; print "\x{100}\n";},
    'wide after reading a file'  => q{open my $f, '<', 'program.pl'; my $l = <$f>; print "\x{100}\n"; warn "w"},
    'an object with overloading' => q{{ package O; use overload '""' => sub { "text of an object\n" } } print bless {}, 'O'; print "a", bless({}, 'O'), "b\n";},
    'printf'                     => q{my $x = printf "%s-%05.1f-%%\n", 'a', 3.14159; printf STDOUT "%d\n", 42; print "[$x]\n";},
    'printf with a list'         => q{my @a = ("%s %s\n", 'x', 'y'); printf @a;},
    'syswrite'                   => q{print "[", syswrite(STDOUT, "hello\n"), "]\n";},
    'syswrite with length'       => q{print "[", syswrite(STDOUT, "hello\n", 3), "]\n";},
    'syswrite with offset'       => q{print "[", syswrite(STDOUT, "hello\n", 3, 2), "][", syswrite(STDOUT, "hello\n", 99, 2), "]\n";},
    'syswrite, negative offset'  => q{print "[", syswrite(STDOUT, "hello\n", 2, -3), "]\n";},
    'syswrite, out of range'     => q{for ([3, 9], [3, -9], [0], [1, 6]) { my $n = syswrite STDOUT, "hello\n", $_->[0], $_->[1] // 0; print '[', $n // 'undef', "]\n" }},
    'syswrite, negative length'  => q{print "[", syswrite(STDOUT, "hello\n", -2), "]\n";},
    'syswrite of nothing'        => q{my $n = syswrite STDOUT, ''; print '[', $n // 'undef', "]\n";},
    'syswrite, wide'             => q{my $n = syswrite STDOUT, "\x{263a}\n"; print "[$n]\n"; my $s = "\xe9\n"; utf8::upgrade($s); $n = syswrite STDOUT, $s; print "[$n]\n";},
    'in order'                   => q{print "a"; syswrite STDOUT, "b"; printf "%s", "c"; print STDOUT "d\n";},
    'large'                      => q{my $n = print 'x' x 200_000; print "[$n]\n"; print 'y' x 40_000, 'z' x 30_000;},
    'many small'                 => q{print $_, "\n" for 1 .. 20_000;},
    'autoflush'                  => q{local $| = 1; print "a\n"; print "b\n"; print STDERR "c\n";},
    'flush'                      => q{print "a"; $request->Flush; print "b\n"; my @r = $request->Flush; print scalar @r;},
    'to STDERR'                  => q{print STDERR "e1\n"; printf STDERR "%s\n", 'e2'; syswrite STDERR, "e3\n"; print "out\n";},
    'warn'                       => q{warn "with a newline\n"; warn "without"; print "out\n";},
    'much to STDERR'             => q{print STDERR 'e' x 100_000; print "out\n";},
    'to STDIN'                   => q{my $n = print STDIN "x"; print '[', $n // 'undef', ']'; $n = syswrite STDIN, "x"; print '[', $n // 'undef', "]\n";},
    'select STDERR'              => q{my $was = select STDERR; print "to stderr\n"; $| = 1; print "more\n"; select $was; print "out\n";},
    'fileno, binmode, tied'      => q{print defined(fileno $_) ? fileno $_ : 'undef', ' ' for \*STDIN, \*STDOUT, \*STDERR; print defined(binmode STDOUT) ? 1 : 0, defined(binmode STDOUT, ':utf8') ? 1 : 0; print "\x{e9}\n", tied(*STDOUT)->isa('FCGI::Stream') ? 1 : 0;},
    'close STDOUT'               => q{print "a\n"; my $c = close STDOUT; my $p = print "lost"; my $q = print ''; print STDERR "[$c][", $p // 'undef', "][$q][", close(STDOUT), "]\n";},
    'close STDERR'               => q{print STDERR "a\n"; my $c = close STDERR; my $p = print STDERR "lost"; print "[$c][", $p // 'undef', "]\n";},
    'unsupported operations'     => q{for my $try (sub { seek STDIN, 0, 0 }, sub { my $x = tell STDOUT }, sub { tie *STDIN, 'FCGI::Stream' }) { eval { $try->() } ; print "$@" }},
    'IO::Handle methods'         => q{use IO::Handle; STDOUT->print("a\n"); STDOUT->printf("%s\n", 'b'); STDOUT->autoflush(1); STDOUT->syswrite("c\n"); print STDOUT->opened ? 1 : 0, "\n";},
    'a copied glob'              => q{*COPY = *STDOUT; our $x = \*COPY; print COPY "copy\n"; my $fh = \*STDOUT; print $fh "ref\n"; print {$fh} "block\n";},
    'select an own handle'       => q{open my $f, '>', 'own'; my $was = select $f; print "to the file\n"; select $was; print "out\n"; close $f; open $f, '<', 'own'; print <$f>;},
    'untied by the program'      => q{print "a\n"; untie *STDOUT; print "to the process\n"; },
    'an empty response'          => q{;},
);

while (my ($name, $statements) = splice @PROGRAMS, 0, 2) {
    same($name, loop => $statements);
}

differs('say ends its line', loop => q{use feature 'say'; say 'a'; say STDOUT 'b', 'c'; print "d\n"},
    original => "abcd\n", ours => "a\nbc\nd\n");
differs('$, and $\\ are honoured', loop => q{local ($,, $\) = ('-', "!\n"); print 'a', 'b'; printf '%s', 'c'; print STDOUT 'd'},
    original => 'abcd', ours => "a-b!\ncd!\n");
differs('formats reach the response',
    before => "our \$name = 'tea';\nformat STDOUT =\n\@<<< name\n\$name\n.\n",
    loop => q{print "a\n"; write; print "b\n";},
    original => "a\nb\n", ours => "a\ntea  name\nb\n");

done_testing;
