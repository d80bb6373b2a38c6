#!/bin/sh
# Builds the images of docs/CONTAINERS.md with buildah, and runs them with podman as an orchestrator may: as a user without
# an entry in /etc/passwd, on a read-only root, without capabilities, with a small /dev/shm. As root.
#
#     packaging/containers/test.sh DEBS ROOT.tar STORE
#
# DEBS has the packages of `make deb` for Debian 13. ROOT.tar is such a system, as packaging/roots makes it
# (target/roots/trixie.tar); it stands for the image debian:trixie-slim, so nothing is fetched from a registry of images.
# STORE is an empty directory.
set -eu
cd "$(dirname "$0")/../.."
debs=$(realpath "$1") root=$(realpath "$2")
mkdir -p "$3"
store=$(realpath "$3")

fail() {
    echo "packaging/containers: $*" >&2
    exit 1
}

for tool in buildah podman runc; do
    command -v $tool >/dev/null 2>&1 || fail "$tool is missing; type: apt-get install buildah podman runc"
done
# crun runs neither with cgroups of both versions nor without CAP_SYS_RESOURCE.
engine() {
    tool=$1
    shift
    [ "$tool" != podman ] || set -- --runtime runc --cgroup-manager cgroupfs "$@"
    command "$tool" --root "$store/storage" --runroot "$store/run" "$@"
}

# The indented block below a heading of a page. $1: page, $2: heading, $3: its first word
block() {
    awk -v heading="$2" -v first="$3" '
        $0 == heading { found = 1 }
        found && /^    / && !block && index($0, "    " first) == 1 { block = 1 }
        block && /^#/ { exit }
        block && !/^    / && !/^$/ { exit }
        block { sub(/^    /, ""); print }' "$1"
}

base() {
    container=$(engine buildah from scratch)
    engine buildah add -q "$container" "$root" / >/dev/null
    # The proxy of this machine, if it has one.
    grep -hi '^Acquire::.*Proxy' /etc/apt/apt.conf >"$store/proxy" 2>/dev/null || true
    engine buildah add -q "$container" "$store/proxy" /etc/apt/apt.conf.d/91proxy >/dev/null
    engine buildah commit -q "$container" docker.io/library/debian:trixie-slim >/dev/null
    engine buildah rm "$container" >/dev/null
}

# The default profile without the system calls that the library can do without.
profile() {
    perl -MJSON::PP -0777 -ne '
        my $profile = decode_json($_);
        my %refused = map { $_ => 1 } qw(pidfd_getfd pidfd_open pidfd_send_signal memfd_create perf_event_open);
        $_->{names} = [grep { !$refused{$_} } @{ $_->{names} }] for @{ $profile->{syscalls} };
        print encode_json($profile)' /usr/share/containers/seccomp.json >"$store/profile.json"
}

# $1: name, $2: heading; the files are in its directory
image() {
    block docs/CONTAINERS.md "$2" FROM >"$store/$1/Containerfile"
    [ -s "$store/$1/Containerfile" ] || fail "docs/CONTAINERS.md has no Containerfile below '$2'"
    cp "$debs"/*.deb "$store/$1/"
    engine buildah bud -q --pull-never --isolation chroot --network host --layers=false -t "$1" "$store/$1" >"$store/$1/log" 2>&1 ||
        { tail -n 20 "$store/$1/log" >&2; fail "$1: the build failed"; }
}

# $1: image, then further options of podman run. Serves, drains and stops.
check() {
    name=$1
    shift
    engine podman rm -f --ignore "$name" >/dev/null
    engine podman run -d --name "$name" --network none --read-only --user 12345:0 --cap-drop=all \
        --security-opt no-new-privileges --ulimit nofile=1024:1024 --ulimit nproc=1000:1000 --shm-size 64k "$@" "$name" >/dev/null
    inside() { engine podman exec "$name" "$@"; }
    tries=0
    until inside fcgipm call --to :9005 / 2>/dev/null | grep -q Hello; do
        tries=$((tries + 1))
        [ $tries -lt 100 ] || { engine podman logs "$name"; fail "$name: no answer"; }
        sleep 0.1
    done
    engine podman logs "$name" 2>&1 | grep -q "pid 1)" || fail "$name: the manager is not PID 1"
    began=$(date +%s%N)
    engine podman stop --time 10 "$name" >/dev/null 2>&1
    milliseconds=$((($(date +%s%N) - began) / 1000000))
    engine podman logs "$name" >"$store/$name.log" 2>&1
    code=$(engine podman inspect --format '{{.State.ExitCode}}' "$name")
    engine podman rm "$name" >/dev/null
    [ "$code" = 0 ] || { cat "$store/$name.log"; fail "$name: exit status $code"; }
    ! grep -q 'PID 1' "$store/$name.log" || fail "$name: die_timeout is too long for podman stop"
    echo "ok: $name $*: stopped in $milliseconds ms"
}

mkdir -p "$store/perl-app" "$store/c-app"
block docs/CONTAINERS.md '### Perl' 'use strict' >"$store/perl-app/app.pl"
block README.md '## C example' '#include' >"$store/c-app/app.c"
profile
base
image perl-app '### Perl'
image c-app '### C'
for app in perl-app c-app; do
    check $app
    check $app --security-opt "seccomp=$store/profile.json"
done
