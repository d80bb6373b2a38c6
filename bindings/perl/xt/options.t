use strict;
use warnings;
use Test::More;

use FCGIPM::ProcManager;

# Every option can be a parameter. The list is the library's own.
{
    open my $page, '<', '../../docs/OPTIONS.md' or die "OPTIONS.md: $!";
    my %default = map { /^\| `(\w+)` \| `FCGIPM_\w+` \| [^|]* \| (?:`([^`]*)`)?/ ? ($1 => $2 // '') : () } <$page>;
    cmp_ok(scalar(keys %default), '>', 40, 'the page lists the options');
    for my $name (sort keys %default) {
        my $pm = eval { FCGIPM::ProcManager->new({ $name => $default{$name} }) };
        is($@, '', "$name is a parameter");
        is($pm->pm_parameter($name), $default{$name}, 'which can be read');
        next if $default{$name} !~ /\A\d+[mkg]?\z/;
        is(eval { FCGIPM::ProcManager->new({ $name => 'x' }); 1 }, undef, 'a bad value is refused');
        like($@, qr/\Aoption $name: 'x' is .* at xt\/options\.t line \d+\.$/, 'and named');
    }
}

done_testing;
