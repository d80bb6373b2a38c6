# Packages of the next two releases, from the tree that `build` has left: only the number is another, and in the later
# one that of the layout, too. They are compiled quickly: what is tested is how they replace each other.

# $1: suite, $2: directory, then version and layout
release() {
    suite=$1 into=$2
    shift 2
    cp packaging/roots/inside/set_version.pl "$builder/build/"
    built "$suite" "$into" sh -ec "
        cd /build/fcgipm-$version
        perl ../set_version.pl $*
        dh_clean -Xvendor/
        export CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_OPT_LEVEL=1 CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16
        DEB_BUILD_OPTIONS=noautodbgsym dpkg-buildpackage -b -nc -us -uc"
}

part_next() {
    builder=$root_store/$1/builder
    ROOT_SHARE=$root_store
    export ROOT_SHARE
    [ -d "$builder/build/fcgipm-$version/target" ] || part_build "$1"
    release "$1" debs.next "$next_version"
    # The layout differs in the last suite only: it is the same code.
    [ "$1" = "${suites##* }" ] || return 0
    release "$1" debs.later "$later_version" 99
}
