# The library and the command that were built on Debian 12 run on Debian 13.

part_older() {
    [ "$1" = trixie ] || return 0
    older=$root_store/bookworm/debs
    [ -d "$older" ] || { echo "there are no packages of bookworm; type: make test-packages ROOTS='bookworm trixie'"; return 1; }
    root=$root_store/trixie/older
    root_make trixie "$root"
    ROOT_SHARE=$root_store/bookworm
    export ROOT_SHARE
    files=
    for package in libfcgipm0 libfcgipm-dev fcgipm fcgipm-doc; do
        files="$files $(cd "$older" && printf '/share/debs/%s' "${package}"_*.deb)"
    done
    # shellcheck disable=SC2086
    root_apt "$root" install $files gcc libc6-dev pkg-config libfcgi-dev
    cp -r packaging/debian/tests "$root/tests"
    for name in c-program libfcgi-program; do
        root_run "$root" sh -c "cd /tests && AUTOPKGTEST_TMP=\$(mktemp -d) && export AUTOPKGTEST_TMP && exec ./$name"
        echo "measured: $name: ok"
    done
}
