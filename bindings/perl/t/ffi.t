use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Program;

# The search for the library; each case runs in a separate process.

sub load {
    my (%environment) = @_;
    local @ENV{qw(FCGIPM_LIB LD_LIBRARY_PATH)};
    delete @ENV{qw(FCGIPM_LIB LD_LIBRARY_PATH)};
    my $outcome = Program::run(
        text        => $environment{text} || 'use FCGIPM; print $FCGIPM::FFI::LIBRARY, " ", FCGIPM::FFI::version(), "\n";',
        environment => $environment{environment},
    );
    return $outcome;
}

require FCGIPM::FFI;
my $library = do { no warnings 'once'; $FCGIPM::FFI::LIBRARY };

{
    my $outcome = load(environment => { FCGIPM_LIB => $library });
    like($outcome->{stdout}, qr/\A\Q$library\E \d+\.\d+\.\d+\n\z/, 'FCGIPM_LIB names the file');
    is($outcome->{stderr}, '', 'nothing is printed');
}
{
    my $outcome = load(environment => { FCGIPM_LIB => '/nonexistent/libfcgipm.so' });
    isnt($outcome->{status}, 0, 'a missing FCGIPM_LIB is an error');
    like($outcome->{stderr}, qr{\Alibfcgipm cannot be loaded; searched in\n  FCGIPM_LIB: /nonexistent/libfcgipm\.so \(.+No such file}, 'the message names the file and the reason');
    unlike($outcome->{stderr}, qr/build tree/, 'no other place is searched');
}
{
    my $outcome = load(environment => { FCGIPM_LIB => __FILE__ });
    like($outcome->{stderr}, qr/\Q${\ __FILE__ }\E/, 'a file that is not a library is named');
}
{
    my $outcome = load(text => <<'TEXT');
BEGIN { require FFI::Platypus::DL; no warnings; *FFI::Platypus::DL::dlopen = sub { return }; *FFI::Platypus::DL::dlerror = sub { 'absent' } }
use FCGIPM;
TEXT
    like($outcome->{stderr}, qr{the build tree: /.*/target/release/libfcgipm\.so \(absent\)\n  the system: libfcgipm\.so\.0 \(absent\)\n  the system: libfcgipm\.so \(absent\)\n},
        'without the variable: the build tree, then the system; the message names all');
    like($outcome->{stderr}, qr/make build.*FCGIPM_LIB/, 'and says what to do');
}
{
    my ($libc) = map { m{(/\S+/libc\.so\.6)} ? $1 : () } do { open my $maps, '<', '/proc/self/maps' or die; <$maps> };
    my $outcome = load(environment => { FCGIPM_LIB => $libc });
    like($outcome->{stderr}, qr/\Q$libc\E has no function fcgipm_version/, 'another library is recognised');
}

my %wrong;
for my $name (qw(EARGUMENT EHANDLE EFORKED EADDRESS EINUSE EOPTION EVALUE ESYSTEM ESTATE EINTERRUPTED ERETIRED EABORTED
    EINCOMPLETE EPROTOCOL ETIMEDOUT ECLOSED ELISTENER EDESCRIPTORS EPIDFILE ERUNNING ETHREADS EPANIC)) {
    my $number = FCGIPM::FFI->can($name)->();
    my $librarys = FCGIPM::FFI::error_name($number);
    $wrong{$name} = $librarys if !defined $librarys || $librarys ne "FCGIPM_$name";
}
is_deeply(\%wrong, {}, "the error numbers are the library's");

done_testing;
