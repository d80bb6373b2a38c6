# The archive for CPAN, in a root that has only the library and its header.

part_cpan() {
    [ -x packaging/roots/cpan.sh ] || root_fail "packaging/roots/cpan.sh is missing"
    root=$root_store/$1/cpan
    packaging/roots/cpan.sh "$1" "$root" "$root_store/$1/debs"
}
