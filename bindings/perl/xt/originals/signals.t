use strict;
use warnings;
use lib qw(t/lib xt/lib);
use Test::More;
use Program;
use SameProgram;

# Signals that programs do not handle: libfcgi does, and so does FCGIPM::Compat.

my @COMPAT = (ways => ['compat']);
my $HEAD = "use strict; use warnings; use FCGI; our \$n = 0;\n";
my $LOOP = 'my $r = FCGI::Request(\*STDIN, \*STDOUT, \*STDERR, \%ENV, 0, FLAGS); while ($r->Accept >= 0) { kill SIGNAL => $$ if !$n++; print "request $n\n"; } print "left\n"';

for my $signal (qw(TERM USR1 PIPE)) {
    for my $flags (0, 1) {
        (my $text = $HEAD . $LOOP) =~ s/FLAGS/$flags/;
        $text =~ s/SIGNAL/$signal/;
        $text =~ s/\$r->Accept/\$n < 2 && $&/ if $signal eq 'PIPE';
        same("$signal in a request, flags $flags", @COMPAT, text => $text, requests => [ ({}) x ($signal eq 'PIPE' ? 2 : 1) ], contains => qr/left/);
    }
    same("$signal before the first request", @COMPAT, text => $HEAD . "my \$r = FCGI::Request(); kill $signal => \$\$; print qq{alive\\n};", requests => [], contains => qr/alive/);
    same("$signal with a handler of the program", @COMPAT, requests => [ {} ], contains => qr/mine/,
        text => $HEAD . "\$SIG{$signal} = sub { print STDOUT qq{mine\\n} }; my \$r = FCGI::Request(); \$r->Accept; kill $signal => \$\$; print qq{on\\n}; \$r->Finish; print qq{end\\n};");
    same("$signal with a handler that is set later", @COMPAT, requests => [ {} ], contains => qr/mine/,
        text => $HEAD . "my \$r = FCGI::Request(); \$SIG{$signal} = sub { print STDOUT qq{mine\\n} }; \$r->Accept; kill $signal => \$\$; print qq{on\\n}; \$r->Finish; print qq{end\\n};");
    same("$signal ignored", @COMPAT, requests => [ {} ],
        text => $HEAD . "\$SIG{$signal} = 'IGNORE'; my \$r = FCGI::Request(); \$r->Accept; kill $signal => \$\$; print qq{on\\n}; \$r->Finish; print \$SIG{$signal}, qq{\\n};");
    same("$signal set to default later", @COMPAT, requests => [],
        text => $HEAD . "my \$r = FCGI::Request(); \$SIG{$signal} = 'DEFAULT'; kill $signal => \$\$; print qq{not reached\\n};");
}
same("$_ ends the program", @COMPAT, requests => [], text => $HEAD . "my \$r = FCGI::Request(); kill $_ => \$\$; print qq{not reached\\n};") for qw(HUP INT USR2 ALRM);
same('children have the default', @COMPAT, requests => [], text => $HEAD . q{my $r = FCGI::Request(); print `/bin/sh -c 'kill -PIPE \$\$; echo alive'`, $? & 127, "\n"; });
same('a pipe whose reader is closed', @COMPAT, requests => [ {} ], contains => qr/EPIPE/,
    text => $HEAD . q{use Errno; my $r = FCGI::Request(); $r->Accept; pipe my $in, my $out; close $in; my $w = syswrite $out, 'x'; print defined $w ? 'written' : $!{EPIPE} ? 'EPIPE' : $!, "\n"; $r->Finish;});

my $while_waiting = sub {
    my ($name) = @_;
    return sub {
        my ($socket, $pid) = @_;
        my $response = FastCGIClient->ask($socket);
        Program::wait_until_idle($pid);
        kill $name => $pid;
        return $response;
    };
};
for my $signal (qw(TERM USR1)) {
    same("$signal while it waits", @COMPAT, text => $HEAD . q{my $r = FCGI::Request(); while ($r->Accept >= 0) { print "served\n" } print "left\n"; END { print "END\n" }},
        requests => [ $while_waiting->($signal) ], contains => qr/left/);
}

differs('%SIG shows the handlers', @COMPAT, in => 'stdout', requests => [], original => "undef undef undef\n", ours => "CODE CODE CODE\n",
    text => $HEAD . q{my $r = FCGI::Request(); print join(' ', map { ref $SIG{$_} || 'undef' } qw(TERM USR1 PIPE)), "\n";});
differs('what Accept returns after TERM', @COMPAT, in => 'stdout', original => "-107\n", ours => "-4\n",
    text => $HEAD . q{my $r = FCGI::Request(); $r->Accept; kill TERM => $$; $r->Finish; print $r->Accept, "\n";});
{
    my $text = q{use FCGI::ProcManager; my $pm = FCGI::ProcManager->new({ n_processes => 0 }); $pm->pm_manage; my $r = FCGI::Request();
        while ($r->Accept >= 0) { $pm->pm_pre_dispatch; kill TERM => $$ if !$n++; print "request $n\n"; last if $n > 1; $r->Finish; $pm->pm_post_dispatch } print "left after $n\n"; };
    my $original = SameProgram::outcomes(ways => [], text => $HEAD . $text, requests => [ {}, {} ])->{original};
    like($original->{responses}[1]{stdout}, qr/\Arequest 2\n/, 'the original continues after a TERM in a request, without workers');
    my $ours = Program::run(text => $HEAD . $text, environment => { PERL5OPT => '-MFCGIPM::Compat' }, requests => [ {} ]);
    like($ours->{stderr}, qr/safe exit after SIGTERM\n\z/, 'intended difference: here it exits');
}

done_testing;
