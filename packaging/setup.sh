#!/bin/sh
# Installs the Debian packages that a purpose needs and that are missing: build, run, check, test, bench, dist, deb,
# rpm or roots. Runs as root, or through sudo if that needs no password; otherwise it prints the command to type.
set -eu

build="gcc g++ libc6-dev perl"
run="$build libffi-platypus-perl libcgi-pm-perl curl"
# The programs of docs/PROGRAMS.md: a download of about 300 MB, nearly all of it for QGIS.
recipes="spawn-fcgi multiwatch cgi-mapserver mapcache-cgi qgis-server shibboleth-sp-utils"
# Whole applications. The portal of LemonLDAP needs the packages after it to start.
applications="gitweb git smokeping w3c-markup-validator libcgi-compile-perl libcgi-emulate-psgi-perl lemonldap-ng-fastcgi-server liblemonldap-ng-portal-perl libgd-securityimage-perl libimage-magick-perl libmime-tools-perl libemail-sender-perl libstring-random-perl munin"
# Man pages, completions, units, and what C and C++ programs are built with.
installed="man-db mandoc zsh fish systemd pkgconf cmake meson clang abigail-tools"
# The status page in a browser, its pictures, and what checks its accessibility. npm may be from elsewhere.
browser="chromium chromium-driver fonts-dejavu-core pngquant"
command -v npm >/dev/null 2>&1 || browser="$browser npm"
test="$run $installed libfcgi-perl libfcgi-procmanager-perl libfcgi-procmanager-maxrequests-perl libfcgi-client-perl libcgi-fast-perl libplack-perl libtest-requires-perl libtest-tcp-perl libtest-sharedfork-perl libwww-perl libtest-deep-perl xz-utils nginx-light apache2 libapache2-mod-fcgid lighttpd strace valgrind procps util-linux binutils libnss-wrapper libfcgi-dev libfcgi-bin libcatalyst-perl libcapture-tiny-perl libipc-run3-perl libserver-starter-perl libdevel-nytprof-perl libposix-atfork-perl fcgiwrap iipimage-server ruby-fcgi lua5.1 lua-wsapi lua-wsapi-fcgi php-cgi php-fpm prometheus tmux $browser $recipes $applications"
check="$run codespell reuse"
dist="git xz-utils perl"
# Packages of distributions, and the clean roots that these are tested in.
deb="$build debhelper dpkg-dev libperl-dev lintian xz-utils"
rpm="$build rpm rpmlint xz-utils"
roots="$build debootstrap dpkg-dev util-linux xz-utils"
bench="$run libfcgi-dev libfcgi-perl libfcgi-procmanager-perl php-fpm strace valgrind"

purpose=${1:-}
case "$purpose" in
    build) wanted=$build ;;
    run) wanted=$run ;;
    check) wanted=$check ;;
    dist) wanted=$dist ;;
    test) wanted=$test ;;
    bench) wanted=$bench ;;
    deb) wanted=$deb ;;
    rpm) wanted=$rpm ;;
    roots) wanted=$roots ;;
    *) echo "usage: $0 build|run|check|test|bench|dist|deb|rpm|roots" >&2; exit 2 ;;
esac

if ! command -v cargo >/dev/null 2>&1; then
    echo "fcgipm needs a Rust toolchain (cargo): see https://rustup.rs" >&2
    exit 1
fi
if ! command -v dpkg-query >/dev/null 2>&1; then
    echo "not a Debian or Ubuntu system: install the equivalent of: $wanted" >&2
    exit 0
fi

# The tests also run the original modules' own tests, which no package contains.
fetch_originals() {
    [ "$purpose" = test ] || exit 0
    exec "$(dirname "$0")/originals.sh"
}

missing=
for package in $wanted; do
    status=$(dpkg-query -W -f='${Status}' "$package" 2>/dev/null || true)
    [ "$status" = "install ok installed" ] || missing="$missing $package"
done
[ -n "$missing" ] || fetch_originals

install="apt-get update && apt-get install -y --no-install-recommends$missing"
if [ "$(id -u)" = 0 ]; then
    as_root="sh -c"
elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
    as_root="sudo sh -c"
else
    echo "these packages are missing:$missing" >&2
    echo "type: sudo sh -c '$install'" >&2
    exit 1
fi
# Packages must not start their services: the tests start their own.
policy=/usr/sbin/policy-rc.d
$as_root "[ -e $policy ] || { printf '#!/bin/sh\nexit 101\n' >$policy && chmod +x $policy && touch $policy.fcgipm; }"
code=0
DEBIAN_FRONTEND=noninteractive $as_root "$install" || code=$?
$as_root "[ ! -e $policy.fcgipm ] || rm -f $policy $policy.fcgipm"
[ $code = 0 ] && fetch_originals
exit $code
