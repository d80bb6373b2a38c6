use strict;
use warnings;
use lib qw(t/lib xt/lib);
use Test::More;
use Workers;

# Whatever a program does to its hash and the values, the next request is the same with and without
# the compiled part.
my $HASHES = <<'PROGRAM';
use strict; use warnings; use FCGIPM; use Scalar::Util; use Hash::Util; use Tie::Hash;
my %kinds = (plain => {}, locked => {}, tied => {}, env => \%ENV);
tie %{ $kinds{tied} }, 'Tie::StdHash';
my $socket = FCGIPM::OpenSocket($ENV{FCGI_SOCKET_PATH}, 100);
my $kind = $ENV{KIND};
my $hash = $kinds{$kind};
my $request = FCGIPM::Request(\*STDIN, \*STDOUT, \*STDERR, $hash, $socket);
sub Finisher::DESTROY { $request->Finish }
my ($kept, $weak, $alias);
print STDERR "ready\n";
while ($request->Accept >= 0) {
    print "Content-Type: text/plain\r\n\r\n";
    my @names = grep { /^(?:A|B|C\d?|D|N|METHOD|LONG|ADDED)$/ } keys %$hash;
    print map { "$_=" . ($hash->{$_} // 'undef') . (ref $hash->{$_} ? ' ref' : '') . (defined pos $hash->{$_} ? ' pos' : '') . "\n" } sort @names;
    print 'kept ', defined $kept ? $$kept : 'nothing', ', weak ', defined $weak ? $$weak : 'gone', "\n";
    my $do = $hash->{DO} // '';
    if    ($do eq 'keep')   { $kept = \$hash->{A} }
    elsif ($do eq 'weaken') { Scalar::Util::weaken($weak = \$hash->{A}) }
    elsif ($do eq 'match')  { $hash->{A} =~ /./g }
    elsif ($do eq 'number') { my $sum = $hash->{N} + 1; $hash->{METHOD} += 1 }
    elsif ($do eq 'object') { $hash->{B} = bless [], 'Finisher' if $kind ne 'env' }
    elsif ($do eq 'wide')   { $hash->{A} = "\x{263a}"; $hash->{"C\x{e9}"} = 1 if $kind ne 'locked' }
    elsif ($do eq 'undef')  { $hash->{A} = undef }
    elsif ($do eq 'delete') { delete $hash->{A} if $kind ne 'locked' }
    elsif ($do eq 'rename') { delete $hash->{A}; $hash->{ADDED} = 1 }
    elsif ($do eq 'each')   { my @first = each %$hash }
    elsif ($do eq 'freeze') { Internals::SvREADONLY($hash->{A}, 1) }
    elsif ($do eq 'lock')   { Hash::Util::lock_keys(%$hash) if $kind eq 'locked' }
}
PROGRAM

my @steps = ((map { $_, '' } qw(keep weaken match number object wide undef delete rename each freeze)), 'lock', '');
for my $kind (qw(plain tied env locked)) {
    my @answers = map {
        my $with_xs = $_;
        my $daemon = Daemon->start(text => $HASHES, environment => { FCGIPM_XS => $with_xs, KIND => $kind });
        $daemon->wait_for(qr/ready/);
        my $count = 0;
        my $answers = join "---\n", map {
            my $response = eval { $daemon->ask(params => [ A => 'a', B => "b$count", N => 7, METHOD => 1, DO => $_, $count++ % 2 ? () : (LONG => 'x' x 200), A => "last" ]) };
            $response ? $response->{stdout} : "no answer\n";
        } @steps;
        $daemon->signal('KILL');
        my $log = eval { $daemon->ended; 1 } ? $daemon->log : '';
        $answers . $log;
    } 0, 1;
    like($answers[0], qr/kept last/, "$kind: a value to which the program has kept a reference does not change");
    is($answers[1], $answers[0], "$kind: the hash is the same with the compiled part and without");
}

done_testing;
