# A manager of one release with workers of another whose layout differs, in both directions: see inside/skew.sh.

part_skew() {
    # Only one suite has such packages.
    [ -d "$root_store/$1/debs.later" ] || { [ "$1" != "${suites##* }" ]; return; }
    root_with "$1" skew "$root_store/$1/debs" gcc libc6-dev pkg-config fcgiwrap
    cp -r packaging/roots/inside "$root/inside"
    cp packaging/debian/tests/common.sh "$root/inside/"
    root_run "$root" /inside/skew.sh "$later_version" /share/debs.later
}
