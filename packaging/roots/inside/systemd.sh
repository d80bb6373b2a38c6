#!/bin/sh
# In a machine that runs systemd: what the shipped units do.
# shellcheck source=packaging/roots/inside/systemd_common.sh
. "$(dirname "$0")/systemd_common.sh"

row='start'
pool shop /run/fcgipm/shop/shop.sock
deploy shop 'sleep 1'
timed systemctl start fcgipm@shop
[ $code = 0 ] || failed "$(cat /tmp/said)"
client first fcgipm call --to /run/fcgipm/shop/shop.sock / | grep -q Hello || failed 'no answer right after the start'
[ $took -ge 900 ] || failed "returned after $took ms, before a worker can have been ready"
measured "returns when a worker is ready, $took ms"
deploy shop 'exit 0'

row='start of a program that always dies'
pool dies /run/fcgipm/dies/dies.sock
deploy dies 'exit 9'
drop_in fcgipm@dies.service TimeoutStartSec=4 Restart=no
timed systemctl start fcgipm@dies
[ $code != 0 ] || failed 'systemctl start succeeds'
measured "fails with status $code after $took ms"
systemctl reset-failed fcgipm@dies

row='start with a mistake in the file'
pool wrong /run/fcgipm/wrong/wrong.sock 'max_request = 5'
timed systemctl start fcgipm@wrong
[ $code != 0 ] || failed 'systemctl start succeeds'
restarts=$(systemctl show --property=NRestarts --value fcgipm@wrong)
[ "$restarts" = 0 ] || failed "restarted $restarts times"
journalctl -u fcgipm@wrong --no-pager -o cat | grep -q "unknown key 'max_request'" || failed 'the journal does not name it'
measured "fails after $took ms, no restart"
systemctl reset-failed fcgipm@wrong

row='reload'
old=$(serving /run/fcgipm/shop/shop.sock)
deploy shop 'sleep 0.5'
load reload 8 /run/fcgipm/shop/shop.sock
timed systemctl reload fcgipm@shop
[ $code = 0 ] || failed "$(cat /tmp/said)"
new=$(serving /run/fcgipm/shop/shop.sock)
for pid in $old; do
    ! echo "$new" | grep -qx "$pid" || failed "worker $pid still serves"
done
load_result reload
measured "returns after $took ms, only new workers serve; $result"

row='reload of a broken deploy'
deploy shop 'echo "cannot load Shop.pm" >&2; exit 1'
load broken 6 /run/fcgipm/shop/shop.sock
timed systemctl reload fcgipm@shop
[ $code != 0 ] || failed 'systemctl reload succeeds'
load_result broken
reason=$(journalctl -u fcgipm@shop --no-pager -o cat | grep 'fcgipm reload: ' | tail -n 1)
case $reason in
    *'cannot load Shop.pm'*) ;;
    *) failed "the journal does not have the reason: $reason" ;;
esac
systemctl is-active --quiet fcgipm@shop || failed 'the service is not active'
measured "fails with status $code after $took ms; $result; $reason"
deploy shop 'exit 0'
systemctl reload fcgipm@shop || failed 'after it was fixed'

row='an overdue request'
rm -f /run/gate
mkfifo -m 666 /run/gate
for filter in as-shipped without-pidfd_getfd; do
    pool slow /run/fcgipm/slow/slow.sock 'request_timeout = 1' 'request_timeout_grace = 0.2'
    [ $filter = as-shipped ] || drop_in fcgipm@slow.service SystemCallFilter=~pidfd_getfd
    systemctl start fcgipm@slow || failed "start $filter"
    client overdue fcgipm call --to /run/fcgipm/slow/slow.sock /stubborn >/tmp/said 2>&1 || true
    grep -q '504 Gateway' /tmp/said || failed "$filter: $(cat /tmp/said)"
    systemctl stop fcgipm@slow
done
journalctl -u fcgipm@slow --no-pager -o cat | grep -q 'refuses pidfd_getfd(2)' || failed 'the journal does not name the call'
measured 'the client gets a 504, also if the filter of the unit refuses pidfd_getfd'

row='priorities in the journal'
for line in '3 reload failed' '5 reload begun' '6 ) ready' '5 managing'; do
    found=$(journalctl -u fcgipm@shop --no-pager -o json --output-fields=PRIORITY,MESSAGE | grep "manager.*${line#* }\|pool.*${line#* }" |
        sed -n 's/.*"PRIORITY":"\([0-9]\)".*/\1/p' | sort -u)
    [ "$found" = "${line%% *}" ] || failed "'${line#* }' has priority $found"
done
measured 'errors 3, notices 5, information 6'

row='restart, socket kept by systemd'
load restart 8 /run/fcgipm/shop/shop.sock
timed systemctl restart fcgipm@shop
[ $code = 0 ] || failed "$(cat /tmp/said)"
load_result restart
measured "unix: $took ms, $result"
pool tcp 127.0.0.1:9105
systemctl start fcgipm@tcp || failed 'start on TCP'
load tcp 8 127.0.0.1:9105
timed systemctl restart fcgipm@tcp
[ $code = 0 ] || failed "$(cat /tmp/said)"
load_result tcp
measured "TCP: $took ms, $result"

row='restart, socket unit'
pool web fd:3
mkdir -p /run/systemd/system/fcgipm@web.socket.d
printf '[Socket]\nSocketGroup=www-data\n' >/run/systemd/system/fcgipm@web.socket.d/test.conf
systemctl daemon-reload
systemctl start fcgipm@web.socket fcgipm@web.service || failed 'start'
load web 8 /run/fcgipm/web.sock
timed systemctl restart fcgipm@web
[ $code = 0 ] || failed "$(cat /tmp/said)"
load_result web
measured "$took ms, $result"

systemctl stop fcgipm@tcp

# docs/SYSTEMD.md, "KillMode", states the same.
for mode in process control-group mixed; do
    row="manager killed, KillMode=$mode"
    for name in shop web; do
        case $name in
            shop) address=/run/fcgipm/shop/shop.sock how='socket kept by systemd' ;;
            web) address=/run/fcgipm/web.sock how='socket unit' ;;
        esac
        drop_in "fcgipm@$name.service" "KillMode=$mode"
        # These restarts are not to reach the limit of starts.
        systemctl reset-failed "fcgipm@$name"
        systemctl restart "fcgipm@$name" || failed 'restart'
        kill_manager "fcgipm@$name" "$address"
        eventually systemctl is-active --quiet "fcgipm@$name"
        measured "$how: the running request is $slow, new workers serve after $took ms"
        case $mode in
            process) expected='answered immediately' ;;
            control-group) expected='answered later' ;;
            mixed) expected='lost immediately' ;;
        esac
        # The request takes four seconds.
        if [ $took -lt 2500 ]; then when=immediately; else when=later; fi
        [ "$slow $when" = "$expected" ] || failed "$how: expected: $expected"
        rm -r "/run/systemd/system/fcgipm@$name.service.d"
    done
done
systemctl daemon-reload

row='watchdog'
drop_in fcgipm@shop.service WatchdogSec=2
systemctl reset-failed fcgipm@shop
systemctl restart fcgipm@shop || failed 'restart'
before=$(main_pid fcgipm@shop)
kill -STOP "$before"
begin=$(date +%s%3N)
replaced() { [ "$(main_pid fcgipm@shop)" != "$before" ] && systemctl is-active --quiet fcgipm@shop; }
eventually replaced
client watched fcgipm call --to /run/fcgipm/shop/shop.sock / | grep -q Hello || failed 'no answer'
measured "a stopped manager is replaced after $(($(date +%s%3N) - begin)) ms"

row='DynamicUser'
cat >/srv/shop.fcgi <<'PERL'
use strict; use warnings; use FCGI; use FCGI::ProcManager;
my $socket = FCGI::OpenSocket($ENV{FCGI_SOCKET_PATH}, 100);
my $request = FCGI::Request(\*STDIN, \*STDOUT, \*STDERR, \%ENV, $socket, FCGI::FAIL_ACCEPT_ON_INTR);
my $manager = FCGI::ProcManager->new({ n_processes => 3 });
$manager->pm_manage;
require '/srv/shop.pl';
while ($request->Accept >= 0) {
    $manager->pm_pre_dispatch;
    print "Content-Type: text/plain\r\n\r\nuser $<\n";
    $manager->pm_post_dispatch;
}
PERL
echo 1 >/srv/shop.pl
printf '%s\n' PROGRAM=/srv/shop.fcgi FCGI_SOCKET_PATH=/run/fcgipm-perl/perl.sock >/etc/fcgipm/perl.env
mkdir -p /run/systemd/system/fcgipm-perl@perl.socket.d
printf '[Socket]\nSocketGroup=www-data\n' >/run/systemd/system/fcgipm-perl@perl.socket.d/test.conf
systemctl daemon-reload
timed systemctl start fcgipm-perl@perl.socket fcgipm-perl@perl.service
[ $code = 0 ] || failed "$(cat /tmp/said; journalctl -u fcgipm-perl@perl --no-pager -o cat | tail)"
user=$(client dynamic fcgipm call --to /run/fcgipm-perl/perl.sock / | sed -n 's/^user //p')
[ "$user" -gt 60000 ] || failed "user $user"
load dynamic 8 /run/fcgipm-perl/perl.sock
systemctl reload fcgipm-perl@perl || failed 'reload'
timed systemctl restart fcgipm-perl@perl
[ $code = 0 ] || failed 'restart'
load_result dynamic
printf "%s\n" "die qq(cannot load Shop\n)" >/srv/shop.pl
timed systemctl reload fcgipm-perl@perl
[ $code != 0 ] || failed 'a broken deploy is reloaded'
journalctl -u fcgipm-perl@perl --no-pager -o cat | grep -q 'fcgipm reload: .*cannot load Shop' || failed 'no reason in the journal'
measured "Perl as user $user: reload and restart, $result; a broken deploy fails"

row='preloaded application'
cat >/srv/loaded.fcgi <<'PERL'
use strict; use warnings; use FCGI; use FCGI::ProcManager;
our $loaded;
require '/srv/loaded.pl';
my $socket = FCGI::OpenSocket($ENV{FCGI_SOCKET_PATH}, 100);
my $request = FCGI::Request(\*STDIN, \*STDOUT, \*STDERR, \%ENV, $socket, FCGI::FAIL_ACCEPT_ON_INTR);
FCGI::ProcManager->new({ n_processes => 3 })->pm_manage;
print "Content-Type: text/plain\r\n\r\nloaded $loaded\n" while $request->Accept >= 0;
PERL
echo '$main::loaded = "first";' >/srv/loaded.pl
printf '%s\n' PROGRAM=/srv/loaded.fcgi FCGI_SOCKET_PATH=/run/fcgipm-perl/loaded.sock FCGIPM_RELOAD=program >/etc/fcgipm/loaded.env
mkdir -p /run/systemd/system/fcgipm-perl@loaded.socket.d
printf '[Socket]\nSocketGroup=www-data\n' >/run/systemd/system/fcgipm-perl@loaded.socket.d/test.conf
systemctl daemon-reload
timed systemctl start fcgipm-perl@loaded.socket fcgipm-perl@loaded.service
[ $code = 0 ] || failed "$(cat /tmp/said; journalctl -u fcgipm-perl@loaded --no-pager -o cat | tail)"
loaded() { client asks-loaded fcgipm call --to /run/fcgipm-perl/loaded.sock / | sed -n 's/^loaded //p'; }
[ "$(loaded)" = first ] || failed "loaded $(loaded)"
before=$(main_pid fcgipm-perl@loaded)
load loaded 8 /run/fcgipm-perl/loaded.sock
echo '$main::loaded = "second";' >/srv/loaded.pl
timed systemctl reload fcgipm-perl@loaded
[ $code = 0 ] || failed "reload: $(cat /tmp/said; journalctl -u fcgipm-perl@loaded --no-pager -o cat | tail)"
took_reload=$took
[ "$(loaded)" = second ] || failed "loaded $(loaded) after the reload"
echo 'die "cannot load the shop\n";' >/srv/loaded.pl
timed systemctl reload fcgipm-perl@loaded
[ $code != 0 ] || failed 'a broken deploy is reloaded'
[ "$(loaded)" = second ] || failed "loaded $(loaded) after a broken deploy"
journalctl -u fcgipm-perl@loaded --no-pager -o cat | grep -q 'fcgipm reload: .*cannot load the shop' || failed 'no reason in the journal'
load_result loaded
[ "$(main_pid fcgipm-perl@loaded)" = "$before" ] || failed 'the manager is another process'
measured "reloaded after $took_reload ms, the manager stays; a broken deploy fails; $result"

row='stop'
timed systemctl stop fcgipm@shop fcgipm@web fcgipm-perl@perl fcgipm-perl@loaded
[ $code = 0 ] || failed "$(cat /tmp/said)"
left=$(systemctl list-units --failed --no-legend 'fcgipm*' | wc -l)
[ "$left" = 0 ] || failed "$(systemctl list-units --failed 'fcgipm*')"
measured "$took ms"
