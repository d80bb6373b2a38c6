#!/bin/sh
# In a root with the packages of one release: pools serve, are upgraded to the release in $2 (its version: $1) and
# reloaded while clients count lost requests.
. "$(dirname "$0")/common.sh"
new=$1
packages=$2
examples=/usr/share/doc/fcgipm/examples
old=$(dpkg-query -W -f '${Version}' libfcgipm0)

# shellcheck disable=SC2046
cc -std=c11 "$examples/c/hello.c" -o hello $(pkg-config --cflags --libs fcgipm)
cp -r /usr/share/doc/libfcgipm-perl/examples perl
mkdir before
cp -a /usr/lib/*/libfcgipm.so.* before/
printf '#!/bin/sh\necho "Content-Type: text/plain"; echo; echo script\n' >script.cgi
chmod 755 . script.cgi

# A daemon in Perl and one in C that are their own managers, and two programs under fcgipm run.
FCGI_SOCKET_PATH=$PWD/perl.sock perl perl/daemon.fcgi >perl.log 2>&1 &
perl=$!
./hello "$PWD/own.sock" >own.log 2>&1 &
own=$!
fcgipm run --listen "$PWD/run.sock" --workers 2 --ready-delay 0 -- "$PWD/hello" fd:0 >run.log 2>&1 &
run=$!
SCRIPT_FILENAME=$PWD/script.cgi fcgipm run --listen "$PWD/wrap.sock" --workers 2 --ready-delay 0 -- /usr/sbin/fcgiwrap >wrap.log 2>&1 &
wrap=$!
pools='perl own run wrap'
trap 'kill -KILL $perl $own $run $wrap 2>/dev/null || true' EXIT
for pool in $pools; do
    eventually test -S "$pool.sock"
done

# All workers have mapped this file, soon: one may exit meanwhile. $1: pool, $2: pattern of the file
workers_map() {
    for _ in $(seq 50); do
        missing=
        for worker in $(fcgipm status "$PWD/$1.sock" | sed -n 's/^\([0-9][0-9]*\) .*/\1/p'); do
            grep -q "$2" "/proc/$worker/maps" 2>/dev/null || missing="$missing $worker"
        done
        [ "$missing" ] || return 0
        sleep 0.1
    done
    for worker in $missing; do
        grep libfcgi "/proc/$worker/maps" >&2 || true
    done
    return 1
}
workers_map run "libfcgipm.so.${old%-*}$" || failed "the workers do not run on libfcgipm.so.${old%-*}"

loads=
for pool in $pools; do
    status=200
    # fcgiwrap needs the name of a script in each request, which this client does not send.
    [ $pool != wrap ] || status=403
    fcgipm load -c 2 -t 30 --split 3 --status $status "$PWD/$pool.sock" >"$pool.load" 2>&1 &
    loads="$loads $!"
done
sleep 3
dpkg -i $(ls "$packages"/*.deb | grep -v dbgsym) >dpkg.log 2>&1 || failed "dpkg -i: $(cat dpkg.log)"
upgraded=$(dpkg-query -W -f '${Version}' libfcgipm0)
[ "${upgraded%-*}" = "$new" ] || failed "libfcgipm0 is $upgraded, not $new"
fcgipm --version | grep -qF "$new" || failed "fcgipm --version says $(fcgipm --version)"

# The upgrade has touched no pool.
for pool in $pools; do
    eval "pid=\$$pool"
    kill -0 "$pid" || failed "$pool has ended: $(tail -n 5 "$pool.log")"
    ! grep -Eq 'received SIG|reload' "$pool.log" || failed "$pool was signalled by the upgrade: $(tail -n 5 "$pool.log")"
done
for round in 1 2; do
    for pool in $pools; do
        eval "pid=\$$pool"
        kill -HUP "$pid"
    done
    for pool in $pools; do
        for _ in $(seq 200); do
            [ "$(grep -c 'reload done' "$pool.log")" -lt $round ] || break
            sleep 0.1
        done
        [ "$(grep -c 'reload done' "$pool.log")" -ge $round ] || failed "$pool was not reloaded: $(tail -n 5 "$pool.log")"
    done
done
# Programs that were executed anew run on the new library under the old manager; a manager keeps its own until it is
# restarted, and so do the workers that it forks.
workers_map run "libfcgipm.so.$new$" || failed "the workers of fcgipm run are not on libfcgipm.so.$new after a reload"
workers_map wrap 'fcgipm/libfcgi.so.0$' || failed "fcgiwrap is not on the new drop-in after a reload"
workers_map own 'libfcgipm.so.* (deleted)$' || failed "the workers of hello are on another library than their manager"
! fcgipm status "$PWD/run.sock" | grep -q silent || failed "the new workers do not report to the old manager"
! fcgipm status "$PWD/wrap.sock" | grep -q silent || failed "the new drop-in does not report to the old manager"

# The other way round: the new manager with workers on the library of before.
start fcgipm run --listen "$PWD/back.sock" --workers 2 --ready-delay 0 --env "LD_LIBRARY_PATH=$PWD/before" -- "$PWD/hello" fd:0
eventually fcgipm call --to "$PWD/back.sock" /
workers_map back "before/libfcgipm.so.${old%-*}$" || failed "the workers do not run on the library of before"
! fcgipm status "$PWD/back.sock" | grep -q silent || failed "old workers do not report to the new manager"
reload_and_stop "$PWD/back.sock" /
trap 'kill -KILL $perl $own $run $wrap 2>/dev/null || true' EXIT

for load in $loads; do
    wait "$load" || true
done
for pool in $pools; do
    grep -q 'lost=0' "$pool.load" || failed "$pool: $(cat "$pool.load")"
    echo "measured: $pool: $(grep -o 'requests=[0-9]*\|lost=[0-9]*' "$pool.load" | paste -sd ' ' -)"
    eval "pid=\$$pool"
    kill -TERM "$pid"
    wait "$pid" || failed "$pool ends with status $?: $(tail -n 5 "$pool.log")"
done
trap - EXIT
