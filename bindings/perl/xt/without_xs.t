use strict;
use warnings;
use Test::More;

# What every request does is implemented twice, in C and in Perl. The other tests run with the
# compiled part; these run once more without it, as those of t/ffi.t do.

$ENV{FCGIPM_XS} = 0;
for my $test (qw(late_signals compat compat/inside managed fork_hooks originals/forking originals/functions originals/limits
    originals/print originals/read originals/request))
{
    my @lines = qx{$^X -Ilib xt/$test.t 2>&1};
    is($?, 0, "$test.t") or diag(@lines);
    cmp_ok(scalar(grep { /^ok / } @lines), '>', 3, "$test.t: has tests");
}

done_testing;
