# All that lintian has to say, of which errors and warnings are not accepted.

part_lintian() {
    root=$root_store/$1/builder
    [ -d "$root" ] || root_fail "there is no builder root; type: make test-packages PARTS='build lintian'"
    ROOT_SHARE=$root_store
    export ROOT_SHARE
    root_apt "$root" install lintian
    # The sources are the same in all suites, and take longer than all packages.
    sources=
    [ "$1" != "${suites##* }" ] || sources='/share/source/*.dsc'
    root_run "$root" sh -c "lintian --allow-root -EviIL +pedantic /share/$1/debs/*.changes $sources" \
        >"$root_store/$1/lintian.txt" 2>&1 || true
    cat "$root_store/$1/lintian.txt"
    # It printed its findings and has an exit status of its own for errors only.
    grep -q . "$root_store/$1/lintian.txt" || { echo 'lintian printed nothing'; return 1; }
    for letter in E W I P O; do
        printf 'measured: lintian %s: %s\n' $letter "$(grep -c "^$letter: " "$root_store/$1/lintian.txt" || true)"
    done
    ! grep '^[EW]: ' "$root_store/$1/lintian.txt"
}
