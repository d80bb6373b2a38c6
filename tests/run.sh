#!/bin/sh
# Runs every test of every layer and binding, and prints a summary. Exits with 0 if all have passed.
set -u
cd "$(dirname "$0")/.."
# A background job may ignore signals that the tests send to programs.
[ "${1:-}" = signals-reset ] || exec env --default-signal=HUP,INT,QUIT,PIPE "$0" signals-reset
log=$(mktemp)
trap 'rm -f "$log"' EXIT
failed=0

echo "== Rust: units, properties, simulation, processes, C and C++, neighbours"
# A run that hangs is ended, so that the summary can show what had passed until then.
{ timeout 2700 cargo test --workspace --locked --no-fail-fast -- --show-output 2>&1; echo "exit $?"; } | tee "$log.rust"
echo "== Perl"
{ (cd bindings/perl && timeout 1200 prove -Ilib -r t xt 2>&1); echo "exit $?"; } | tee "$log.perl"

grep -q '^exit 0$' "$log.rust" || failed=1
grep -q '^exit 0$' "$log.perl" || failed=1

echo
echo "== Measured"
sed -n 's/^measured: //p' "$log.rust"
echo
echo "== Summary"
awk '
    /^ *Running / { name = $2; if (name == "unittests") name = $2 " " $3; sub(/^tests\//, "", name) }
    /^ *Doc-tests / { name = "documentation of " $2 }
    /^test result:/ {
        printf "%-34s %5d passed, %d failed\n", name, $4, $6
        passed += $4; bad += $6; left_out += $8
    }
    /^Files=/ { split($0, part, /[=,]/); printf "%-34s %5d passed\n", "Perl (" part[2] " files)", part[4]; passed += part[4] }
    /Failed [0-9]+\/[0-9]+ subtests/ { split($0, part, /Failed |\//); bad += part[2]; passed -= part[2] }
    /Result: FAIL/ && !bad { bad = 1 }
    /^exit 124$/ { print "timed out: " FILENAME }
    END {
        printf "\n%d passed, %d failed, %d skipped\n", passed, bad, left_out
    }
' "$log.rust" "$log.perl"
rm -f "$log.rust" "$log.perl"
exit $failed
