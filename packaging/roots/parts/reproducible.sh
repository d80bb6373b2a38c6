# A second build, in another directory, time zone, locale and with other permissions for new files, has the same bytes.

part_reproducible() {
    # Once is enough: it takes as long as a build.
    case " $suites " in
        *" trixie "*) [ "$1" = trixie ] || return 0 ;;
    esac
    builder "$1"
    rm -rf "$builder/build"
    mkdir -p "$builder/build"
    built "$1" again sh -ec "
        umask 002
        export TZ=Pacific/Kiritimati LC_ALL=C LANGUAGE=de HOME=/tmp USER=somebody
        mkdir -p /build/further/away
        cd /build/further/away
        dpkg-source -x /share/source/fcgipm_$version-1.dsc tree
        cd tree
        dpkg-buildpackage -b -us -uc
        mv ../*.deb ../*.changes ../*.buildinfo /build/"
    cd "$root_store/$1/debs"
    for package in *.deb; do
        cmp "$package" "../again/$package" || different="${different:-} $package"
    done
    [ -z "${different:-}" ] || { echo "not the same bytes:$different (in $root_store/$1/debs and again)"; return 1; }
    echo "measured: $(ls ./*.deb | wc -l) packages have the same bytes"
    rm -rf "$root_store/$1/again"
}
