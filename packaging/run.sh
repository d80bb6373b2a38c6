#!/bin/sh
# `make run`: the Perl example daemon with 5 workers on :9005, an HTTP gateway in front of it on
# 127.0.0.1:8080, and its status page on 127.0.0.1:9100. Ends with Ctrl-C, or when the daemon ends.
set -eu
cd "$(dirname "$0")/.."

address=${FCGI_SOCKET_PATH:-:9005}
http=${HTTP:-127.0.0.1:8080}
admin=${ADMIN:-127.0.0.1:9100}
ready=$(mktemp -u)
mkfifo "$ready"
daemon=
gateway=

stop() {
    trap - EXIT INT TERM
    [ -z "$gateway" ] || kill "$gateway" 2>/dev/null || true
    [ -z "$daemon" ] || kill "$daemon" 2>/dev/null || true
    wait
    rm -f "$ready"
}
trap 'stop; exit 130' INT
trap 'stop; exit 143' TERM
trap 'stop' EXIT

FCGI_SOCKET_PATH=$address FCGIPM_N_PROCESSES=${FCGIPM_N_PROCESSES:-5} \
    FCGIPM_ADMIN_LISTEN=$admin PATH=$PWD/target/release:$PATH \
    perl -Ibindings/perl/lib bindings/perl/examples/daemon.fcgi &
daemon=$!
target/release/fcgipm gateway --http "$http" --to "$address" >"$ready" &
gateway=$!
# The gateway prints a line when it listens; if it ends without one, it could not listen.
if ! read -r line <"$ready"; then
    echo "the gateway did not start" >&2
    exit 1
fi

# The workers may still be starting.
until target/release/fcgipm call --to "$address" / >/dev/null 2>&1; do
    kill -0 "$daemon" 2>/dev/null || { echo "the daemon did not start" >&2; exit 1; }
done

cat <<END

$line

    curl -i http://$http/                a worker answers
    curl -i http://$http/env             the parameters of the request
    curl -s --data-binary @README.md http://$http/hash
    http://$admin/                status page, for a browser
    curl -s http://$admin/metrics        for Prometheus
    kill -HUP $daemon                    reload; no request is lost
    kill -TERM $daemon                   stop; accepted requests are answered

Ctrl-C ends both.
END
wait "$daemon"
