package FastCGIClient;

# The web server's side of FastCGI, as far as tests need it: sends a request and decodes the
# response.

use strict;
use warnings;

use IO::Socket::INET;
use IO::Socket::UNIX;

our %ROLE = (RESPONDER => 1, AUTHORIZER => 2, FILTER => 3);
our %TYPE = (
    BEGIN => 1, ABORT => 2, END => 3, PARAMS => 4, STDIN => 5, STDOUT => 6, STDERR => 7, DATA => 8,
);

sub new {
    my ($class, $address) = @_;
    my $socket = $address =~ m{^/}
        ? IO::Socket::UNIX->new(Peer => $address)
        : IO::Socket::INET->new(PeerAddr => $address, Proto => 'tcp');
    $socket or die "cannot connect to $address: $!\n";
    return bless { socket => $socket, id => 1, pending => '' }, $class;
}

sub socket { $_[0]{socket} }

sub record {
    my ($self, $type, $content) = @_;
    return pack('CCnnCC', 1, $TYPE{$type}, $self->{id}, length $content, 0, 0) . $content;
}

sub stream {
    my ($self, $type, $bytes) = @_;
    return join '', map { $self->record($type, $_) } unpack('(a65535)*', $bytes), '';
}

sub pairs {
    my @list = @_;
    my $bytes = '';
    while (my ($name, $value) = splice @list, 0, 2) {
        $bytes .= join '', map { length() < 128 ? pack('C', length) : pack('N', length() | 0x8000_0000) } $name, $value;
        $bytes .= $name . $value;
    }
    return $bytes;
}

# The bytes of a complete request. $request: params (list), stdin, data, role, keep.
sub request_bytes {
    my ($self, $request) = @_;
    my $role = $ROLE{ $request->{role} || 'RESPONDER' };
    my $bytes = $self->record(BEGIN => pack('nCx5', $role, $request->{keep} ? 1 : 0));
    $bytes .= $self->stream(PARAMS => pairs(@{ $request->{params} || [] }));
    $bytes .= $self->stream(STDIN => defined $request->{stdin} ? $request->{stdin} : '');
    $bytes .= $self->stream(DATA => $request->{data}) if defined $request->{data};
    return $bytes;
}

sub send_bytes {
    my ($self, $bytes) = @_;
    local $SIG{PIPE} = 'IGNORE';
    while (length $bytes) {
        my $sent = syswrite $self->{socket}, $bytes;
        return 0 if !$sent;
        substr($bytes, 0, $sent) = '';
    }
    return 1;
}

sub _take {
    my ($self, $length) = @_;
    while (length $self->{pending} < $length) {
        my $got = sysread $self->{socket}, $self->{pending}, 65_536, length $self->{pending};
        return if !$got;
    }
    return substr $self->{pending}, 0, $length, '';
}

# Returns a record, or nothing at the end of the connection.
sub read_record {
    my ($self) = @_;
    my $header = $self->_take(8);
    return if !defined $header;
    my ($version, $type, $id, $length, $padding) = unpack 'CCnnC', $header;
    my $content = $self->_take($length + $padding);
    return if !defined $content;
    return { type => $type, id => $id, content => substr($content, 0, $length) };
}

# Reads until END_REQUEST or the end of the connection.
sub response {
    my ($self) = @_;
    my %response = (stdout => '', stderr => '', ended => 0, stdout_records => 0);
    while (my $record = $self->read_record) {
        my $type = $record->{type};
        if    ($type == $TYPE{STDOUT}) { $response{stdout} .= $record->{content}; $response{stdout_records}++ }
        elsif ($type == $TYPE{STDERR}) { $response{stderr} .= $record->{content} }
        elsif ($type == $TYPE{END}) {
            @response{qw(app_status protocol_status)} = unpack 'NC', $record->{content};
            $response{ended} = 1;
            last;
        }
    }
    return \%response;
}

sub call {
    my ($self, $request) = @_;
    $self->send_bytes($self->request_bytes($request));
    return $self->response;
}

# A request on a new connection.
sub ask {
    my ($class, $address, %request) = @_;
    return $class->new($address)->call(\%request);
}

1;
