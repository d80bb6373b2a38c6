#!/bin/sh
# Fetches, once, the sources of the modules that FCGIPM::Compat replaces, because the tests run the
# modules' own tests on it. The sources come from this machine's package mirrors. As apt's lists may
# not include sources, a copy of them that asks for sources is used, in a folder of its own. The
# system is not changed, and nothing is installed.
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

# $1: a name. $2: a sed script for the lists that ask for sources.
configure() {
    mkdir -p "$work/$1/parts" "$work/$1/lists/partial" "$work/$1/cache/archives/partial"
    for list in /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources; do
        [ -e "$list" ] || continue
        sed -e 's/^deb /deb-src /' -e 's/^Types:.*/Types: deb-src/' -e "$2" "$list" >"$work/$1/parts/${list##*/}"
    done
    options="-o Dir::Etc::sourcelist=/dev/null -o Dir::Etc::sourceparts=$work/$1/parts -o Dir::State::lists=$work/$1/lists
        -o Dir::Cache=$work/$1/cache -o APT::Sandbox::User=root"
    # Other repositories may have no sources; it only matters that these packages are found.
    # shellcheck disable=SC2086
    apt-get -q $options update >"$work/$1/log" 2>&1 || true
}

# The upstream archive, checked against the signed list. $1: folder, $2: package
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

# A mirror may no longer have the version of a release; any other version has suitable tests.
configure later 's/^\(deb-src .*\) [a-z]* main.*/\1 unstable main/; s/^Suites:.*/Suites: unstable/'
code=0
for each in $left; do
    fetch "${each%%:*}" "${each#*:}" || { echo "cannot fetch the source of ${each#*:}" >&2; code=1; }
done
[ $code = 0 ] || tail -n 5 "$work"/*/log >&2
exit $code
