#!/bin/sh
# In a machine that runs systemd, with the packages of the next release in /next: an upgrade while pools serve as units.
# $1: the version of the next release.
# shellcheck source=packaging/roots/inside/systemd_common.sh
. "$(dirname "$0")/systemd_common.sh"
new=$1

row='upgrade of the packages'
# As on a machine of an operator, where nothing keeps maintainer scripts from acting on services.
rm -f /usr/sbin/policy-rc.d
installed() { fcgipm --version | sed 's/^fcgipm \([0-9.]*\).*/\1/'; }
old=$(installed)
pool shop /run/fcgipm/shop/shop.sock
cat >/srv/upgraded.fcgi <<'PERL'
use strict; use warnings; use FCGI;
my $request = FCGI::Request();
while ($request->Accept >= 0) { print "Content-Type: text/plain\r\n\r\nHello from worker $$, \n" }
PERL
printf '%s\n' PROGRAM=/srv/upgraded.fcgi FCGI_SOCKET_PATH=127.0.0.1:9110 FCGIPM_N_PROCESSES=2 >/etc/fcgipm/upgraded.env
shop=/run/fcgipm/shop/shop.sock
perl=127.0.0.1:9110
units='fcgipm@shop fcgipm-perl@upgraded'
# shellcheck disable=SC2086
systemctl start $units || failed 'start'
pids() {
    for unit in $units; do main_pid $unit; done
}
# What the manager at an address runs. $1: address
runs() { fcgipm status "$1" | sed -n 's/^manager .* version \([0-9.]*\),.*/\1/p'; }
before=$(pids)
load shop 20 $shop
load perl 20 $perl
# shellcheck disable=SC2012
dpkg -i $(ls /next/*.deb | grep -v dbgsym) >/tmp/dpkg 2>&1 || failed "dpkg -i: $(cat /tmp/dpkg)"
[ "$(installed)" = "$new" ] || failed "fcgipm --version says $(fcgipm --version)"
[ "$(pids)" = "$before" ] || failed 'the upgrade has restarted a service'
for address in $shop $perl; do
    [ "$(runs $address)" = "$old" ] || failed "the manager at $address runs $(runs $address) before its reload"
done
fcgipm status $shop | grep -q '^file .*replaced' || failed "fcgipm status does not say that files were replaced: $(fcgipm status $shop)"

# Workers that execute their program anew run on the new library, under the manager of before.
for unit in $units; do
    systemctl reload $unit || failed "reload of $unit after the upgrade"
done
[ "$(pids)" = "$before" ] || failed 'the reload has restarted a service'
for pid in $(serving $shop); do
    grep -q "libfcgipm.so.$new\$" "/proc/$pid/maps" || failed "worker $pid runs on $(grep -o 'libfcgipm.so.*' "/proc/$pid/maps" | head -n 1)"
done
reloaded="$(runs $shop) and $(runs $perl)"

# A program that is reloaded as well has new workers on the new library.
fcgipm reload --program "$(main_pid fcgipm-perl@upgraded)" || failed 'reload of the Perl program'
for pid in $(serving $perl); do
    grep -q "libfcgipm.so.$new\$" "/proc/$pid/maps" || failed "worker $pid of the Perl program is not on libfcgipm.so.$new"
done

# shellcheck disable=SC2086
systemctl restart $units || failed 'restart after the upgrade'
for address in $shop $perl; do
    [ "$(runs $address)" = "$new" ] || failed "the manager at $address runs $(runs $address) after a restart"
    ! fcgipm status $address | grep -q '^file .*replaced' || failed "fcgipm status: $(fcgipm status $address)"
done
load_result shop
both=$result
load_result perl
measured "from $old to $new: the managers run $reloaded after a reload, $new after a restart; fcgipm run: $both; Perl: $result"
