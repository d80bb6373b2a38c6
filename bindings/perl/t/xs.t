use strict;
use warnings;
use lib 't/lib';
use File::Basename ();
use File::Copy ();
use File::Path ();
use File::Temp ();
use Test::More;

use FCGIPM;
use FCGIPM::XS;
use Workers;

# The compiled part: its constants are those of the Perl modules, it is used if it exists, and a
# perl for which it was not built warns and works without it.

ok($FCGIPM::XS::is_loaded, 'the compiled part is built and loaded');
is(\&FCGIPM::Stream::Output::PRINT,   \&FCGIPM::XS::print_items, 'print is compiled');
is(\&FCGIPM::Stream::Input::READLINE, \&FCGIPM::XS::read_line,   'readline is compiled');
is(\&FCGIPM::Stream::Input::READ,     \&FCGIPM::XS::read_bytes,  'read is compiled');

open my $file, '<', 'xs/XS.h' or die "xs/XS.h: $!";
my $source = do { local $/; <$file> };
my %number = $source =~ /\b([A-Z_]+) = (-?\d\w*(?: \* \d+)?)/g;
$_ = eval for values %number;
my %perl = (
    GATHERED          => FCGIPM::Stream::Output::GATHERED,
    OUTPUT_CLOSED     => FCGIPM::Stream::Output::CLOSED,
    HELD              => FCGIPM::Stream::Output::HELD,
    OPEN_BYTE         => ord FCGIPM::Stream::Output::OPEN_MARK,
    CLOSED_BYTE       => ord FCGIPM::Stream::Output::CLOSED_MARK,
    GATHER_LIMIT      => FCGIPM::Stream::Output::GATHER_LIMIT,
    HANDLE            => FCGIPM::Stream::Input::HANDLE,
    DIRECT_FROM       => FCGIPM::Stream::Input::DIRECT_FROM,
    DIRECT_TO         => FCGIPM::Stream::Input::DIRECT_TO,
    BUFFER            => FCGIPM::Stream::Input::BUFFER,
    AT_END            => FCGIPM::Stream::Input::AT_END,
    FAILURE           => FCGIPM::Stream::Input::FAILURE,
    INPUT_CLOSED      => FCGIPM::Stream::Input::CLOSED,
    EFORKED           => FCGIPM::FFI::EFORKED,
    SCOPE_ENVIRONMENT => FCGIPM::FFI::PARAMS_ENVIRONMENT,
);
is_deeply(\%number, \%perl, 'the constants in C are those of the Perl modules');

sub is_loaded {
    my ($with, %environment) = @_;
    local @ENV{ keys %environment } = values %environment;
    return qx{$^X $with -MFCGIPM -e 'print \$FCGIPM::XS::is_loaded' 2>&1};
}

is(is_loaded('-Ilib', FCGIPM_XS => 1), '1', 'FCGIPM_XS=1: it is loaded');
is(is_loaded('-Ilib', FCGIPM_XS => 0), '0', 'FCGIPM_XS=0: it is not loaded');
is(is_loaded('-Ilib', FCGIPM_XS => ''), '1', 'empty: the same as unset');
like(is_loaded('-Ilib', FCGIPM_XS => 'yes'), qr/\Aenvironment variable FCGIPM_XS: 'yes' is neither 0 nor 1\n/, 'any other value is an error');

# Installed outside of the build tree.
my $dir = File::Temp->newdir;
system('cp', '-r', 'lib', "$dir/lib") == 0 or die 'cp';
my @apart = ("-I$dir/lib", FCGIPM_LIB => $FCGIPM::FFI::LIBRARY);
is(is_loaded(@apart), '0', 'without it, everything is done in Perl');
like(is_loaded(@apart, FCGIPM_XS => 1), qr/\AFCGIPM::XS cannot be loaded: Can't locate loadable object/, 'without it, FCGIPM_XS=1 is an error');

my ($built) = grep { m{/FCGIPM/XS/} } @DynaLoader::dl_shared_objects;
my $place = "$dir/lib/auto/FCGIPM/XS";
File::Path::make_path($place);
File::Copy::copy($built, "$place/XS.so") or die "$built: $!";
is(is_loaded(@apart), '1', 'it is found beside installed modules');

# A different version, as after an incomplete upgrade.
open my $modules, '<', 'lib/FCGIPM/XS.pm' or die $!;
my $text = do { local $/; <$modules> };
$text =~ s/'0\.1\.0'/'0.0.9'/ or die 'the version';
open my $other, '>', "$dir/lib/FCGIPM/XS.pm" or die $!;
print {$other} $text;
close $other or die $!;
like(is_loaded(@apart), qr/\AFCGIPM::XS cannot be loaded, so requests are slower: FCGIPM::XS object version 0\.1\.0 does not match .*\n0\z/,
    'a different version: a warning, and everything is done in Perl');

open my $junk, '>', "$place/XS.so" or die $!;
print {$junk} "no shared object\n" x 100;
close $junk or die $!;
like(is_loaded(@apart), qr/\AFCGIPM::XS cannot be loaded, so requests are slower: Can't load .*\n0\z/, 'a broken file: a warning, and everything is done in Perl');

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
