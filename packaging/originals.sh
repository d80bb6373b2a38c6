#!/bin/sh
# Fetches the sources of the modules that FCGIPM::Compat stands for, once: their own tests are run on it. They come
# from where this machine's packages come from, which need not offer sources so far: the lists are apt's own,
# asked for sources, in a folder beside. Nothing of the system is changed, and nothing is installed.
set -eu
cd "$(dirname "$0")/.."

wanted="FCGI:libfcgi-perl FCGI-ProcManager:libfcgi-procmanager-perl CGI-Fast:libcgi-fast-perl Plack:libplack-perl"
into=$PWD/target/originals
mkdir -p "$into"

missing=
for each in $wanted; do
    [ -d "$into/${each%%:*}/t" ] || missing="$missing $each"
done
[ -n "$missing" ] || exit 0

work=$(mktemp -d "$into/.apt.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM HUP

# $1: a name; then a script for sed that is applied to the lists once they ask for sources.
configure() {
    mkdir -p "$work/$1/parts" "$work/$1/lists/partial" "$work/$1/cache/archives/partial"
    for list in /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources; do
        [ -e "$list" ] || continue
        sed -e 's/^deb /deb-src /' -e 's/^Types:.*/Types: deb-src/' -e "$2" "$list" >"$work/$1/parts/${list##*/}"
    done
    options="-o Dir::Etc::sourcelist=/dev/null -o Dir::Etc::sourceparts=$work/$1/parts -o Dir::State::lists=$work/$1/lists
        -o Dir::Cache=$work/$1/cache -o APT::Sandbox::User=root"
    # Somebody else's list may have no sources; what matters is whether ours are found.
    # shellcheck disable=SC2086
    apt-get -q $options update >"$work/$1/log" 2>&1 || true
}

# The archive of upstream's, checked against the signed list. $1: folder, $2: package
fetch() {
    # shellcheck disable=SC2086
    apt-get $options source --print-uris "$2" 2>/dev/null | tr -d "'" |
        sed -n 's/^\([^ ]*\) \([^ ]*\.orig\.tar\.[a-z0-9]*\) [0-9]* \([^ ]*\)$/\1 \2 \3/p' >"$work/uri"
    read -r uri file checksum <"$work/uri" || return 1
    /usr/lib/apt/apt-helper download-file "$uri" "$work/$file" "$checksum" >/dev/null 2>&1 || return 1
    mkdir "$work/$1"
    tar -xf "$work/$file" -C "$work/$1" --strip-components=1 || return 1
    rm -rf "${into:?}/$1"
    mv "$work/$1" "$into/$1"
    echo "sources of $2 ($file): target/originals/$1"
}

configure release ''
left=
for each in $missing; do
    fetch "${each%%:*}" "${each#*:}" || left="$left $each"
done
[ -n "$left" ] || exit 0

# A mirror may have lost what a release once had: any other version of a module will do for its tests.
configure later 's/^\(deb-src .*\) [a-z]* main.*/\1 unstable main/; s/^Suites:.*/Suites: unstable/'
code=0
for each in $left; do
    fetch "${each%%:*}" "${each#*:}" || { echo "cannot fetch the source of ${each#*:}" >&2; code=1; }
done
[ $code = 0 ] || tail -n 5 "$work"/*/log >&2
exit $code
