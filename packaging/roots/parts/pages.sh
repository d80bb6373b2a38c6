# Every command block of README, MIGRATING and PROGRAMS is executed with the installed packages: see inside/pages.pl.

part_pages() {
    programs='gcc libc6-dev pkg-config curl nginx-light systemd libfcgi-perl libfcgi-procmanager-perl libcgi-pm-perl
        libcgi-fast-perl libplack-perl libcatalyst-perl spawn-fcgi multiwatch fcgiwrap php-cgi gitweb munin
        cgi-mapserver mapcache-cgi qgis-server iipimage-server shibboleth-sp-utils'
    # shellcheck disable=SC2086
    root_with "$1" pages "$root_store/$1/debs" $programs
    mkdir -p "$root/pages/docs" "$root/pages/client"
    cp README.md "$root/pages/"
    cp docs/MIGRATING.md docs/PROGRAMS.md "$root/pages/docs/"
    cp bindings/perl/t/lib/FastCGIClient.pm "$root/pages/client/"
    cp -r packaging/roots/inside "$root/inside"
    root_run "$root" perl /inside/pages.pl run
}
