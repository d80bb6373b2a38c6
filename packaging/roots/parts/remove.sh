# Install, upgrade, remove, purge: after each the system is as it should be, and in the end as before.

# What is not the packages' own: apt's and dpkg's records, and caches that they rebuild.
listed() {
    (cd "$root" && find . -xdev \( -path ./var/lib/dpkg -o -path ./var/lib/apt -o -path ./var/cache -o -path ./var/log \
        -o -path ./share -o -path ./proc -o -path ./sys -o -path ./dev -o -path ./tmp -o -path ./etc/ld.so.cache \
        -o -path ./root -o -path ./etc/apt -o -path ./etc/resolv.conf \) -prune -o -printf '%y %m %u:%g %p\n' | LC_ALL=C sort)
}

part_remove() {
    root=$root_store/$1/remove
    ROOT_SHARE=$root_store/$1
    export ROOT_SHARE
    root_make "$1" "$root"
    mkdir -p "$root/share"
    # What the packages depend on comes first, so that only they are compared.
    root_apt "$root" install perl libffi-platypus-perl libgcc-s1
    listed >"$root.before"
    names='libfcgipm0 libfcgipm-dev libfcgipm-perl fcgipm fcgipm-doc'
    files() {
        (cd "$root_store/$1/$2" && printf "/share/$2/%s " *.deb) | tr ' ' '\n' | grep -v dbgsym
    }
    # shellcheck disable=SC2046
    root_apt "$root" install $(files "$1" debs)
    # shellcheck disable=SC2086
    root_run "$root" dpkg --verify $names
    if [ -d "$root_store/$1/debs.next" ]; then
        # shellcheck disable=SC2046
        root_apt "$root" install $(files "$1" debs.next)
        # shellcheck disable=SC2046
        root_apt "$root" --allow-downgrades install $(files "$1" debs)
    fi
    root_apt "$root" remove $names
    # Configuration stays after a removal (Debian's policy, 10.7.3), and goes with a purge.
    listed | diff "$root.before" - | grep '^[<>]' | grep -v ' \./etc/logrotate\.d\(/fcgipm\)\?$' >"$root.removed" || true
    [ ! -s "$root.removed" ] || { echo 'removing leaves:'; cat "$root.removed"; return 1; }
    root_apt "$root" install $(files "$1" debs)
    root_apt "$root" purge $names
    listed | diff "$root.before" - >"$root.purged" || { echo 'purging leaves:'; cat "$root.purged"; return 1; }
    ! root_run "$root" dpkg-query -W -f '${Package} ${db:Status-Status}\n' $names 2>/dev/null | grep -v 'not-installed' || return 1
    echo "measured: $(wc -l <"$root.before") files and directories before and after"
    rm -f "$root".before "$root".removed "$root".purged
}
