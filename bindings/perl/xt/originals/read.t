use strict;
use warnings;
use lib qw(t/lib xt/lib);
use Test::More;
use SameProgram;

my $TEXT  = "first line\nsecond line\n\n\nafter a gap\n\nlast without end";
my @BYTES = ({ stdin => join '', map { chr } 0 .. 255 }, { stdin => '' });
# Without blank lines: the original takes an undefined $/ for paragraph mode.
my @DENSE = ({ stdin => "one\ntwo\nthree" }, { stdin => "x\n" }, { stdin => '' });
my @LINES = ({ stdin => $TEXT }, { stdin => "\n\n\none\n" }, { stdin => '' }, { stdin => "x\n" });
my $LARGE = join '', map { "line $_ " . 'x' x ($_ % 70) . "\n" } 1 .. 6_000;

my $SHOW = q{sub show { print map({ defined $_ ? "[$_]" : '[undef]' } @_), "\n" }};

my @PROGRAMS = (
    'read all in one'        => \@BYTES, q{my $n = read STDIN, my $b, 1000; show($n, $b, eof(STDIN));},
    'read exactly'           => \@BYTES, q{my $n = read STDIN, my $b, 256; show($n, $b, eof(STDIN)); $n = read STDIN, $b, 1; show($n, $b, eof(STDIN));},
    'read in pieces'         => \@BYTES, q{while (my $n = read STDIN, my $b, 100) { show($n, $b, eof STDIN) } show(eof STDIN);},
    'read nothing'           => \@BYTES, q{my $b = 'old'; my $n = read STDIN, $b, 0; show($n, $b);},
    'read at an offset'      => \@BYTES, q{my $b = 'abc'; show(read(STDIN, $b, 5, 3), $b); show(read(STDIN, $b, 2, 20), $b); show(read(STDIN, $b, 2, 1), $b);},
    'read, negative offset'  => \@BYTES, q{my $b = 'abcdef'; show(read(STDIN, $b, 2, -3), $b);},
    'read into undef'        => \@BYTES, q{my $b; show(read(STDIN, $b, 2, 2), $b);},
    'read out of range'      => \@BYTES, q{my $b = 'ab'; eval { read STDIN, $b, 2, -3 }; show($@); eval { read STDIN, $b, -1 }; show($@, $b); eval { sysread STDIN, $b, -1 }; show($@);},
    'read into wide'         => \@BYTES, q{my $b = "\x{100}x"; show(read(STDIN, $b, 2, 1)); show(length $b); $b = "\xe9"; utf8::upgrade($b); show(read(STDIN, $b, 1, 1), $b);},
    'sysread'                => \@BYTES, q{my $b = ''; 1 while sysread STDIN, $b, 100, length $b; show($b, eof STDIN);},
    'sysread, offsets'       => \@BYTES, q{my $b = 'abc'; show(sysread(STDIN, $b, 2, -1), $b); show(sysread(STDIN, $b, 2, 6), $b);},
    'read into an element'   => \@BYTES, q{my %h; read STDIN, $h{x}, 3; my @a; read STDIN, $a[2], 3; show($h{x}, $a[2]);},
    'getc'                   => \@BYTES, q{my @c; for (1 .. 3) { push @c, getc STDIN } show(@c); my $n = 0; $n++ while defined getc STDIN; show($n, eof STDIN, getc STDIN);},
    'a large body'           => [ { stdin => $LARGE x 3 } ], q{my ($n, $t) = (0, ''); while (my $got = read STDIN, my $b, 10_000) { $n++; $t .= $b } show($n, length $t, unpack '%32C*', $t);},
    'a large body at once'   => [ { stdin => $LARGE x 10 } ], q{my $n = read STDIN, my $b, 10_000_000; show($n, unpack '%32C*', $b);},
    'from STDOUT'            => \@BYTES, q{show(read(STDOUT, my $b, 3), $b, getc STDOUT); show(scalar <STDOUT>);},
    'close STDIN'            => \@BYTES, q{show(close STDIN); show(read(STDIN, my $b, 3), $b, getc STDIN, eof STDIN, fileno STDIN, close STDIN);},
    'fileno at the end'      => \@BYTES, q{show(fileno STDIN); 1 while read STDIN, my $b, 100; show(fileno STDIN);},
    'left unread'            => [ { stdin => $LARGE }, { stdin => 'b' } ], q{show('not read'); },
    'half read'              => [ { stdin => $LARGE }, { stdin => 'next' } ], q{show(scalar <STDIN>);},

    'lines'                  => \@LINES, q{while (my $l = <STDIN>) { show($l, eof STDIN) } show(eof STDIN);},
    'lines until eof'        => \@LINES, q{until (eof STDIN) { show(scalar <STDIN>) }},
    'one line past the end'  => \@LINES, q{1 while <STDIN>; show(scalar <STDIN>); show(scalar <STDIN>);},
    'readline()'             => \@LINES, q{show(scalar readline STDIN); show(scalar readline *STDIN);},
    '$.'                     => \@LINES, q{while (<STDIN>) { show($.) } warn 'x';},
    'chomp'                  => \@LINES, q{while (defined(my $l = <STDIN>)) { chomp $l; show($l) }},
    'slurp'                  => \@DENSE, q{local $/; my $all = <STDIN>; show($all, eof STDIN); show(scalar <STDIN>);},
    'slurp the rest'         => \@DENSE, q{my $first = <STDIN>; my $rest = do { local $/; <STDIN> }; show($first, $rest);},
    'paragraphs'             => [ @LINES[ 0, 3 ], { stdin => "\n\na\n\n\n\nb\nc" } ], q{local $/ = ''; while (defined(my $p = <STDIN>)) { show($p) } show(eof STDIN);},
    'a string'               => \@LINES, q{local $/ = 'line'; while (defined(my $p = <STDIN>)) { show($p) }},
    'one character'          => \@LINES, q{local $/ = 'e'; while (defined(my $p = <STDIN>)) { show($p) }},
    'two newlines as string' => \@LINES, q{local $/ = "\n\n"; while (defined(my $p = <STDIN>)) { show($p) }},
    'an overlapping string'  => [ { stdin => 'aabaaabab' } ], q{local $/ = 'aab'; while (defined(my $p = <STDIN>)) { show($p) }},
    'CRLF'                   => [ { stdin => "a\r\nb\rc\n\r\n" } ], q{local $/ = "\r\n"; while (defined(my $p = <STDIN>)) { show($p) }},
    'many lines'             => [ { stdin => $LARGE } ], q{my $n = 0; while (<STDIN>) { $n += length } show($n);},
    'a long separator'       => [ { stdin => ('x' x 65_533 . 'SEPARATOR') x 3 } ], q{local $/ = 'SEPARATOR'; while (defined(my $p = <STDIN>)) { show(length $p) }},
    'a very long line'       => [ { stdin => 'x' x 300_000 . "\ny" } ], q{while (<STDIN>) { show(length) }},
    'mixed'                  => \@DENSE, q{show(getc STDIN); show(scalar <STDIN>); read STDIN, my $b, 4; show($b); show(scalar <STDIN>); local $/; show(scalar <STDIN>);},
    'a handle in a scalar'   => \@LINES, q{my $in = \*STDIN; show(scalar <$in>); show(scalar readline $in);},
    'body bytes stay apart'  => [ { stdin => "a\nb\n" }, { stdin => "c\n" } ], q{show(scalar <STDIN>);},
    'no body'                => [ { role => 'AUTHORIZER' } ], q{show(scalar <STDIN>, eof STDIN, read STDIN, my $b, 1);},
);

while (my ($name, $requests, $statements) = splice @PROGRAMS, 0, 3) {
    same($name, before => $SHOW, loop => $statements, requests => [ map { {%$_} } @$requests ]);
}

my %lines = (before => $SHOW, requests => [ { stdin => $TEXT } ]);
differs('list context: all lines', %lines, loop => q{my @l = <STDIN>; show(scalar(@l), $l[-1])},
    original => "[1][first line\n]\n", ours => "[7][last without end]\n");
differs('an undefined $/ reads all', %lines, loop => q{local $/; show(scalar <STDIN>)},
    original => "[first line\nsecond line\n\n]\n", ours => "[$TEXT]\n");
differs('list context: a string', %lines, loop => q{local $/ = 'line'; show(my @l = <STDIN>)},
    original => "[first line]\n", ours => "[first line][\nsecond line][\n\n\nafter a gap\n\nlast without end]\n");
differs('list context: paragraphs', %lines, loop => q{local $/ = ''; show(my @l = <STDIN>)},
    original => "[first line\nsecond line\n\n]\n", ours => "[first line\nsecond line\n\n][after a gap\n\n][last without end]\n");
differs('list context at the end', %lines, loop => q{{ local $/; <STDIN> } show(scalar(my @l = <STDIN>))},
    original => "[1]\n", ours => "[0]\n");
differs('records of N bytes', %lines, loop => q{local $/ = \20; show(scalar <STDIN>); show(my @l = <STDIN>)},
    original => "[$TEXT]\n[undef]\n", ours => "[first line\nsecond li]\n[ne\n\n\nafter a gap\n\nla][st without end]\n");

done_testing;
