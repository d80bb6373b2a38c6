# The shipped units in a machine that runs systemd: see inside/systemd.sh. Once with the seccomp filter of systemd-nspawn,
# which refuses pidfd_getfd(2), and once without.

part_systemd() {
    # systemd keeps sockets for a restart from version 254 on.
    [ "$1" != bookworm ] || { echo 'measured: not on Debian 12: its systemd keeps no sockets'; return; }
    root_with "$1" systemd "$root_store/$1/debs" systemd systemd-sysv dbus gcc libc6-dev pkg-config
    mkdir -p "$root/srv"
    cp -r packaging/roots/inside "$root/inside"
    # shellcheck disable=SC2016
    root_run "$root" sh -c 'cc -std=c11 /usr/share/doc/fcgipm/examples/c/hello.c -o /srv/hello $(pkg-config --cflags --libs fcgipm)'
    for filter in without with; do
        case $filter in
            without) machine_boot "$root" --system-call-filter=pidfd_getfd ;;
            with) machine_boot "$root" ;;
        esac
        echo "measured: $filter a seccomp filter of the machine"
        code=0
        machine_run sh /inside/systemd.sh || code=$?
        if [ $code != 0 ]; then
            machine_off failed
            return $code
        fi
        machine_off stopped
        rm -rf "$root/etc/fcgipm" "$root/srv/deploy"
    done
}
