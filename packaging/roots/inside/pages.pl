#!/usr/bin/perl
# Executes the command blocks of README.md, docs/MIGRATING.md and docs/PROGRAMS.md as they are written, in a root with the
# installed packages, whose directories, ports and users are those that the pages assume. pages_table.pm says of each
# block what it is; a block that it does not know, and an entry without a block, is an error.
#
#     pages.pl list     each block and what becomes of it
#     pages.pl run
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin, '/pages/client';
use POSIX ();
use Time::HiRes ();

use FastCGIClient;
use pages_table;
use pages_machine;

my $PAGES = $ENV{PAGES} || '/pages';

sub slurp {
    open my $in, '<', $_[0] or die "$_[0]: $!\n";
    local $/;
    return scalar <$in>;
}

sub spew {
    my ($path, $text) = @_;
    open my $out, '>', $path or die "$path: $!\n";
    print {$out} $text;
    close $out or die "$path: $!\n";
    return;
}

# Indented blocks, and fenced ones: [ page, line, text ]
sub blocks {
    my ($page) = @_;
    my (@blocks, $block, $fence);
    my ($number, $blank) = (0, 1);
    for my $line (split /\n/, slurp("$PAGES/$page")) {
        $number++;
        if ($line =~ /^\s*```/) {
            ($fence, $block) = $fence ? (0, undef) : (1, [ $page, $number + 1, '' ]);
            push @blocks, $block if $fence;
        }
        elsif ($fence || $line =~ /^ {4,}\S/ && ($block || $blank)) {
            # A file that is shown begins with its name.
            push @blocks, $block = [ $page, $number, '' ] if !$block || $blank && $line =~ m{^ +# /};
            $block->[2] .= "$line\n";
        }
        elsif ($line =~ /\S/) { undef $block }
        elsif ($block) { $block->[2] .= "\n" }
        $blank = $line !~ /\S/;
    }
    for my $block (@blocks) {
        my ($indent) = $block->[2] =~ /\A( *)/;
        $block->[2] =~ s/^$indent//mg;
        $block->[2] =~ s/\n+\z/\n/;
    }
    return @blocks;
}

my (@running, $failed, $name, @plan);

sub broken {
    my ($what) = @_;
    $failed++;
    print "FAILED: $name: $what\n";
    my $log = eval { slurp('/tmp/log') } || '';
    my @lines = split /\n/, $log;
    print "    $_\n" for @lines > 15 ? @lines[ -15 .. -1 ] : @lines;
    return;
}

# In a group of its own, with its output in a file.
sub start {
    my ($command, %with) = @_;
    my $pid = fork // die "fork: $!";
    if (!$pid) {
        setpgrp;
        open STDIN,  '<', '/dev/null';
        open STDOUT, '>', $with{log} || '/tmp/log';
        open STDERR, '>&', \*STDOUT;
        chdir($with{in} || '/srv/app') or POSIX::_exit(126);
        exec 'sh', '-c', $command or POSIX::_exit(127);
    }
    push @running, $pid;
    return $pid;
}

sub ended {
    my ($pid) = @_;
    for (1 .. 900) {
        return $? if waitpid($pid, POSIX::WNOHANG()) == $pid;
        Time::HiRes::sleep(0.1);
    }
    kill KILL => -$pid;
    waitpid $pid, 0;
    return -1;
}

sub ask {
    my ($address, %params) = @_;
    $address =~ s/\A:/127.0.0.1:/;
    my %all = (
        REQUEST_METHOD => 'GET', REQUEST_URI => '/', SCRIPT_NAME => '', PATH_INFO => '/', QUERY_STRING => '', SERVER_NAME => 'here.example',
        SERVER_PORT => 80, SERVER_PROTOCOL => 'HTTP/1.1', HTTP_HOST => 'here.example', REMOTE_ADDR => '127.0.0.1', %params,
    );
    my $role = delete $all{ROLE};
    local $SIG{ALRM} = sub { die "no answer\n" };
    alarm 60;
    my $answer = eval { FastCGIClient->ask($address, params => [%all], $role ? (role => $role) : ()) };
    alarm 0;
    return $answer && $answer->{stdout};
}

sub listens {
    my ($address) = @_;
    for (1 .. 300) {
        return 1 if IO::Socket::INET->new(PeerAddr => $address);
        Time::HiRes::sleep(0.1);
    }
    return broken("nobody listens at $address");
}

sub answered {
    my ($address, $expected, @params) = @_;
    my $text;
    for (1 .. 600) {
        $text = ask($address, @params);
        last if defined $text && length $text;
        Time::HiRes::sleep(0.1);
    }
    return broken("nobody answers at $address") if !defined $text;
    return broken("the answer is not like $expected: " . substr $text, 0, 300) if $text !~ $expected;
    return 1;
}

# A command that serves until it is stopped: it answers, also after a reload.
sub serve {
    my ($command, $with) = @_;
    my ($address) = $with->{address} || $command =~ /(?:FCGI_SOCKET_PATH=|FCGIPM_LISTEN=|--listen |-l |spawn-fcgi -s )(\S+)/;
    unlink $address if $address =~ m{^/};
    my $pid = start("exec env $command");
    if (answered($address, $with->{answers}, @{ $with->{params} || [] }) && !$with->{no_reload}) {
        kill HUP => $pid;
        my $done;
        for (1 .. 900) {
            last if $done = slurp('/tmp/log') =~ /reload done/;
            Time::HiRes::sleep(0.1);
        }
        broken('no reload') if !$done;
        answered($address, $with->{answers}, @{ $with->{params} || [] });
    }
    kill TERM => $pid;
    my $status = ended($pid);
    broken("ends with status $status") if $status && !$with->{any_end};
    return;
}

my %DO = (
    # Exit status 0, and the expected text. What it leaves in the background runs until a block with `stop`.
    run => sub {
        my ($text, $with) = @_;
        my ($background) = $with->{background} ? grep { $_ =~ $with->{background} } split /\n/, $text : ();
        if (defined $background) {
            start($background, log => '/tmp/background');
            $text =~ s/^\Q$background\E\n//m;
            Time::HiRes::sleep(1);
        }
        spew('/tmp/block', $text);
        my $status = ended(start('exec sh -e /tmp/block', in => $with->{in}));
        broken("ends with status $status") if ($status != 0) != !!$with->{fails};
        broken("no $with->{says}") if $with->{says} && slurp('/tmp/log') !~ $with->{says};
        listens($_) for @{ $with->{listens} || [] };
        serve($with->{then}, $with) if $with->{then};
    },
    # In front of what the README's example starts.
    nginx => sub {
        my ($text) = @_;
        spew('/tmp/nginx.conf', "pid /tmp/nginx.pid; events { } http { access_log off; root /etc/nginx;\n" . ($text =~ s{include fastcgi_params}{include /etc/nginx/fastcgi_params}r) . '}');
        my $pid = start('exec env FCGI_SOCKET_PATH=127.0.0.1:9005 perl /usr/share/doc/libfcgipm-perl/examples/daemon.fcgi');
        answered('127.0.0.1:9005', qr/./);
        system('/usr/sbin/nginx', '-c', '/tmp/nginx.conf') == 0 or return broken('nginx does not start');
        my $answer = `curl -sS --max-time 20 http://127.0.0.1:8081/env 2>&1`;
        broken("nginx: $answer") if $answer !~ m{PATH_INFO\W+/env};
        system('/usr/sbin/nginx', '-c', '/tmp/nginx.conf', '-s', 'stop');
        kill TERM => $pid;
        broken('the daemon does not end with status 0') if ended($pid);
    },
    serve => sub {
        my ($text, $with) = @_;
        $text =~ s/\\\n\s*/ /g;
        for my $command (split /\n/, $text) {
            $command =~ s/\s+#.*//;
            serve($command, { %$with, %{ ref $with->{each} eq 'CODE' ? $with->{each}->($command) : {} } }) if $command =~ /\S/;
        }
    },
    migrate => sub {
        my ($text, $with) = @_;
        my ($command) = $text =~ /^after +(\S.*)$/m or return broken('has no command after the migration');
        serve($command, $with);
    },
    # What the units of a page have in common: `unit_lines` uses it.
    unit_frame => sub { },
    # The lines of one, in the place of a comment. systemd accepts the unit, and finds its program.
    unit_lines => sub {
        my ($text) = @_;
        my ($unit) = map { $_->[2] } grep { $_->[3]{do} eq 'unit_frame' } @plan;
        $unit =~ s/^# The lines of the section\.\n/$text/m or return broken('the unit has no place for the lines of a section');
        $unit =~ s/\A#.*\n//;
        mkdir '/tmp/units';
        spew('/tmp/units/page.service', $unit);
        my $status = ended(start('exec systemd-analyze verify --man=no /tmp/units/page.service'));
        my $log = slurp('/tmp/log');
        broken("systemd-analyze: $log") if $status || $log =~ /page\.service/;
    },
    # The settings of an instance of fcgipm-perl@.service, whose directory systemd makes.
    perl_env => sub {
        my ($text, $with) = @_;
        my %is = $text =~ /^(\w+)=(.*)$/mg;
        my $program = delete $is{PROGRAM};
        mkdir '/run/fcgipm-perl';
        serve(join(' ', (map { "$_=$is{$_}" } sort keys %is), "PERL5OPT=-MFCGIPM::Compat perl $program"), $with);
    },
    # The pools of an instance of fcgipm@.service.
    pools => sub {
        my ($text, $with) = @_;
        my ($address) = $text =~ /^listen = "(.*)"$/m;
        spew('/tmp/pools.toml', $text);
        serve('fcgipm run --config /tmp/pools.toml', { %$with, address => $address });
    },
    file => sub {
        my ($text, $with) = @_;
        spew($with->{to}, $text =~ s/\A# .*\n//r);
    },
);

my @all = map { blocks($_) } 'README.md', 'docs/MIGRATING.md', 'docs/PROGRAMS.md';
my (%used, %count);
for my $block (@all) {
    my ($page, $line, $text) = @$block;
    my ($first) = $text =~ /\A(.*)/;
    my ($entry) = grep { $_->{page} eq $page && $text =~ $_->{like} } @pages_table::TABLE;
    if (!$entry) {
        print "FAILED: $page:$line: pages_table.pm does not know the block that begins with: $first\n";
        $failed++;
        next;
    }
    $used{$entry}++;
    $count{ $entry->{do} }++;
    push @plan, [ "$page:$line", $first, $text, $entry ];
}
for my $entry (grep { !$used{$_} } @pages_table::TABLE) {
    print "FAILED: pages_table.pm: no block of $entry->{page} is like $entry->{like}\n";
    $failed++;
}
if (($ARGV[0] || '') eq 'list') {
    printf "%-24s %-8s %s\n", $_->[0], $_->[3]{do}, $_->[3]{reason} || $_->[1] for @plan;
    exit($failed ? 1 : 0);
}

pages_machine::make();
for my $step (@plan) {
    ($name, my $first, my $text, my $entry) = @$step;
    next if $entry->{do} eq 'none';
    print "$name: $first\n";
    my @before = pages_machine::before($entry->{before});
    $DO{ $entry->{do} }->($text, $entry);
    pages_machine::after(@before);
    if ($entry->{stop}) { kill KILL => map { -$_ } splice @running }
}
END { kill KILL => map { -$_ } @running }
print 'measured: ', join(', ', map { "$count{$_} blocks $_" } sort keys %count), "\n";
exit($failed ? 1 : 0);
