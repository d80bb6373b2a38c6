#!/bin/sh
# In a root with the packages of one release: managers and workers of this one and of the release in $2 (its version: $1),
# which has another layout, meet each other. It is refused, with a message that names both layouts, and nothing is lost.
. "$(dirname "$0")/common.sh"
new=$1
packages=$2
layout=99

# shellcheck disable=SC2046
cc -std=c11 /usr/share/doc/fcgipm/examples/c/hello.c -o hello $(pkg-config --cflags --libs fcgipm)
mkdir before
cp -a /usr/lib/*/libfcgipm.so.* before/
cp /usr/bin/fcgipm before/

fcgipm run --listen "$PWD/run.sock" --workers 2 --ready-delay 0 -- "$PWD/hello" fd:0 >run.log 2>&1 &
run=$!
fcgipm run --listen "$PWD/wrap.sock" --workers 2 -- /usr/sbin/fcgiwrap >wrap.log 2>&1 &
wrap=$!
trap 'kill -KILL $run $wrap 2>/dev/null || true' EXIT
for pool in run wrap; do
    eventually test -S "$pool.sock"
done
eventually fcgipm call --to "$PWD/run.sock" /
dpkg -i $(ls "$packages"/*.deb | grep -v dbgsym) >dpkg.log 2>&1 || failed "dpkg -i: $(cat dpkg.log)"
fcgipm --version | grep -qF "$new" || failed "fcgipm --version says $(fcgipm --version)"

# The manager is of the release before: workers on the new library are refused, and those that serve continue.
fcgipm load -c 2 -t 12 "$PWD/run.sock" >load 2>&1 &
load=$!
sleep 1
kill -HUP $run
eventually grep -q 'reload failed' run.log
# The layout of this release, which the other messages must name, too.
present=$(sed -n 's/.*FCGIPM_WORKER: version \([0-9]*\), but .*/\1/p' run.log | head -n 1)
said="FCGIPM_WORKER: version ${present:-of this release}, but this library has $layout: it is of another release than the command fcgipm"
grep -qF "$said" run.log || failed "the log does not say '$said': $(cat run.log)"
wait $load || true
grep -q 'lost=0' load || failed "$(cat load)"
echo "measured: manager before, library after: refused, $(grep -o 'requests=[0-9]*\|lost=[0-9]*' load | paste -sd ' ' -)"
# fcgipm status of the new release says so, too; that of the old one still works.
! fcgipm status "$PWD/run.sock" >status 2>&1 || failed "fcgipm status reads another layout"
grep -qF "the scoreboard has layout $present, this command knows $layout" status || failed "fcgipm status: $(cat status)"
before/fcgipm status "$PWD/run.sock" | grep -q . || failed "the old fcgipm status does not work"

# A program on libfcgi continues without its manager, and says so: it is supervised by signals.
kill -HUP $wrap
eventually grep -q 'reload done' wrap.log
grep -q "continues without its manager: .*version $present, but this library has $layout" wrap.log || failed "the drop-in says nothing: $(cat wrap.log)"
before/fcgipm status "$PWD/wrap.sock" | grep -q silent || failed "fcgiwrap is not supervised by signals"
fcgipm load -n 20 --status 403 "$PWD/wrap.sock" >load || failed "fcgiwrap does not answer: $(cat load)"

# A restart ends the difference.
for pid in $run $wrap; do
    kill -TERM $pid
    wait $pid || failed "a manager ends with status $?"
done
trap - EXIT
start fcgipm run --listen "$PWD/run.sock" --workers 2 --ready-delay 0 -- "$PWD/hello" fd:0
eventually fcgipm call --to "$PWD/run.sock" /
fcgipm status "$PWD/run.sock" | grep -q . || failed "no status after a restart"
kill -TERM $started
wait $started || failed "the manager ends with status $?"

# The manager is of the later release, and the program finds an old library.
start fcgipm run --listen "$PWD/old.sock" --workers 2 --ready-delay 0 --env "LD_LIBRARY_PATH=$PWD/before" -- "$PWD/hello" fd:0
eventually grep -qF "FCGIPM_WORKER: version $layout, but this library has $present" log
! grep -q ') ready' log || failed "a worker of another layout became ready"
kill -TERM $started
wait $started || true
trap - EXIT
echo 'measured: manager after, library before: refused'
