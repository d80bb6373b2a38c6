#!/bin/sh
# A Debian root that runs systemd. Sourced after root.sh; also by hand:
#
#     machine_boot DIR [ARGUMENTS OF systemd-nspawn...]    boots it, and waits until its services have started
#     machine_run COMMAND...                               a command of root in it
#     machine_off stopped|failed                           powers it off; before, prints the journal if a test has failed
#
# The machine has no network but its own loopback, and is registered nowhere. A command of machine_run has every
# capability, so what is tested runs in units. Everything ends with the process that called machine_boot, after
# machine_limit seconds at the latest.

machine_limit=${machine_limit:-900}

machine_boot() {
    machine_root=$1
    shift
    for tool in systemd-nspawn nsenter flock; do
        command -v $tool >/dev/null 2>&1 || root_fail "$tool is missing; type: apt-get install systemd-container util-linux"
    done
    # Machines share the control groups of this system, so there is one at a time.
    exec 8>"${TMPDIR:-/tmp}/fcgipm-machine.lock"
    flock --timeout "$machine_limit" 8 || root_fail "another machine has run for $machine_limit s"
    machine_log=$machine_root.console
    # A machine outlives systemd-nspawn if that is killed, but not its namespace of process numbers.
    setpriv --pdeathsig KILL timeout --kill-after=5 "$machine_limit" setpriv --pdeathsig KILL \
        unshare --mount --pid --fork --kill-child --mount-proc systemd-nspawn --quiet --register=no --keep-unit --private-network --kill-signal=SIGRTMIN+4 -b -D "$machine_root" "$@" \
        >"$machine_log" 2>&1 </dev/null 8>&- &
    machine_process=$!
    machine_init=
    tries=0
    until [ "$machine_init" ] && machine_run systemctl is-system-running 2>/dev/null | grep -q 'running\|degraded'; do
        kill -0 "$machine_process" 2>/dev/null || { tail -n 20 "$machine_log" >&2; root_fail "the machine ended while it booted"; }
        tries=$((tries + 1))
        [ $tries -lt 300 ] || { tail -n 20 "$machine_log" >&2; machine_off stopped; root_fail "the machine did not boot within 60 s"; }
        machine_init=$(machine_find systemd)
        sleep 0.2
    done
}

# The descendant of machine_process with this name: systemd-nspawn, or the first process of the machine, systemd.
machine_find() {
    process=$machine_process
    while [ "$(cat "/proc/$process/comm" 2>/dev/null)" != "$1" ]; do
        process=$(tr -d ' ' <"/proc/$process/task/$process/children") 2>/dev/null || return 0
        [ "$process" ] || return 0
    done
    echo "$process"
}

machine_run() {
    timeout --kill-after=5 "$machine_limit" nsenter -t "$machine_init" -a env -i HOME=/root LANG=C.UTF-8 TERM=dumb \
        PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$@"
}

machine_off() {
    if [ "$1" = failed ] && [ "$machine_init" ]; then
        machine_run journalctl --no-pager --lines=200 --output=short-monotonic || true
    fi
    # For systemd-nspawn this is the signal that powers off.
    nspawn=$(machine_find systemd-nspawn)
    [ -z "$nspawn" ] || kill -TERM "$nspawn" 2>/dev/null || true
    tries=0
    while kill -0 "$machine_process" 2>/dev/null && [ $tries -lt 150 ]; do
        tries=$((tries + 1))
        sleep 0.2
    done
    kill -KILL "$machine_process" 2>/dev/null || true
    wait "$machine_process" 2>/dev/null || true
    exec 8>&-
}
