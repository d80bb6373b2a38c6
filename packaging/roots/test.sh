#!/bin/sh
# Builds the Debian packages in clean roots, and installs, runs, upgrades and removes them there. Nothing of this machine
# is used but its kernel and the archive of Debian that its apt knows, and nothing is installed on it.
#
#     ROOTS='bookworm trixie' PARTS='build lintian tests' packaging/roots/test.sh
#
# Each part is a file in parts/. Those after `build` and `next` need only the packages that these have left in
# target/roots/SUITE, so that one part can be run again on its own.
set -eu
cd "$(dirname "$0")/../.."
umask 022
# shellcheck source=packaging/roots/root.sh
. packaging/roots/root.sh
# shellcheck source=packaging/roots/machine.sh
. packaging/roots/machine.sh

suites=${ROOTS:-bookworm trixie}
all_parts='build lintian tests cpan pages next systemd upgrade skew remove older reproducible'
parts=${PARTS:-$all_parts}

for part in $all_parts; do
    # shellcheck source=/dev/null
    . "packaging/roots/parts/$part.sh"
done
for part in $parts; do
    case " $all_parts " in
        *" $part "*) ;;
        *) root_fail "PARTS: '$part' is not one of: $all_parts" ;;
    esac
done
root_needs
mkdir -p "$root_store"
exec 9>"$root_store/lock"
flock -n 9 || root_fail "another run uses $root_store"

version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
# The next release: it differs in its number. The later one also has another layout of the memory that a manager shares
# with its workers.
next_version=${version%.*}.$((${version##*.} + 1))
later_version=${version%.*}.$((${version##*.} + 2))

# A root with the packages. $1: suite, $2: its name, $3: directory of packages, then further packages
root_with() {
    root=$root_store/$1/$2
    root_make "$1" "$root"
    ROOT_SHARE=$root_store/$1
    export ROOT_SHARE
    packages=$(cd "$3" && printf "/share/${3##*/}/%s " *.deb)
    shift 3
    # shellcheck disable=SC2086
    root_apt "$root" install $(printf '%s\n' $packages | grep -v dbgsym) "$@"
}

running=
trap '[ -z "$running" ] || kill "$running"; exit 1' INT TERM HUP
passed=0
failed=0
for suite in $suites; do
    mkdir -p "$root_store/$suite"
    for part in $parts; do
        began=$(date +%s)
        log=$root_store/$suite/$part.log
        # In a process of its own, which ends with the first command that fails: not after `||`, where none does.
        set +e
        (set -eu; "part_$part" "$suite") >"$log" 2>&1 9>&- &
        running=$!
        wait $running
        code=$?
        running=
        set -e
        seconds=$(($(date +%s) - began))
        if [ $code = 0 ]; then
            passed=$((passed + 1))
            printf '%-9s %-13s ok      %4d s\n' "$suite" "$part" $seconds
            sed -n 's/^measured: /                        /p' "$log"
        else
            failed=$((failed + 1))
            printf '%-9s %-13s FAILED  %4d s: %s\n' "$suite" "$part" $seconds "$log"
            tail -n 30 "$log" | sed 's/^/    /'
        fi
        [ "${KEEP_ROOTS:-}" ] || [ ! -d "$root_store/$suite/$part" ] || root_remove "$root_store/$suite/$part"
    done
    # What is kept for the next run: the root that builds, and the packages.
done
echo "$passed passed, $failed failed"
[ $failed = 0 ]
