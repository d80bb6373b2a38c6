# An upgrade and a reload under load lose no request: see inside/upgrade.sh.

part_upgrade() {
    [ -d "$root_store/$1/debs.next" ] || root_fail "there are no packages of the next release; type: make test-packages PARTS='build next upgrade'"
    root_with "$1" upgrade "$root_store/$1/debs" gcc libc6-dev pkg-config libcgi-pm-perl fcgiwrap
    cp -r packaging/roots/inside "$root/inside"
    cp packaging/debian/tests/common.sh "$root/inside/"
    root_run "$root" /inside/upgrade.sh "$next_version" /share/debs.next
}
