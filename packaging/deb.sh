#!/bin/sh
# Debian packages into target/deb: source package, binary packages, .changes and .buildinfo.
#
#     packaging/deb.sh [source] [DIRECTORY]
#
# `source` stops after the source package, which needs no compiler. Sources are those of `make dist`.
set -eu
cd "$(dirname "$0")/.."
umask 022

only=
[ "${1:-}" != source ] || { only=source; shift; }
into=${1:-target/deb}

fail() {
    echo "make deb: $*" >&2
    exit 1
}

version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
sources=target/dist/fcgipm-$version.tar.xz
[ -f "$sources" ] || fail "$sources is missing: type 'make dist' first"
packaged=$(sed -n '1s/^fcgipm (\(.*\)-[^-]*) .*/\1/p' packaging/debian/changelog)
[ "$packaged" = "$version" ] ||
    fail "packaging/debian/changelog is for $packaged, and Cargo.toml has $version: add an entry (dch -v $version-1)"

rm -rf "$into"
mkdir -p "$into"
work=$(mktemp -d "$into/.build.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM HUP
cp "$sources" "$work/fcgipm_$version.orig.tar.xz"
tar -C "$work" -xf "$sources"
tree=$work/fcgipm-$version
cp -r packaging/debian "$tree/debian"
packaging/copyright.pl "$tree" >"$tree/debian/copyright"
rm -f "$tree/debian/copyright.in"

if [ "$only" = source ]; then
    (cd "$work" && dpkg-source -b "fcgipm-$version") >"$work/log" 2>&1 ||
        { cat "$work/log" >&2; fail "dpkg-source failed"; }
    mv "$work"/fcgipm_* "$into/"
    exit 0
fi

# What debian/control asks for is there, except for a Rust toolchain that may come from elsewhere: the one that `make
# build` uses. A root of the tests (packaging/roots) builds with Debian's.
missing=$(cd "$tree" && dpkg-checkbuilddeps 2>&1 | sed 's/.*: //' | tr -s ' ' '\n' |
    sed -n 's/^\([a-z][a-z0-9+.-]*\).*/\1/p' | grep -v -x -e 'dpkg-checkbuilddeps' -e 'cargo.*' -e 'rustc.*' | paste -sd ' ' -)
[ -z "$missing" ] || fail "packages are missing: $missing; type: apt-get install $missing"
command -v cargo >/dev/null || fail "cargo is missing; type: apt-get install cargo"
# Its home is that of the user, and not the one that debhelper gives to builds.
[ ! -d "${RUSTUP_HOME:-$HOME/.rustup}" ] || export RUSTUP_HOME="${RUSTUP_HOME:-$HOME/.rustup}"

log=$into/build.log
(cd "$tree" && dpkg-buildpackage -d -us -uc) >"$log" 2>&1 || { tail -n 30 "$log" >&2; fail "the build failed: see $log"; }
for file in "$work"/fcgipm_* "$work"/*.deb; do
    [ ! -f "$file" ] || mv "$file" "$into/"
done
ls -l "$into" | awk 'NR > 1 { printf "%10d  %s\n", $5, $9 }'
