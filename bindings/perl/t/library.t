use strict;
use warnings;
use lib 't/lib';
use DynaLoader ();
use File::Temp ();
use Test::More;
use Program;

use FCGIPM::Library;

# The search for the library; each case runs in a separate process.

my $library = $FCGIPM::Library::FILE;
my $SHOW = 'use FCGIPM; print $FCGIPM::Library::FILE, " ", FCGIPM::Library::version(), "\n";';
my $VERSION = qr/\d+\.\d+\.\d+/;

sub load {
    my ($file, %with) = @_;
    delete local $ENV{LD_LIBRARY_PATH};
    local %ENV = %ENV;
    delete $ENV{FCGIPM_LIB};
    return Program::run(text => $with{text} || $SHOW, environment => defined $file ? { FCGIPM_LIB => $file } : {});
}

# The first line, without the places that perl adds to a failed `use`.
sub is_refused {
    my ($outcome, $pattern, $name) = @_;
    isnt($outcome->{status}, 0, "$name: an error");
    return like(($outcome->{stderr} =~ /\A(.*)\n/)[0], $pattern, "$name: the message is one line");
}

{
    my $outcome = load($library);
    like($outcome->{stdout}, qr/\A\Q$library\E $VERSION\n\z/, 'FCGIPM_LIB names the file');
    is($outcome->{stderr}, '', 'nothing is printed');
}
{
    my $outcome = load('/nonexistent/libfcgipm.so');
    is_refused($outcome, qr{\Alibfcgipm cannot be loaded: /nonexistent/libfcgipm\.so from FCGIPM_LIB \(cannot open .+ No such file or directory\): install it \(.+\), or set FCGIPM_LIB to its file\z},
        'a missing file');
    unlike($outcome->{stderr}, qr/dynamic linker's/, 'no other place is searched');
}
is_refused(load(__FILE__), qr/\Q${\ __FILE__ }\E from FCGIPM_LIB \(.+\): install it/, 'a file that is not a library');
{
    my ($libc) = map { m{(/\S+/libc\.so\.6)} ? $1 : () } do { open my $maps, '<', '/proc/self/maps' or die; <$maps> };
    is_refused(load($libc), qr/\A\Q$libc\E is not libfcgipm: .+ fcgipm_version; set FCGIPM_LIB/, 'another library');
}

# A machine without the library.
my $NOWHERE = <<'TEXT' . $SHOW;
BEGIN {
    require DynaLoader;
    my $load = \&DynaLoader::dl_load_file;
    no warnings;
    *DynaLoader::dl_load_file = sub { $_[0] =~ /libfcgipm/ ? undef : goto &$load };
    *DynaLoader::dl_error = sub { 'absent' };
}
TEXT
is_refused(load(undef, text => $NOWHERE),
    qr/\Alibfcgipm cannot be loaded: .*libfcgipm\.so\.0 from the dynamic linker's directories \(absent\): install it \(Debian: apt-get install libfcgipm0; from source: make install, then ldconfig\)/,
    'no library');

# A copy in which some text, of the same length, differs.
my $dir = File::Temp->newdir;

sub patched {
    my ($from, $to) = @_;
    open my $in, '<:raw', $library or die "$library: $!";
    my $bytes = do { local $/; <$in> };
    length $from == length $to && $bytes =~ s/\Q$from\E\0/$to\0/g or die "$library does not contain '$from'";
    open my $out, '>:raw', "$dir/libfcgipm.so" or die $!;
    print {$out} $bytes;
    close $out or die $!;
    return "$dir/libfcgipm.so";
}

my $version = FCGIPM::Library::version();
(my $older = $version) =~ s/\d/0/g;
is_refused(load(patched($version, $older)),
    qr/\AFCGIPM $VERSION needs libfcgipm $VERSION or later, and \Q$dir\E\/libfcgipm\.so is libfcgipm \Q$older\E: upgrade it \(Debian: apt-get install libfcgipm0; from source: make install\)/,
    'an older library');
is_refused(load(patched('fcgipm_worker_notice_given', 'fcgipm_worker_notice_taken')),
    qr/\AFCGIPM $VERSION needs .+, and \Q$dir\E\/libfcgipm\.so is libfcgipm \Q$version\E without the function fcgipm_worker_notice_given: upgrade it/,
    'a library that lacks a function');

my %wrong;
for my $name (qw(EARGUMENT EHANDLE EFORKED EADDRESS EINUSE EOPTION EVALUE ESYSTEM ESTATE EINTERRUPTED ERETIRED EABORTED
    EINCOMPLETE EPROTOCOL ETIMEDOUT ECLOSED ELISTENER EDESCRIPTORS EPIDFILE ERUNNING ETHREADS EPANIC)) {
    my $number = FCGIPM::Library->can($name)->();
    my $librarys = FCGIPM::Library::error_name($number);
    $wrong{$name} = $librarys if !defined $librarys || $librarys ne "FCGIPM_$name";
}
is_deeply(\%wrong, {}, "the error numbers are the library's");

done_testing;
