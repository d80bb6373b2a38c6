# The packages are built from the source package, without the network, by the compiler of the suite.

# The root that builds is kept: only what debian/control asks for is added to it. $1: suite
builder() {
    builder=$root_store/$1/builder
    export ROOT_SHARE="$root_store"
    if [ -z "$(find "$builder.suite" -mmin -1200 2>/dev/null)" ]; then
        root_make "$1" "$builder"
    fi
    packaging/deb.sh source "$root_store/source"
    rm -rf "$builder/build/control"
    mkdir -p "$builder/build/control/debian"
    cp packaging/debian/control packaging/debian/changelog "$builder/build/control/debian/"
    root_apt "$builder" build-dep /build/control
}

# $1: suite, $2: directory for the packages, then a command that builds them in /build
built() {
    suite=$1 into=$root_store/$1/$2
    shift 2
    rm -rf "$into"
    mkdir -p "$into"
    root_run "$builder" "$@"
    mv "$builder"/build/*.deb "$builder"/build/*.changes "$builder"/build/*.buildinfo "$into/"
    chmod 644 "$into"/*
}

part_build() {
    builder "$1"
    rm -rf "$builder/build"
    mkdir -p "$builder/build"
    built "$1" debs sh -ec "
        rustc --version
        cd /build
        dpkg-source -x /share/source/fcgipm_$version-1.dsc fcgipm-$version
        cd fcgipm-$version
        dpkg-buildpackage -b -us -uc"
    for package in "$root_store/$1/debs"/*.deb; do
        printf 'measured: %9d bytes  %s\n' "$(stat -c %s "$package")" "${package##*/}"
    done
}
