# The shipped units, and those of the pages, in a machine that runs systemd: see inside/systemd*.sh. On the last suite also
# with the seccomp filter of systemd-nspawn, which refuses pidfd_getfd(2).

part_systemd() {
    [ -d "$root_store/$1/debs.next" ] || root_fail "there are no packages of the next release; type: make test-packages PARTS='build next systemd'"
    root_with "$1" systemd "$root_store/$1/debs" systemd systemd-sysv dbus gcc libc6-dev pkg-config
    mkdir -p "$root/srv"
    cp -r packaging/roots/inside "$root/inside"
    cp docs/MIGRATING.md "$root/inside/"
    cp -r "$root_store/$1/debs.next" "$root/next"
    # shellcheck disable=SC2016
    root_run "$root" sh -c 'cc -std=c11 /usr/share/doc/fcgipm/examples/c/hello.c -o /srv/hello $(pkg-config --cflags --libs fcgipm)'
    [ "$1" != "${suites##* }" ] || machine_rows with systemd.sh
    machine_rows without systemd.sh systemd_services.sh "systemd_upgrade.sh $next_version"
}

# Runs scripts in the machine. $1: with or without the filter
machine_rows() {
    filter=$1
    shift
    case $filter in
        without) machine_boot "$root" --system-call-filter=pidfd_getfd ;;
        with) machine_boot "$root" ;;
    esac
    echo "measured: $filter a seccomp filter of the machine"
    code=0
    for script in "$@"; do
        # shellcheck disable=SC2086
        [ $code != 0 ] || machine_run sh /inside/$script || code=$?
    done
    if [ $code != 0 ]; then
        machine_off failed
        return $code
    fi
    machine_off stopped
    rm -rf "$root/etc/fcgipm" "$root/srv/deploy"
}
