use strict;
use warnings;
use File::Find ();
use Test::More;

# The shape of the modules: each loads what it refers to, none import each other in a circle, and no
# file has more than 400 lines.

my (@files, %code);
File::Find::find({ wanted => sub { push @files, $_ if /\.(?:pm|pod|[chtx]|fcgi)\z/ }, no_chdir => 1 }, qw(lib xs t examples));
for my $path (sort @files) {
    open my $file, '<', $path or die "$path: $!";
    my @lines = <$file>;
    cmp_ok(scalar @lines, '<=', 400, "$path: at most 400 lines");
    my ($module) = $path =~ m{\Alib/(.*)\.pm\z} or next;
    my $text = join '', @lines;
    $text =~ s/^__END__\n.*//ms;
    # Names in comments and strings are not references.
    $text =~ s/(?:^|\s)#.*|'[^'\n]*'|"[^"\n]*"//mg;
    $code{ $module =~ s{/}{::}gr } = $text;
}

my %refers_to;
for my $module (sort keys %code) {
    my %loaded = map { $_ => 1 } $code{$module} =~ /^\s*(?:use|require) (?:parent -norequire, )?(FCGIPM[\w:]*)/mg;
    # `use parent 'MODULE'` is a string.
    $loaded{'FCGIPM::Stream'} = 1 if $module =~ /\AFCGIPM::Stream::(?:In|Out)put\z/;
    my %named;
    while ($code{$module} =~ /\b(FCGIPM(?:::\w+)*)/g) {
        my $name = $1;
        $name =~ s/::\w+\z// or last until exists $code{$name} || $name !~ /::/;
        $named{$name} = 1 if $name ne $module && $name ne 'FCGIPM' && exists $code{$name};
    }
    is_deeply([ grep { !$loaded{$_} } sort keys %named ], [], "$module: loads the modules that it refers to");
    $refers_to{$module} = { %named, %loaded };
}

# A circle that contains the last module of this path, or nothing.
my %is_done;
sub circle {
    my (@path) = @_;
    for my $next (sort keys %{ $refers_to{ $path[-1] } || {} }) {
        return join ' -> ', @path, $next if grep { $_ eq $next } @path;
        next if $is_done{$next};
        my $found = circle(@path, $next);
        return $found if $found;
    }
    $is_done{ $path[-1] } = 1;
    return;
}
is(join("\n", grep { defined } map { scalar circle($_) } sort keys %refers_to), '', 'no circle of imports');

done_testing;
