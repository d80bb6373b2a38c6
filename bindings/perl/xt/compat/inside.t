use strict;
use warnings;
use lib qw(t/lib xt/lib);
use Test::More;
use Compat;
use Program ();

# What a program does with its handles inside a request, beyond printing: commands, captures,
# redirections. Each runs on the original and on Compat, for two requests, because the second shows
# the effects of the first.

needs(qw(FCGI Capture::Tiny IPC::Run3));

my @SAME = (
    'Capture::Tiny: what Perl prints' => q{
        use Capture::Tiny ':all'; my ($o,$e)=capture { print "out"; print STDERR "err" }; print "got[$o|$e]";
    },
    'Capture::Tiny: what a command prints' => q{
        use Capture::Tiny ':all'; my ($o,$e,$x)=capture { system 'echo out; echo err >&2' }; print "got[$o|$e|$x]";
    },
    'Capture::Tiny: both in one' => q{
        use Capture::Tiny ':all'; my $o=capture_merged { print "out"; print STDERR "err"; system 'echo sys' }; print "got[$o]";
    },
    'system' => q{
        system 'echo from system'; print "rc $?";
    },
    'backticks' => q{
        my $o=`echo back; echo err >&2`; print "got[$o]";
    },
    'IPC::Open3' => q{
        use IPC::Open3; my $pid=open3(my $in, my $out, undef, 'cat; echo e >&2'); print {$in} "hello\n"; close $in; my @l=<$out>; waitpid $pid,0; print "got[@l] $?";
    },
    'IPC::Open3 with our own handles' => q{
        use IPC::Open3; my $pid=open3('<&STDIN', my $out, '>&STDERR', 'cat; echo o; echo e >&2'); my @l=<$out>; waitpid $pid,0; print "got[@l] $?";
    },
    'IPC::Open2' => q{
        use IPC::Open2; my $pid=open2(my $out, my $in, 'cat'); print {$in} "hello\n"; close $in; my @l=<$out>; waitpid $pid,0; print "got[@l] $?";
    },
    'dup restore' => q{
        open my $old, '>&', \*STDOUT or print "dup: $!; "; print "still ";
    },
    'local glob' => q{
        my $buf=''; { local *STDOUT; open STDOUT, '>', \$buf or die "mem: $!"; print "captured"; } print "got[$buf]";
    },
    'local glob system' => q{
        { local *STDOUT; open STDOUT, '>', 'printed' or die "mem: $!"; print "captured"; system 'echo sys' } print "after";
    },
    'select' => q{
        my $buf=''; open my $m,'>',\$buf; my $old=select $m; print "captured"; select $old; print "got[$buf] old $old";
    },
    'stderr mem' => q{
        my $buf=''; local *STDERR; open STDERR, '>', \$buf or die; print STDERR "x"; warn "w\n"; print "got[$buf]";
    },
    'stderr dup' => q{
        open my $e, '>&', \*STDERR or die "dup: $!"; print {$e} "to e\n"; close $e; print "ok";
    },
    'fdopen' => q{
        open my $o, '>&=', 1 or die "fd: $!"; print {$o} "raw"; close $o; print "ok";
    },
    'stdin dup' => q{
        open my $i, '<&', \*STDIN or die "dup: $!"; my $l=<$i>; print "got[".($l//'undef')."]";
    },
    'local stdin' => q{
        { local *STDIN; open STDIN, '<', \"in memory\n" or die "mem: $!"; print "got[".<STDIN>."]"; } print "then[".<STDIN>."]";
    },
    'pipe open' => q{
        open my $p, '-|', 'echo piped' or die; print "got[".<$p>."]"; close $p; print " $?";
    },
    'pipe write' => q{
        open my $p, '|-', 'cat' or die; print {$p} "piped\n"; close $p; print "$?";
    },
    'pipe to stdout fork' => q{
        my $pid=open(my $p,'-|'); if(!$pid){ print STDOUT "child"; require POSIX; POSIX::_exit(0)} my $l=<$p>; print "got[".($l//'undef')."]";
    },
    'fork child print' => q{
        my $pid=fork; if(!$pid){ print "child "; require POSIX; POSIX::_exit(0)} waitpid $pid,0; print "parent";
    },
    'tb output' => q{
        use Test::More; my $b=Test::More->builder; my $o=''; my $f=''; $b->reset; $b->output(\$o); $b->failure_output(\$f); ok(1,'x'); ok(0,'y'); print "got[$o]"; $b->reset_outputs; $b->no_ending(1);
    },
    'fileno' => q{
        print "out ", fileno(STDOUT)//'undef', " in ", fileno(STDIN)//'undef', " err ", fileno(STDERR)//'undef';
    },
    'io handle fdopen' => q{
        use IO::Handle; my $io=IO::Handle->new; print $io->fdopen(fileno(STDOUT),'w') ? "fd":"none: ".($!+0);
    },
    'binmode' => q{
        print binmode(STDOUT,':utf8')?"yes":"no"; print binmode(STDIN)?"yes":"no";
    },
    'dash t' => q{
        print -t STDOUT ? "tty":"no", -t STDIN ? 'tty':'no', -p STDOUT ? 'p':'', -f STDOUT?'f':'', -e STDIN ? 'e':'';
    },
    'File::Copy to STDOUT' => q{
        use File::Copy; copy('/etc/hostname', \*STDOUT) or print "copy: $!"; print "ok";
    },
    'File::Copy from STDIN' => q{
        use File::Copy; copy(\*STDIN, 'copied') or print "copy: $!"; open my $f,'<','copied'; print "got[".join('',<$f>)."]";
    },
    'warn' => q{
        warn "a warning\n"; print "ok";
    },
    'carp' => q{
        use Carp; carp "carped"; print "ok";
    },
    'printf list' => q{
        my @a=('%s-%s','a','b'); printf @a; printf STDOUT @a;
    },
    'open dup mode num' => q{
        open my $o, '>&1' or die "dup1: $!"; print {$o} "raw\n"; close $o; print "ok";
    },
    'stat stdin' => q{
        my @s = stat STDIN; print @s ? "stat":"none";
    },
    'argv dash' => q{
        local @ARGV=('-'); my $l=<>; print $l//'undef';
    },
    'scoped select' => q{
        use SelectSaver; my $b=''; open my $m,'>',\$b; { my $s=SelectSaver->new($m); print "in" } print "got[$b]";
    },
);

sub outcome {
    my ($statements, $environment) = @_;
    my $text = <<"END";
use strict; use warnings; use FCGI;
my \$left = 2;
my \$request = FCGI::Request();
while (\$left-- > 0 && \$request->Accept >= 0) {
    eval {
# line 1 "statements"
$statements
        1;
    } or print "died: \$@";
}
END
    local $SIG{ALRM} = sub { die "no end of: $statements" };
    alarm 30;
    my $result = Program::run(
        text        => $text,
        requests    => [ ({ stdin => "one\ntwo\n", params => [ NAME => 'value' ] }) x 2 ],
        environment => $environment,
    );
    alarm 0;
    for my $response (@{ $result->{responses} }) { delete $response->{stdout_records} }
    return $result;
}

while (my ($name, $statements) = splice @SAME, 0, 2) {
    my ($original, $ours) = map { outcome($statements, $_) } {}, compat_environment();
    is_deeply($ours, $original, "the same: $name") or diag(explain({ ours => $ours, original => $original }));
}

# name => [ statements, the body on the original, the body under Compat, which is that of an
# ordinary handle ]
my @BETTER = (
    'a format' => [ "format STDOUT =\n@<<< @>>>\n'ab', 'cd'\n.\nwrite; print 'ok';", 'ok', "ab     cd\nok" ],
    'say by method' => [ q{use IO::Handle; STDOUT->say('said');}, 'said', "said\n" ],
    'Capture::Tiny: tee' => [ q{
        use Capture::Tiny ':all'; my $o=tee_stdout { print "out" }; print "got[$o]";
    }, qr/Operation 'OPEN' not supported/, "outgot[out]" ],
    'IPC::Run3' => [ q{
        use IPC::Run3; my $in="in\n"; run3 ['sh','-c','cat; echo err >&2'], \$in, \my $out, \my $err; print "got[$out|$err]";
    }, qr/Operation 'OPEN' not supported/, "got[in\n|err\n]" ],
    'IPC::Run3, handles inherited' => [ q{
        use IPC::Run3; run3 ['sh','-c','echo err >&2'], undef, \my $out, undef; print "got[$out]";
    }, qr/Operation 'OPEN' not supported/, "got[]" ],
    'dup redirect' => [ q{
        open my $old, '>&', \*STDOUT or die "dup: $!"; close STDOUT; my $buf=''; open STDOUT, '>', \$buf or die "mem: $!"; print "captured"; close STDOUT; open STDOUT, '>&', $old or die "restore: $!"; print "got[$buf]";
    }, '', "got[captured]" ],
    'open mem' => [ q{
        my $buf=''; open STDOUT, '>', \$buf or die "mem: $!"; print "captured";
    }, qr/Operation 'OPEN' not supported/, "" ],
    'open file' => [ q{
        open STDOUT, '>', 'printed' or die "file: $!"; print "captured"; close STDOUT;
    }, qr/Operation 'OPEN' not supported/, "" ],
    'stderr to stdout' => [ q{
        open STDERR, '>&', \*STDOUT or die "dup: $!"; print STDERR "x"; print "ok";
    }, qr/Operation 'OPEN' not supported/, "xok" ],
    'stdin mem' => [ q{
        open STDIN, '<', \"in memory\n" or die "mem: $!"; print "got[".<STDIN>."]";
    }, qr/Operation 'OPEN' not supported/, "got[in memory\n]" ],
    'close reopen' => [ q{
        close STDOUT; open STDOUT, '>&', 2 or die "re: $!"; print "x";
    }, '', "" ],
    'dup string' => [ q{
        open(SAVE, ">&STDOUT") or die "save: $!"; print "x"; open(STDOUT, ">&SAVE") or die "rest: $!"; print "y";
    }, qr/Operation 'OPEN' not supported/, "xy" ],
    'a file, which commands see, too' => [ q{
        open my $saved, '>&STDOUT' or die; open STDOUT, '>', 'written' or die;
        print "perl\n"; system 'echo command'; print "perl\n";
        open STDOUT, '>&', $saved or die; open my $file, '<', 'written' or die; print <$file>;
    }, qr/Operation 'OPEN' not supported/, "perl\ncommand\nperl\n" ],
    'the end of the request ends it' => [ q{
        print 'heard'; open STDOUT, '>', '/dev/null' or die; print 'unheard'; system 'echo unheard';
    }, qr/Operation 'OPEN' not supported/, 'heard' ],
    'descriptors by number' => [ q{
        open STDERR, '>&1' or die; print STDERR 'out '; open STDERR, '>&2' or die; print STDERR 'again '; print 'out';
    }, qr/Operation 'OPEN' not supported/, 'out again out' ],
    'a file that cannot be opened' => [ q{
        print open(STDOUT, '>', '/no/such/file') ? 'opened' : $!{ENOENT} ? 'refused' : $!;
    }, qr/Operation 'OPEN' not supported/, 'refused' ],
    'standard input of a string' => [ q{
        print scalar <STDIN>; open STDIN, '<', \ "a\nb\n" or die; my @lines = <STDIN>; print @lines, eof(STDIN) ? 'end' : '';
    }, qr/Operation 'OPEN' not supported/, "one\na\nb\nend" ],
    'CGI::Carp: carpout' => [ q{
        use CGI::Carp (); open my $log, '>', \ my $said or die; open my $file, '>', 'log' or die;
        CGI::Carp::carpout($file); print STDERR "to the log"; close STDERR; open $file, '<', 'log' or die; print <$file>;
    }, qr/Operation 'OPEN' not supported/, 'to the log' ],
    'all lines' => [ q{my @lines = <STDIN>; print scalar @lines;}, '1', '2' ],
);

while (my ($name, $case) = splice @BETTER, 0, 2) {
    my ($statements, @expected) = @$case;
    my @bodies = map { my $result = outcome($statements, $_); [ map { $_->{stdout} } @{ $result->{responses} } ] } {}, compat_environment();
    like($bodies[0][0], ref $expected[0] ? $expected[0] : qr/\A\Q$expected[0]\E\z/, "the original: $name");
    is_deeply($bodies[1], [ @expected[ 1, 1 ] ], "better: $name");
}

done_testing;
