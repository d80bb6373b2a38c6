#!/bin/sh
# Makes the source archive: what is committed, and the crates of Cargo.lock in vendor/, so that it builds without a
# network. The same commit gives the same bytes. $1: the folder that it is put into (target/dist).
set -eu
umask 022
export LC_ALL=C
cd "$(dirname "$0")/.."
into=${1:-target/dist}

fail() {
    echo "make dist: $*" >&2
    exit 1
}

version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
name=fcgipm-$version
[ "$(git rev-parse --show-toplevel 2>/dev/null)" = "$(pwd -P)" ] || fail "$PWD is not a git checkout: type: git clone"
for program in xz perl "${CARGO:=cargo}"; do
    command -v "$program" >/dev/null || fail "there is no $program: type: packaging/setup.sh dist"
done
mkdir -p "$into" || fail "cannot make the folder $into"
uncommitted=$(git status --porcelain | wc -l)
[ "$uncommitted" = 0 ] || echo "make dist: $uncommitted files differ from the commit, and are not in the archive" >&2

: "${SOURCE_DATE_EPOCH:=$(git log -1 --format=%ct HEAD)}"
work=$(mktemp -d "$into/.dist.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM HUP
git archive --prefix="$name/" HEAD >"$work/committed.tar"
tar -xf "$work/committed.tar" -C "$work"

# Cargo takes a vendored crate only as a whole, and needs the manifest of each crate in the lock file. Of crates
# that no Linux uses, nothing but the manifest stays: half of all is for Windows and browsers.
(
    cd "$work/$name"
    mkdir .cargo
    "$CARGO" vendor --locked --versioned-dirs vendor >.cargo/config.toml 2>"../log" || { cat ../log >&2; exit 1; }
    systems=
    for machine in x86_64 i686 aarch64 arm armv7 powerpc64le riscv64gc s390x loongarch64; do
        case $machine in
            arm*) systems="$systems --filter-platform $machine-unknown-linux-gnueabihf" ;;
            *) systems="$systems --filter-platform $machine-unknown-linux-gnu" ;;
        esac
    done
    # shellcheck disable=SC2086
    "$CARGO" metadata --locked --offline --format-version 1 $systems >../metadata
    perl -MJSON::PP -MFile::Path=remove_tree -we '
        use strict;
        sub slurp { my $path = shift; open my $file, "<", $path or die "$path: $!\n"; local $/; return <$file> }
        my $metadata = decode_json(slurp("../metadata"));
        my %used = map { $_->{id} => 1 } @{ $metadata->{resolve}{nodes} };
        my %kept = map { ("vendor/$_->{name}-$_->{version}" => 1) } grep { $used{ $_->{id} } } @{ $metadata->{packages} };
        for my $crate (grep { !$kept{$_} } glob "vendor/*") {
            remove_tree(grep { !m{/(?:\.\.?|Cargo\.toml|\.cargo-checksum\.json)$} } glob "$crate/* $crate/.*");
            my $checksum = "$crate/.cargo-checksum.json";
            my $whole = decode_json(slurp($checksum));
            open my $file, ">", $checksum or die "$checksum: $!\n";
            print $file qq({"files":{},"package":"$whole->{package}"});
            close $file or die "$checksum: $!\n";
        }
    '
) || fail "the crates of Cargo.lock cannot be put into the archive (see above); they come from the network once"

archive=$into/$name.tar.xz
tar -C "$work" --format=gnu --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner \
    --mode=u=rwX,go=rX -cf "$work/all.tar" "$name"
xz -T1 "$work/all.tar"
mv -f "$work/all.tar.xz" "$archive"
echo "$archive: $(($(wc -c <"$archive") / 1000)) kB"
