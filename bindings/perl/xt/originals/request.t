use strict;
use warnings;
use lib qw(t/lib xt/lib);
use Test::More;
use SameProgram;

my @THREE = map { { params => [ NAME => "value $_", "ONLY_$_" => 1 ] } } 1 .. 3;
my $ENV = q{sub environment { my $e = shift; print map { "$_=$e->{$_}\n" } sort keys %$e }};

my @LOOPS = (
    'values of the methods'        => [ {} ], q{print ref \$request, ' ', $request->IsFastCGI, ' ', $request->StartFilterData, "\n"; for my $m (qw(Flush Detach Attach)) { my @r = $request->$m; print scalar(@r), "\n" }},
    'GetHandles, GetEnvironment'   => [ {} ], q{my @h = $request->GetHandles; print "@{[ map { ref } @h ]} ", $h[1] == \*STDOUT ? 1 : 0, ' ', $request->GetEnvironment == \%ENV ? 1 : 0, "\n";},
    '%ENV'                         => [@THREE], q{environment(\%ENV);},
    '%ENV after Finish'            => [@THREE], q{$request->Finish; environment(\%ENV);},
    '%ENV that the program set'    => [@THREE], q{$ENV{MINE} = 1; environment(\%ENV);},
    '%ENV in children'             => [@THREE], q{delete @ENV{qw(PATH)}; print `/usr/bin/env | /usr/bin/sort | /usr/bin/grep -v PWD`;},
    'a repeated parameter'         => [ { params => [ A => 1, B => 2, A => 3 ] } ], q{environment(\%ENV);},
    'empty and long parameters'    => [ { params => [ A => '', B => 'y' x 100_000, 'N' x 300 => 'v' ] } ], q{environment(\%ENV);},
    'binary parameters'            => [ { params => [ A => join('', map { chr } 1 .. 255), B => "a=b", 'c d' => "\n" ] } ], q{environment(\%ENV);},
    'many parameters'              => [ { params => [ map { ("P$_" => "v$_") } 1 .. 1_000 ] } ], q{environment(\%ENV);},
    'authorizer'                   => [ { role => 'AUTHORIZER' } ], q{environment(\%ENV);},
    'Finish'                       => [@THREE], q{print "a\n"; my @r = $request->Finish; print "to the process ", scalar(@r), "\n"; $request->Finish;},
    'methods after Finish'         => [@THREE], q{$request->Finish; $request->Flush; $request->Detach; $request->Attach; print "untied ", defined tied *STDOUT ? 1 : 0, "\n";},
    'Detach and Attach'            => [@THREE], q{print "a\n"; $request->Detach; print "to the process\n"; $request->Attach; print "b\n"; $request->Attach; print "c\n";},
    'Detach and Finish'            => [@THREE], q{print "lost\n"; $request->Detach; $request->Finish;},
    'Detach and the next Accept'   => [@THREE], q{print "lost\n"; $request->Detach;},
    'functions instead of methods' => [ {} ], q{print "a\n"; FCGI::Flush($request); FCGI::Detach($request); FCGI::Attach($request); print FCGI::IsFastCGI($request), "\n"; FCGI::Finish($request);},
    'a filter'                     => [ { role => 'FILTER', stdin => "in\n", data => "data 1\ndata 2\n" } ], q{print $request->StartFilterData, "\n" if 0; my $in = do { local $/; <STDIN> }; print $in, $request->StartFilterData, "\n"; my $d = do { local $/; <STDIN> }; print $d, eof STDIN ? 1 : 0, "\n";},
    'tied handles outside'         => [ {} ], q{$request->Finish; print defined tied *$_ ? 1 : 0 for \*STDIN, \*STDOUT, \*STDERR;},
    'LastCall'                     => [ {} ], q{print "served\n"; $request->LastCall; my $r = $request->Accept; print $r < 0 ? 1 : 0, "\n";},
    'a die that is caught'         => [@THREE], q{eval { die "caught\n" }; print $@;},
    'a sub-process'                => [@THREE], q{$| = 1; print "before\n"; system '/bin/true'; print "status $?\n";},
    'local $SIG{ALRM}'             => [@THREE], q{local $SIG{ALRM} = sub { print "alarm\n" }; kill ALRM => $$; print "after\n";},
);

while (my ($name, $requests, $statements) = splice @LOOPS, 0, 3) {
    same($name, before => $ENV, loop => $statements, requests => [ map { {%$_} } @$requests ]);
}

my %PROGRAMS = (
    'a hash of its own' => q{
        my %env = (OLD => 1); my $request = FCGI::Request(\*STDIN, \*STDOUT, \*STDERR, \%env); my $path = $ENV{PATH}; my $n = 0;
        while ($n++ < 3 && $request->Accept >= 0) { print map { "$_=$env{$_}\n" } sort keys %env; print $path eq $ENV{PATH} ? 1 : 0, exists $ENV{NAME} ? 1 : 0, "\n"; }},
    'IO::Handle objects' => q{
        use IO::Handle; my ($in, $out, $err) = map { IO::Handle->new } 1 .. 3; my $n = 0;
        my $request = FCGI::Request($in, $out, $err);
        while ($n++ < 3 && $request->Accept >= 0) { print $out "out ", scalar(@{[$request->GetHandles]}), "\n"; print $err "err\n"; $out->print("method\n"); my $l = <$in>; print STDOUT "to the process\n"; }},
    'lexical globs' => q{
        use Symbol; my ($in, $out, $err) = map { gensym } 1 .. 3; my $n = 0;
        my $request = FCGI::Request($in, $out, $err, {}, 0, 0);
        while ($n++ < 3 && $request->Accept >= 0) { print {$out} "out\n"; print {$err} "err\n"; }},
    'a handle as socket' => q{
        open my $listener, '<&=', 0; my $n = 0; my $request = FCGI::Request(\*STDIN, \*STDOUT, \*STDERR, \%ENV, $listener);
        while ($n++ < 3 && $request->Accept >= 0) { print "out\n" }},
    'wrong arguments' => q{
        for my $try (sub { FCGI::Request('STDIN') }, sub { FCGI::Request(\*STDIN, undef) }, sub { FCGI::Request(\*STDIN, \*STDOUT, []) }, sub { FCGI::Request(\*STDIN, \*STDOUT, \*STDERR, []) }) {
            eval { $try->() }; my $e = $@; $e =~ s/(?<=reference|to a hash).*//s; print STDERR "$e\n"; }},
    'prototypes' => q{no strict 'refs'; print STDERR "$_ ", prototype("FCGI::$_") // 'none', "\n" for qw(OpenSocket CloseSocket Request RequestX Accept Finish Flush Detach Attach LastCall GetEnvironment GetHandles IsFastCGI StartFilterData FAIL_ACCEPT_ON_INTR); print STDERR FCGI::FAIL_ACCEPT_ON_INTR, "\n";},
    'sockets' => q{
        my $s = FCGI::OpenSocket('own', 5); print STDERR $s > 2 ? 1 : 0, -S 'own' ? 1 : 0, "\n"; my @r = FCGI::CloseSocket($s); print STDERR scalar(@r), "\n";},
    'not FastCGI' => q{
        close STDIN; open STDIN, '<', 'program.pl'; my $request = FCGI::Request(); print $request->IsFastCGI, "\n"; $ENV{KEPT} = 1;
        while ((my $r = $request->Accept) >= 0) { print "accepted $r $ENV{KEPT} ", scalar(<STDIN>); $request->Finish } print $request->Accept, "\n";},
    'the request goes out of scope' => q{
        for (1 .. 3) { my $request = FCGI::Request(); $request->Accept; print "once\n"; } print "to the process\n";},
    'no request yet' => q{my $r = FCGI::Request(); $r->Finish; $r->Flush; $r->Detach; $r->Attach; print STDERR $r->StartFilterData, "\n";},
    'two requests in turn' => q{
        my (%a, %b); my ($ra, $rb) = (FCGI::Request(\*STDIN, \*STDOUT, \*STDERR, \%a), FCGI::Request(\*STDIN, \*STDOUT, \*STDERR, \%b));
        $ra->Accept; print "a $a{NAME}\n"; $ra->Finish; $rb->Accept; print "b $b{NAME}\n"; $rb->Finish; $ra->Accept; print "c $a{NAME}\n";},
);

for my $name (sort keys %PROGRAMS) {
    same($name, text => "use strict; use warnings; use FCGI;\n$PROGRAMS{$name}\n", requests => [ $name =~ /wrong|proto|sockets|not Fast|no request/ ? () : map { {%$_} } @THREE ]);
}

differs('HTTP_PROXY stays out of %ENV', loop => q{print $ENV{HTTP_PROXY} // 'undef'}, requests => [ { params => [ HTTP_PROXY => 'http://evil' ] } ],
    original => 'http://evil', ours => 'undef');
differs('names that no environment can have', loop => q{print map { "[$_]" } sort keys %ENV}, requests => [ { params => [ '' => 'empty', 'A' => 1 ] } ],
    original => '[][A][FCGI_ROLE]', ours => '[A][FCGI_ROLE]');
differs('wrong arguments are shown', text => "use FCGI; eval { FCGI::Request('here') }; my \$e = \$@; \$e =~ s/ at .*//s; my \$r = FCGI::Request(); \$r->Accept; print \$e",
    original => 'in is not a GLOB reference', ours => "in is not a GLOB reference: 'here'");

done_testing;
