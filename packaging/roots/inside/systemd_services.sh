#!/bin/sh
# In a machine that runs systemd: several pools in one service, instances of a template, units of the pages, and what
# differs between versions of systemd.
# shellcheck source=packaging/roots/inside/systemd_common.sh
. "$(dirname "$0")/systemd_common.sh"

# None of these pids serves any more. $1: pids, $2: address
renewed() {
    now=$(serving "$2")
    for pid in $1; do
        ! echo "$now" | grep -qx "$pid" || failed "worker $pid still serves at $2"
    done
}

row='several pools in one service'
left=/run/fcgipm/two/left.sock
right=127.0.0.1:9107
rm -f /etc/fcgipm/two.toml
pool_in two left $left
pool_in two right $right
deploy right 'sleep 1'
timed systemctl start fcgipm@two
[ $code = 0 ] || failed "$(cat /tmp/said)"
[ $took -ge 900 ] || failed "returned after $took ms, before each pool can have been ready"
for address in $left $right; do
    client two fcgipm call --to "$address" / | grep -q Hello || failed "no answer from $address right after the start"
done
measured "started when both are ready, $took ms"

old_left=$(serving $left)
old_right=$(serving $right)
load left 6 $left
load right 6 $right
timed systemctl reload fcgipm@two
[ $code = 0 ] || failed "$(cat /tmp/said)"
renewed "$old_left" $left
renewed "$old_right" $right
load_result left
both=$result
load_result right
measured "reload returns after $took ms, only new workers serve; $both; $result"

deploy right 'echo "cannot load Right.pm" >&2; exit 1'
old_right=$(workers $right)
load left 5 $left
load right 5 $right
timed systemctl reload fcgipm@two
[ $code != 0 ] || failed 'systemctl reload succeeds'
[ "$(workers $right)" = "$old_right" ] || failed "the pool has other workers: $(fcgipm status $right)"
load_result left
both=$result
load_result right
reason=$(journalctl -u fcgipm@two --no-pager -o cat | grep 'fcgipm reload: ' | tail -n 1)
case $reason in
    *"pool 'right'"*'cannot load Right.pm'*) ;;
    *) failed "the journal does not have the pool and the reason: $reason" ;;
esac
measured "reload of one pool's broken deploy fails with status $code after $took ms; $both; $result; $reason"

deploy right 'exit 0'
load left 6 $left
load right 6 $right
timed systemctl restart fcgipm@two
[ $code = 0 ] || failed "$(cat /tmp/said)"
load_result left
both=$result
load_result right
measured "restart: $took ms, $both; $result"

# $1: pool. The pid of its manager.
manager_of() {
    main=$(main_pid fcgipm@two)
    for pid in $(cat "/proc/$main/task/$main/children"); do
        ! tr '\0' ' ' <"/proc/$pid/cmdline" | grep -q -- "--pool $1 " || echo "$pid"
    done
}

drop_in fcgipm@two.service WatchdogSec=4
systemctl restart fcgipm@two || failed 'restart'
main=$(main_pid fcgipm@two)
hangs=$(manager_of left)
other=$(manager_of right)
load right 10 $right
kill -STOP "$hangs"
begin=$(date +%s%3N)
replaced() { now=$(manager_of left) && [ "$now" ] && [ "$now" != "$hangs" ]; }
eventually replaced
took=$(($(date +%s%3N) - begin))
client two fcgipm call --to $left / | grep -q Hello || failed 'no answer of the pool whose manager hung'
load_result right
[ "$(main_pid fcgipm@two)" = "$main" ] || failed 'the service was restarted'
[ "$(manager_of right)" = "$other" ] || failed 'the manager of the other pool is another one'
journalctl -u fcgipm@two --no-pager -o cat | grep -q "pool 'left': its manager (pid $hangs) hangs" || failed 'no line in the journal'
measured "a manager that hangs is replaced after $took ms, the other pool continues: $result"

before=$main
kill -STOP "$before"
begin=$(date +%s%3N)
restarted() { [ "$(main_pid fcgipm@two)" != "$before" ] && systemctl is-active --quiet fcgipm@two; }
eventually restarted
took=$(($(date +%s%3N) - begin))
for address in $left $right; do
    client two fcgipm call --to "$address" / | grep -q Hello || failed "no answer from $address"
done
gone() { ! kill -0 "$hangs" && ! kill -0 "$other"; }
eventually gone
measured "the watchdog restarts a service whose first process hangs, after $took ms"
systemctl stop fcgipm@two

row='instances of a template'
for name in a b; do
    pool $name /run/fcgipm/$name/$name.sock
    printf '%s\n' PROGRAM=/srv/instance.fcgi "FCGI_SOCKET_PATH=127.0.0.1:91$(printf %d "'$name")" FCGIPM_N_PROCESSES=2 >/etc/fcgipm/$name.env
done
cat >/srv/instance.fcgi <<'PERL'
use strict; use warnings; use FCGI;
my $request = FCGI::Request();
while ($request->Accept >= 0) { print "Content-Type: text/plain\r\n\r\nHello\n" }
PERL
systemctl start fcgipm@a fcgipm@b fcgipm-perl@a fcgipm-perl@b || failed 'start'
# Where the instances are, and where they listen.
directories() { stat -c '%n %i' /run/fcgipm/b /run/fcgipm/b/b.sock /run/fcgipm-perl/b/ 2>&1; }
before=$(directories)
load b 6 /run/fcgipm/b/b.sock
load perl_b 6 127.0.0.1:9198
for action in restart stop start stop; do
    systemctl $action fcgipm@a fcgipm-perl@a || failed "$action"
    [ "$(directories)" = "$before" ] || failed "$action of one instance: $before, then $(directories)"
done
load_result b
both=$result
load_result perl_b
! ls -d /run/fcgipm/a /run/fcgipm-perl/a 2>/dev/null || failed 'the directory of the stopped instance stays'
measured "restart and stop of a leave directory and socket of b: $both; $result"
systemctl stop fcgipm@b fcgipm-perl@b

row='socket that is not kept'
drop_in fcgipm@own.service FileDescriptorStoreMax=0 Environment=FDSTORE=0 KillMode=process
for address in 127.0.0.1:9108 /run/fcgipm/own/own.sock; do
    pool own $address
    systemctl start fcgipm@own || failed 'start'
    [ "$(systemctl show --property=NFileDescriptorStore --value fcgipm@own)" = 0 ] || failed 'it is kept'
    kill_manager fcgipm@own $address
    [ $slow = answered ] || failed "$address: the running request is lost"
    case $address in
        /*)
            # The manager of the pool, which gets TERM from the kernel, has removed the file.
            [ $tries -lt 200 ] || failed "$address: not served again"
            outcome="new workers serve after $took ms"
            ;;
        *)
            eventually systemctl is-failed --quiet fcgipm@own
            journalctl -u fcgipm@own --no-pager -o cat | grep -q "$address.* in use" || failed 'the journal does not say why'
            outcome='the unit fails: the address is in use'
            systemctl reset-failed fcgipm@own
            ;;
    esac
    measured "manager killed, KillMode=process, $address: the running request is $slow, $outcome"
    systemctl stop fcgipm@own
done

row='who says what systemd keeps'
cat >/run/systemd/system/plain.service <<'UNIT'
[Service]
Type=notify
ExecStart=/usr/bin/fcgipm run --listen 127.0.0.1:9109 --workers 2 --ready-delay 0 -- /srv/hello fd:0
ExecReload=/usr/bin/fcgipm reload $MAINPID
FileDescriptorStoreMax=1
UNIT
systemctl daemon-reload
systemctl start plain || failed 'start'
kept=$(systemctl show --property=NFileDescriptorStore --value plain)
if [ "$systemd_version" -ge 254 ]; then expected=1; else expected=0; fi
[ "$kept" = $expected ] || failed "systemd $systemd_version keeps $kept sockets of a unit without FDSTORE"
drop_in plain.service Environment=FDSTORE=1
systemctl restart plain || failed 'restart'
kept_now=$(systemctl show --property=NFileDescriptorStore --value plain)
[ "$kept_now" = 1 ] || failed "systemd $systemd_version keeps $kept_now sockets of a unit with FDSTORE"
load plain 6 127.0.0.1:9109
systemctl restart plain || failed 'restart'
load_result plain
measured "systemd $systemd_version keeps $kept without FDSTORE, $kept_now with it; restart: $result"

row='Type=notify-reload'
drop_in plain.service Type=notify-reload ExecReload= Environment=FDSTORE=1 Environment=HELLO_START=/srv/deploy/plain
deploy plain 'exit 0'
if [ "$systemd_version" -ge 253 ]; then
    systemctl restart plain || failed 'restart'
    old=$(serving 127.0.0.1:9109)
    load plain 5 127.0.0.1:9109
    timed systemctl reload plain
    [ $code = 0 ] || failed "$(cat /tmp/said)"
    renewed "$old" 127.0.0.1:9109
    deploy plain 'echo "cannot load Plain.pm" >&2; exit 1'
    old=$(workers 127.0.0.1:9109)
    systemctl reload plain || failed 'the reload of a broken deploy fails'
    [ "$(workers 127.0.0.1:9109)" = "$old" ] || failed "the pool has other workers: $(fcgipm status 127.0.0.1:9109)"
    systemctl show --property=StatusText --value plain | grep -q 'cannot load Plain.pm' || failed 'no reason in the status'
    load_result plain
    measured "reload returns after $took ms; one that fails succeeds for systemd, the status has the reason; $result"
else
    journalctl -b --no-pager -o cat | grep -q 'notify-reload' || failed "systemd $systemd_version does not refuse it"
    measured "systemd $systemd_version does not know it"
fi
systemctl stop plain

row='units of MIGRATING'
cat >/srv/own.fcgi <<'PERL'
use strict; use warnings; use FCGI; use FCGI::ProcManager;
my $socket = FCGI::OpenSocket(':9005', 100);
my $request = FCGI::Request(\*STDIN, \*STDOUT, \*STDERR, \%ENV, $socket, FCGI::FAIL_ACCEPT_ON_INTR);
FCGI::ProcManager->new({ n_processes => 2 })->pm_manage;
print "Content-Type: text/plain\r\n\r\nHello from worker $$, \n" while $request->Accept >= 0;
PERL
mkdir -p /srv/app
mv /srv/own.fcgi /srv/app/daemon.fcgi
sed 's/Hello/Hello from worker $$,/' /srv/instance.fcgi >/srv/app/plain.fcgi
# The indented blocks of a section, one after another. $1: heading
section() {
    sed -n "/^## $1\$/,/^## /s/^    //p" /inside/MIGRATING.md
}
for name in 'FCGI with FCGI::ProcManager' 'spawn-fcgi'; do
    section 'The unit' | sed '/^\[Install\]/q' | sed '1d' >/tmp/frame
    section "$name" | grep -E '^(User|Environment|ExecStart)=' >/tmp/lines
    sed -e '/^# The lines of the section\.$/{r /tmp/lines
d}' /tmp/frame >/run/systemd/system/app.service
    systemctl daemon-reload
    address=:9005
    ! grep -q FCGI_SOCKET_PATH /tmp/lines || address=/run/app/app.sock
    timed systemctl start app
    [ $code = 0 ] || failed "$name: $(cat /tmp/said)"
    old=$(serving $address)
    load app 8 $address
    systemctl reload app || failed "$name: reload"
    renewed "$old" $address
    systemctl restart app || failed "$name: restart"
    load_result app
    measured "$name: reload and restart, $result"
    systemctl stop app
done
