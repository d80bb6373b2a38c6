#!/bin/sh
# The archive for CPAN in a clean root: cpan.sh SUITE ROOT PACKAGES. ROOT is made, and PACKAGES is a directory with the
# Debian package of the library. Each step states what the root has, and inside/cpan.sh what must come out.
set -eu
cd "$(dirname "$0")/../.."
# shellcheck source=packaging/roots/root.sh
. packaging/roots/root.sh

its_suite=$1
place=$2
debs=$(cd "$3" && pwd)
[ -e "$debs"/libfcgipm0_*.deb ] || root_fail "$debs has no libfcgipm0_*.deb"

root_make "$its_suite" "$place"
chmod 755 "$place"
mkdir -p "$place/archive"
packaging/cpan.sh "$place/archive"
cp packaging/roots/inside/cpan.sh "$place/archive/inside.sh"
ROOT_SHARE=$debs
export ROOT_SHARE
library=/share/$(cd "$debs" && echo libfcgipm0_*.deb)

step() {
    root_run "$place" sh /archive/inside.sh "$@"
}

root_apt "$place" install cpanminus make gcc libc6-dev
step without_library
root_apt "$place" install "$library"
step with_compiler
root_apt "$place" install libffi-platypus-perl
step with_both
step chosen_without_compiler
# The name that perl calls the compiler by is in a package of its own from Debian 13 on.
root_apt "$place" purge gcc 'gcc-*-linux-gnu'
step without_compiler
root_apt "$place" purge libffi-platypus-perl
root_apt "$place" purge libfcgipm0
step library_removed
