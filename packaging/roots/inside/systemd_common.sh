#!/bin/sh
# For scripts in a machine that runs systemd, with the installed packages and the C example as /srv/hello. Clients run in
# units of their own, as an ordinary user. Each row prints what was measured.
set -eu

failed() {
    echo "FAILED: $row: $*" >&2
    exit 1
}

eventually() {
    tries=0
    until "$@" >/dev/null 2>&1; do
        tries=$((tries + 1))
        [ $tries -lt 150 ] || failed "not within 30 s: $*"
        sleep 0.2
    done
}

measured() {
    echo "measured: $row: $*"
}

# The milliseconds that a command takes, in $took; its exit status in $code.
timed() {
    begin=$(date +%s%3N)
    code=0
    "$@" >/tmp/said 2>&1 || code=$?
    took=$(($(date +%s%3N) - begin))
}

# A command of the web server's user, in a unit. $1: name. systemd may not have forgotten the last one with this name yet.
client() {
    name=$1
    shift
    systemd-run --quiet --collect --unit="client-$name-$(date +%s%N)" --uid=www-data --pipe --wait -- "$@"
}

# Load in the background, and its result. $1: name, $2: seconds, $3: address
load() {
    client "$1" fcgipm load -c 4 -t "$2" --timeout 20 "$3" >"/tmp/load.$1" 2>&1 &
    eval "loading_$1=$!"
    sleep 1
}

load_result() {
    eval "wait \$loading_$1" || true
    result=$(head -n 1 "/tmp/load.$1")
    result="$(echo "$result" | grep -o 'requests=[0-9]*') $(echo "$result" | grep -o 'lost=[0-9]*')"
    case $result in
        requests=*' lost=0') ;;
        *) failed "$result: $(cat "/tmp/load.$1")" ;;
    esac
}

# A pool of the C example, whose workers run /srv/deploy first. $1: name, $2: address, then further lines of the file
pool() {
    mkdir -p /etc/fcgipm
    rm -f "/etc/fcgipm/$1.toml"
    pool_in "$1" "$@"
}

# The same as one more pool of a file. $1: name of the file, then as above
pool_in() {
    file=/etc/fcgipm/$1.toml name=$2 listen=$3
    shift 3
    {
        printf '[[pool]]\nname = "%s"\nlisten = "%s"\nworkers = 3\npreload = false\n' "$name" "$listen"
        printf 'command = ["/srv/hello", "fd:0"]\nuser = "shop"\n'
        printf 'env = { HELLO_START = "/srv/deploy/%s", HELLO_GATE = "/run/gate" }\n' "$name"
        case $listen in
            /*) printf 'listen_group = "www-data"\nlisten_mode = "660"\n' ;;
        esac
        [ $# = 0 ] || printf '%s\n' "$@"
    } >>"$file"
    deploy "$name" 'exit 0'
}

# What new workers of a pool run. $1: pool, $2: script
deploy() {
    mkdir -p /srv/deploy
    printf '#!/bin/sh\n%s\n' "$2" >"/srv/deploy/$1.new"
    chmod 755 "/srv/deploy/$1.new"
    mv "/srv/deploy/$1.new" "/srv/deploy/$1"
}

# $1: unit, then lines of [Service]
drop_in() {
    unit=$1
    shift
    mkdir -p "/run/systemd/system/$unit.d"
    printf '%s\n' '[Service]' "$@" >"/run/systemd/system/$unit.d/test.conf"
    systemctl daemon-reload
}

main_pid() {
    systemctl show --property=MainPID --value "$1"
}

# The pids of the workers that serve ten requests. $1: address
serving() {
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        client ask fcgipm call --to "$1" / | sed -n 's/^Hello from worker \([0-9]*\),.*/\1/p'
    done | sort -u
}

# The workers of a pool. $1: address
workers() {
    fcgipm status "$1" | sed -n 's/^\([0-9][0-9]*\) .*/\1/p' | sort
}

# A worker that is not one of those before serves. $1: address, $2: their pids
is_served_anew() {
    answer=$(timeout 2 fcgipm call --to "$1" / 2>/dev/null | sed -n 's/^Hello from worker \([0-9]*\),.*/\1/p')
    [ "$answer" ] && ! echo "$2" | grep -qx "$answer"
}

# Of a request that takes four seconds, while the manager is killed: what its client gets, and how long it takes until
# new workers serve. $1: unit, $2: address
kill_manager() {
    old=$(workers "$2")
    rm -f /run/gate
    mkfifo -m 666 /run/gate
    client slow fcgipm call --to "$2" /pause >/tmp/slow 2>&1 &
    slow=$!
    # Opening it waits for the worker.
    exec 9>/run/gate
    sleep 4 &
    exec 9>&-
    before=$(main_pid "$1")
    kill -KILL "$before"
    begin=$(date +%s%3N)
    tries=0
    # Just after the kill, an old worker may still accept.
    until is_served_anew "$2" "$old"; do
        tries=$((tries + 1))
        [ $tries -lt 200 ] || break
        sleep 0.05
    done
    took=$(($(date +%s%3N) - begin))
    if wait $slow; then slow=answered; else slow=lost; fi
}

# The version of systemd, such as 257.
systemd_version=$(systemctl --version | sed -n '1s/^systemd \([0-9]*\).*/\1/p')

id shop >/dev/null 2>&1 || useradd --system --no-create-home shop
