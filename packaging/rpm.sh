#!/bin/sh
# RPM packages into target/rpm, from the archive of `make dist`. What each contains is compared with packaging/rpm/.
set -eu
cd "$(dirname "$0")/.."
umask 022
# rpmlint runs programs with a locale that need not be there, of which perl would complain.
export LC_ALL=C.UTF-8 PERL_BADLANG=0

fail() {
    echo "make rpm: $*" >&2
    exit 1
}

version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
sources=target/dist/fcgipm-$version.tar.xz
[ -f "$sources" ] || fail "$sources is missing: type 'make dist' first"
packaged=$(sed -n 's/^Version: *//p' packaging/fcgipm.spec)
[ "$packaged" = "$version" ] || fail "packaging/fcgipm.spec is for $packaged, and Cargo.toml has $version: change its Version"
for tool in rpmbuild rpmlint; do
    command -v $tool >/dev/null || fail "$tool is missing; type: apt-get install rpm rpmlint"
done

top=$PWD/target/rpm
rm -rf "$top"
mkdir -p "$top/SOURCES"
cp "$sources" "$top/SOURCES/"
# Outside Fedora the packages that it names are installed under other names.
nodeps=
[ -e /etc/fedora-release ] || nodeps=--nodeps
rpmbuild $nodeps --define "_topdir $top" -ba packaging/fcgipm.spec >"$top/build.log" 2>&1 ||
    { tail -n 30 "$top/build.log" >&2; fail "rpmbuild failed: see target/rpm/build.log"; }
find "$top/RPMS" "$top/SRPMS" -name '*.rpm' -exec mv {} "$top/" \;
rm -rf "$top/BUILD" "$top/BUILDROOT" "$top/RPMS" "$top/SRPMS" "$top/SOURCES" "$top/SPECS"

# Names that differ between systems are those of macros.
libdir=$(rpm --eval '%{_libdir}')
vendorarch=$(perl -MConfig -e 'print $Config{installvendorarch}')
different=
for package in "$top"/*.rpm; do
    name=$(rpm -qp --qf '%{NAME}' "$package" 2>/dev/null)
    case $package in *.src.rpm) continue ;; *-debuginfo-* | *-debugsource-*) continue ;; esac
    rpm -qlp "$package" 2>/dev/null | sed -e "s|$version|VERSION|" -e "s|^$vendorarch|VENDORARCH|" -e "s|^$libdir|LIBDIR|" -e 's/\.gz$//' \
        -e '/^\/usr\/lib\/\.build-id/d' | LC_ALL=C sort >"$top/$name.files"
    [ -z "${UPDATE:-}" ] || { mkdir -p packaging/rpm; cp "$top/$name.files" "packaging/rpm/$name.files"; }
    diff -u "packaging/rpm/$name.files" "$top/$name.files" || different="$different $name"
done
[ -z "$different" ] || fail "other files than in packaging/rpm:$different; if they are right, type: UPDATE=1 make rpm"
rpmlint -c packaging/rpm/rpmlint.toml "$top"/*.rpm >"$top/rpmlint.txt" 2>&1 || { cat "$top/rpmlint.txt"; fail "rpmlint has found something"; }
tail -n 1 "$top/rpmlint.txt"
ls -l "$top"/*.rpm | awk '{ printf "%10d  %s\n", $5, $9 }'
