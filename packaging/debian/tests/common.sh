# For the tests beside this file: each is a shell script that ends with the first command that fails.
set -eu
cd "${AUTOPKGTEST_TMP:-$(mktemp -d)}"

failed() {
    echo "failed: $*" >&2
    [ ! -f log ] || tail -n 20 log >&2
    exit 1
}

# Until the command succeeds, for 30 s.
eventually() {
    for _ in $(seq 300); do
        "$@" >/dev/null 2>&1 && return
        sleep 0.1
    done
    failed "still fails after 30 s: $*"
}

# Starts a program with its log in ./log. Its pid: $started
start() {
    "$@" >log 2>&1 &
    started=$!
    trap 'kill -KILL $started 2>/dev/null || true' EXIT
}

# Reloads while clients send requests, then stops: nothing may be lost. $1: address, $2: URI
reload_and_stop() {
    fcgipm load -c 4 -t 4 --uri "$2" --status "${3:-200}" "$1" >load 2>&1 &
    clients=$!
    for _ in 1 2 3; do
        sleep 1
        kill -HUP "$started"
    done
    wait "$clients" || failed "requests are lost: $(cat load)"
    grep -q 'lost=0' load || failed "no lost=0 in: $(cat load)"
    [ "$(grep -c 'all new workers are ready' log)" -ge 1 ] || failed "no reload was done"
    kill -TERM "$started"
    wait "$started" || failed "the manager exits with $?"
    trap - EXIT
}
