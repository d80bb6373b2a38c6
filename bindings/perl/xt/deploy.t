use strict;
use warnings;
use lib qw(t/lib xt/lib);
use Test::More;
use File::Temp ();
use Workers;

# Each worker loads the application. A deploy changes the file, and HUP loads it.

my $dir = File::Temp->newdir;

sub deploy {
    my ($text) = @_;
    open my $file, '>', "$dir/App.pm.new" or die "App.pm: $!";
    print {$file} "package App;\nuse strict; use warnings;\n$text\n1;\n";
    close $file or die "App.pm: $!";
    rename "$dir/App.pm.new", "$dir/App.pm" or die "App.pm: $!";
    return;
}

my $LOOP = <<'LOOP';
require App;
while ($request->Accept >= 0) {
    $pm->pm_pre_dispatch;
    print "Content-Type: text/plain\r\n\r\nworker $$ version ", App::version();
    $pm->pm_post_dispatch;
}
LOOP

sub start {
    my ($options) = @_;
    return daemon(options => "n_processes => 2, $options", before => "use lib '$dir';", loop => $LOOP);
}

# The first answer may come while the other worker starts, which must not load the next version.
sub all_are_ready {
    my ($daemon) = @_;
    my $workers;
    do { $workers = status($daemon)->{workers} } until @$workers == 2 && !grep { $_->{state} eq 'starting' } @$workers;
    return;
}

sub versions { my ($daemon) = @_; return { map { ($_->{stdout} =~ /version (\w+)/)[0] => 1 } map { $daemon->ask } 1 .. 10 } }

deploy('sub version { "one" } warn "deprecated: one\n";');
my $daemon = start('');
is_deeply(versions($daemon), { one => 1 }, 'the first version serves');
is(status($daemon)->{reload}{state}, 'none', 'there was no reload yet');

deploy('sub version { "two" ');
$daemon->signal('HUP');
my $line = $daemon->wait_for(qr/(reload failed.*)/);
like($line, qr/worker \(pid \d+\) exited with status \d+ before it was ready; its last lines on standard error:/, 'a syntax error ends the reload');
like($line, qr{Missing right curly .* at \Q$dir\E/App\.pm line \d+}, 'the log has perl\'s message');
like($line, qr/Compilation failed in require at \S+ line \d+\.\z/, 'up to its last line');
is_deeply(versions($daemon), { one => 1 }, 'the first version continues to serve');
my $reload = status($daemon)->{reload};
is($reload->{state}, 'failed', 'fcgipm status shows the failure');
is($reload->{message}, $line, 'and the reason');
is($reload->{failed}, 1, 'and the number of failures');

deploy('use No::Such::Module; sub version { "three" }');
$daemon->signal('HUP');
like($daemon->wait_for(qr/(reload failed.*)/), qr{Can't locate No/Such/Module\.pm in \@INC}, 'the next reload fails for another reason');
is_deeply(versions($daemon), { one => 1 }, 'the first version continues to serve');
is(status($daemon)->{reload}{failed}, 2, 'fcgipm status counts both');

deploy('sub version { "four" } warn "deprecated: four\n";');
$daemon->signal('HUP');
$daemon->wait_for(qr/reload done/);
$daemon->wait_for(qr/exited with status 0/) while 2 > (() = $daemon->log =~ /exited with status 0/g);
is_deeply(versions($daemon), { four => 1 }, 'a correct version is loaded by the next HUP');
$reload = status($daemon)->{reload};
is("@$reload{qw(state done failed)}", 'done 1 2', 'fcgipm status shows it');
is($daemon->stop, 0, 'TERM stops it');
is(scalar(() = $daemon->log =~ /^deprecated: $_$/mg), 2, "$_: the warning of each worker is logged once") for qw(one four);
is(scalar(() = $daemon->log =~ /^Missing right curly/mg), 1, 'so is the error');

# A version that hangs.
deploy('sub version { "one" }');
$daemon = start('start_timeout => 0.5');
is_deeply(versions($daemon), { one => 1 }, 'another daemon');
all_are_ready($daemon);
deploy('warn "waiting for the database\n"; sleep 60;');
$daemon->signal('HUP');
like($daemon->wait_for(qr/(reload failed.*)/), qr/was not ready within start_timeout = 500ms; its last lines on standard error: .*waiting for the database\z/,
    'a version that hangs ends the reload');
is_deeply(versions($daemon), { one => 1 }, 'the first version continues to serve');
deploy('sub version { "two" }');
$daemon->signal('HUP');
$daemon->wait_for(qr/reload done/);
$daemon->stop;

# Without catch_start_stderr, a worker's output is in the log, but not in the line about the
# failure.
deploy('sub version { "one" }');
$daemon = start('catch_start_stderr => 0');
is_deeply(versions($daemon), { one => 1 }, 'another daemon');
deploy('die "not today\n";');
$daemon->signal('HUP');
like($daemon->wait_for(qr/(reload failed.*)/), qr/exited with status \d+ before it was ready\z/, 'catch_start_stderr => 0');
$daemon->stop;
like($daemon->log, qr/^not today$/m, 'the worker\'s message is logged separately');

done_testing;
