#!/bin/sh
# Installs or removes parts: install.sh install|remove PART... Each part is a file beside this one that names what it
# consists of, by the functions below, so that what is removed is what was installed. `make install` passes the
# directories in the environment.
#
# A file is written under a temporary name and renamed. Running programs have mapped the old one, and must not see
# it change.
set -eu
cd "$(dirname "$0")/../.."
umask 022

action=$1
shift
case $action in
    install) goal=install ;;
    remove) goal=uninstall ;;
    *) echo "usage: $0 install|remove PART..." >&2; exit 2 ;;
esac
# The file that is being written.
unfinished=
trap '[ -z "$unfinished" ] || rm -f "$unfinished"' EXIT
trap 'exit 1' INT TERM HUP

fail() {
    echo "make $goal: $*" >&2
    exit 1
}

# $1: what could not be changed, $2: what the system said
refused() {
    fail "cannot write $1 (${2##*: }): type 'sudo make $goal', or give another DESTDIR= or PREFIX="
}

# Makes the directory of a file. $1: the file
prepare() {
    [ -d "${1%/*}" ] || said=$(mkdir -p "${1%/*}" 2>&1) || refused "${1%/*}" "$said"
    unfinished=${1%/*}/.${1##*/}.$$
}

finish() {
    said=$(mv -fT "$unfinished" "$1" 2>&1) || refused "$1" "$said"
    unfinished=
}

forget() {
    [ -e "$1" ] || [ -h "$1" ] || return 0
    said=$(rm -f "$1" 2>&1) || refused "$1" "$said"
}

# $1: mode, $2: source, $3: destination
file() {
    if [ "$action" = remove ]; then
        forget "$DESTDIR$3"
        return
    fi
    [ -f "$2" ] || fail "$2 is missing: type 'make build' first"
    prepare "$DESTDIR$3"
    said=$(install -m "$1" "$2" "$unfinished" 2>&1) || refused "$DESTDIR$3" "$said"
    finish "$DESTDIR$3"
}

# A text in which @NAME@ stands for one of the directories. $1: mode, $2: source, $3: destination
filled_in() {
    if [ "$action" = remove ]; then
        forget "$DESTDIR$3"
        return
    fi
    prepare "$DESTDIR$3"
    script=
    for name in VERSION PREFIX BINDIR LIBDIR INCLUDEDIR DOCDIR SYSCONFDIR PC_EXEC_PREFIX PC_LIBDIR PC_INCLUDEDIR LIBFCGI_VERSION NAME; do
        eval "value=\${$name-}"
        value=$(printf '%s' "$value" | sed 's/[\\&|]/\\&/g')
        script="$script;s|@$name@|$value|g"
    done
    said=$({ sed "${script#;}" "$2" >"$unfinished" && chmod "$1" "$unfinished"; } 2>&1) || refused "$DESTDIR$3" "$said"
    finish "$DESTDIR$3"
}

# $1: what the link says, $2: destination
link() {
    if [ "$action" = remove ]; then
        forget "$DESTDIR$2"
        return
    fi
    prepare "$DESTDIR$2"
    said=$(ln -s "$1" "$unfinished" 2>&1) || refused "$DESTDIR$2" "$said"
    finish "$DESTDIR$2"
}

# A directory for files of this project only: it is removed with the last of them. Deeper ones come first.
own() {
    [ "$action" = remove ] || return 0
    rmdir "$DESTDIR$1" 2>/dev/null || true
}

for part in "$@"; do
    # shellcheck source=/dev/null
    . "packaging/install/$part"
done
