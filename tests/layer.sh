#!/bin/sh
# Runs the tests of one layer. With `list` or an unknown name it prints the names.
set -eu
cd "$(dirname "$0")/.."
cargo=${CARGO:-cargo}
layer=${1:-list}

# The test targets of the library: tests/NAME.rs and tests/NAME/main.rs.
targets() {
    for path in tests/*.rs tests/*/main.rs; do
        name=${path#tests/}
        name=${name%/main.rs}
        echo "${name%.rs}"
    done
}

case $layer in
    units) exec $cargo test --workspace --lib --bins --locked ;;
    command) exec $cargo test --package fcgipm-command --test command --locked ;;
    benches) exec $cargo test --package fcgipm-bench --test smoke --locked ;;
    perl) cd bindings/perl && exec prove -Ilib -r t xt ;;
esac
if targets | grep -qx -e "$layer"; then
    exec $cargo test --locked --test "$layer"
fi
[ "$layer" = list ] || echo "there is no layer '$layer'; the layers are:" >&2
{ printf '%s\n' units command benches perl; targets; } | sort | paste -sd ' ' - | fold -sw 96
[ "$layer" = list ] || exit 2
