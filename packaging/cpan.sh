#!/bin/sh
# Packs the Perl distribution: cpan.sh DIRECTORY makes DIRECTORY/FCGIPM-VERSION.tar.gz, the same bytes for the same
# commit. Needs perl and make alone.
set -eu
cd "$(dirname "$0")/.."
perl=${PERL:-perl}
mkdir -p "$1"
into=$(cd "$1" && pwd)
: "${SOURCE_DATE_EPOCH:=$(git log -1 --format=%ct 2>/dev/null || stat -c %Y bindings/perl/MANIFEST)}"
export SOURCE_DATE_EPOCH
unset PERL5OPT PERL_MM_OPT MAKEFLAGS MFLAGS MAKELEVEL

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM HUP

# Makefile.PL runs in a copy: nothing is written into the source tree.
cp -RL bindings/perl "$work/source"
cd "$work/source"
run() {
    "$@" >"$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }
}
run "$perl" Makefile.PL ONLY_PACK=1
run make distdir

archive=$(cd "$work/source" && echo FCGIPM-*)
find "$archive" -type d -exec chmod 755 {} +
find "$archive" -type f -exec chmod 644 {} +
tar --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner --format=ustar -cf - "$archive" |
    gzip -9n >"$work/archive"
mv "$work/archive" "$into/$archive.tar.gz"
echo "$into/$archive.tar.gz"
