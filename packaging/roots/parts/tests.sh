# The tests of packaging/debian/tests (DEP-8), each with the installed packages and what it says it needs.


part_tests() {
    root_with "$1" tests "$root_store/$1/debs"
    rm -rf "$root/tests"
    cp -r packaging/debian/tests "$root/tests"
    printf '\n' >>"$root/tests/control"
    wanted=$(sed -n 's/^Depends: *//p' "$root/tests/control" | tr ',' '\n' | tr -d ' ' | sort -u)
    # shellcheck disable=SC2086
    root_apt "$root" install $wanted
    code=0
    for name in $(sed -n 's/^Tests: *//p' "$root/tests/control" | tr ',' ' '); do
        began=$(date +%s)
        if root_run "$root" sh -c "cd /tests && AUTOPKGTEST_TMP=\$(mktemp -d) && export AUTOPKGTEST_TMP && exec ./$name"; then
            echo "measured: $name: ok, $(($(date +%s) - began)) s"
        else
            echo "measured: $name: FAILED"
            code=1
        fi
    done
    return $code
}
