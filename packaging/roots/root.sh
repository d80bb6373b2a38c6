#!/bin/sh
# Clean Debian roots to build and test packages in. Sourced by the other scripts here.
#
#     root_make SUITE DIR              a new root, only with what every Debian system has
#     root_apt DIR ARGUMENTS...        apt-get in it, with the network
#     root_run DIR COMMAND...          a command in it, without any network but its own loopback
#     root_remove DIR                  nothing of it is left
#
# A root is unpacked from an archive that is made once a day, beside the build (target/roots). Everything that runs in
# one has process numbers and mounts of its own, so that nothing stays behind: neither a daemon nor a mount.

root_store=${ROOT_STORE:-$PWD/target/roots}

root_fail() {
    echo "packaging/roots: $*" >&2
    exit 1
}

# The archive of Debian that this machine's apt uses. $1: Debian, or Debian-Security
root_mirror() {
    # shellcheck disable=SC2016
    uri=$(apt-get indextargets --format '$(LABEL) $(REPO_URI)' 'Created-By: Packages' |
        sed -n "s/^$1 //p" | sort -u | head -n 1)
    [ -n "$uri" ] || root_fail "apt has no list of $1 to take the mirror from; type: apt-get update"
    echo "${uri%/}"
}

root_needs() {
    [ "$(id -u)" = 0 ] || root_fail "making roots needs root; type: sudo make test-packages"
    for tool in debootstrap unshare; do
        command -v $tool >/dev/null 2>&1 || root_fail "$tool is missing; type: apt-get install debootstrap util-linux"
    done
}

# $1: suite. The archive that roots are unpacked from.
root_archive() {
    archive=$root_store/$1.tar
    mkdir -p "$root_store"
    # Older lists of packages name files that a mirror may no longer have.
    [ -z "$(find "$archive" -mmin -1200 2>/dev/null)" ] || return 0
    work=$(mktemp -d "$root_store/.$1.XXXXXX")
    # Other users than root need it, too.
    chmod 755 "$work"
    mirror=$(root_mirror Debian) || exit 1
    security=$(root_mirror Debian-Security) || exit 1
    debootstrap --variant=minbase "$1" "$work" "$mirror" >"$root_store/$1.log" 2>&1 ||
        { tail -n 5 "$root_store/$1.log" >&2; rm -rf "$work"; root_fail "debootstrap $1 failed: see $root_store/$1.log"; }
    for line in "$mirror $1" "$mirror $1-updates" "$security $1-security"; do
        echo "deb $line main"
    done >"$work/etc/apt/sources.list"
    # Packages must not start their services, and documentation stays: it is tested, too.
    printf '#!/bin/sh\nexit 101\n' >"$work/usr/sbin/policy-rc.d"
    chmod 755 "$work/usr/sbin/policy-rc.d"
    printf '%s\n' 'APT::Install-Recommends "0";' 'Acquire::Languages "none";' 'Acquire::Retries "3";' \
        'Dpkg::Use-Pty "0";' >"$work/etc/apt/apt.conf.d/90roots"
    echo 'force-unsafe-io' >"$work/etc/dpkg/dpkg.cfg.d/90roots"
    root_apt "$work" update
    root_apt "$work" upgrade
    rm -f "$work"/var/cache/apt/archives/*.deb
    tar -C "$work" -cf "$archive.new" .
    mv "$archive.new" "$archive"
    rm -rf "$work"
}

# $1: suite, $2: directory, which is replaced
root_make() {
    root_needs
    root_archive "$1"
    root_remove "$2"
    mkdir -p "$2" "$root_store/packages.$1"
    tar -C "$2" -xpf "$root_store/$1.tar"
    # Packages are downloaded once for all roots of a suite.
    echo "$1" >"$2.suite"
}

root_remove() {
    case $1 in
        */roots/?* | */roots.*/?*) ;;
        *) root_fail "$1 is not below a directory of roots: not removed" ;;
    esac
    rm -rf "${1:?}" "$1.suite"
}

# What follows has its own mounts, process numbers, host name and queues; they end with it, and it with this shell.
# $1: more namespaces; $2: root; then the command. The shell stays the first process, which the kernel treats differently.
root_enter() {
    net=$1
    shift
    # shellcheck disable=SC2086
    setpriv --pdeathsig KILL unshare --mount --pid --uts --ipc $net --fork --kill-child --propagation private sh -c '
        root=$1
        shift
        mount -t proc proc "$root/proc"
        mount --rbind /dev "$root/dev"
        mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm" 2>/dev/null
        mount -t sysfs -o ro sysfs "$root/sys" 2>/dev/null
        if [ -n "$ROOT_PACKAGES" ]; then mount --bind "$ROOT_PACKAGES" "$root/var/cache/apt/archives"; fi
        if [ -n "$ROOT_SHARE" ]; then mkdir -p "$root/share"; mount --bind "$ROOT_SHARE" "$root/share"; fi
        hostname root 2>/dev/null
        env -i HOME=/root LANG=C.UTF-8 TERM=dumb PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
            DEBIAN_FRONTEND=noninteractive chroot "$root" "$@"
        code=$?
        exit $code' sh "$@"
}

# The same file of a package is downloaded once: what apt has unpacked it leaves there.
root_apt() {
    root=$1
    shift
    [ ! -e /etc/resolv.conf ] || cp -L /etc/resolv.conf "$root/etc/resolv.conf"
    [ ! -e /etc/apt/apt.conf ] || grep -i '^Acquire::.*Proxy' /etc/apt/apt.conf >"$root/etc/apt/apt.conf.d/91proxy" || true
    suite=$(cat "$root.suite" 2>/dev/null || true)
    ROOT_PACKAGES=${suite:+$root_store/packages.$suite} ROOT_SHARE=${ROOT_SHARE:-} root_enter '' "$root" \
        apt-get -qq -y -o APT::Sandbox::User=root -o APT::Keep-Downloaded-Packages=true "$@" >"$root.apt.log" 2>&1 ||
        { tail -n 20 "$root.apt.log" >&2; root_fail "apt-get $* failed in $root"; }
    rm -f "$root.apt.log"
}

# A namespace of networks begins with a loopback that is down.
LOOPBACK_UP='use Socket; socket(my $s, AF_INET, SOCK_DGRAM, 0) or die $!;
    my $up = pack "Z16 s x14", "lo", 0x41; ioctl($s, 0x8914, $up) or die "loopback: $!"; exec @ARGV or die "$ARGV[0]: $!\n"'

root_run() {
    root=$1
    shift
    ROOT_PACKAGES= ROOT_SHARE=${ROOT_SHARE:-} root_enter --net "$root" perl -e "$LOOPBACK_UP" -- "$@"
}
