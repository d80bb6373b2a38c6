#!/bin/sh
# Inside a root, what the archive for CPAN does: `inside.sh STEP`. The steps are in the order in which cpan.sh calls them.
set -eu
archive=$(echo /archive/FCGIPM-*.tar.gz)
cd /tmp

fail() {
    echo "$step: $*" >&2
    exit 1
}

# The output of the last command, which must contain a line like this. $1: a pattern of grep -E
says() {
    grep -Eq -e "$1" /tmp/said || { cat /tmp/said >&2; fail "no line like '$1'"; }
}

says_not() {
    ! grep -Eq -e "$1" /tmp/said || { cat /tmp/said >&2; fail "a line like '$1'"; }
}

# As an ordinary user, who has neither rights nor files of root's.
as_user() {
    id tester >/dev/null 2>&1 || useradd --create-home tester
    setpriv --reuid tester --regid tester --clear-groups env HOME=/home/tester PERL_CPANM_HOME=/home/tester/cpanm "$@"
}

# Tests the archive as cpanm does. Further arguments: for cpanm
tests() {
    code=0
    as_user cpanm --verbose --test-only "$@" "$archive" >/tmp/said 2>&1 </dev/null || code=$?
    [ $code = 0 ] || { cat /tmp/said >&2; fail "cpanm failed ($code)"; }
    says '^All tests successful'
    says_not 'skipped'
    sed -n 's/^\(Files=[0-9]*, Tests=[0-9]*\).*/measured: '"$step"': \1/p' /tmp/said
}

# $1: what calls the library
backend() {
    got=$(as_user perl -MFCGIPM -e 'print FCGIPM->backend' 2>&1) || true
    [ "$got" = "$1" ] || fail "FCGIPM->backend is '$got', not $1"
}

without_library() {
    ! as_user cpanm --verbose --test-only "$archive" >/tmp/said 2>&1 </dev/null || fail 'cpanm succeeded'
    says 'Makefile.PL: libfcgipm cannot be loaded: libfcgipm.so.0 from .*: install it \(Debian: apt-get install libfcgipm0; '
    # Not applicable, in contrast to a failure.
    says '^N/A$'
}

# FFI::Platypus is not installed, and not needed.
with_compiler() {
    ! perl -MFFI::Platypus -e 1 2>/dev/null || fail 'FFI::Platypus is installed'
    tests
    says 'Makefile.PL: without t/ffi.t: FFI::Platypus 2 is not installed, and not needed$'
    says '^t/xs.t \.+ ok$'
    cpanm --notest "$archive" >/tmp/said 2>&1 </dev/null || { cat /tmp/said >&2; fail 'cpanm could not install it'; }
    backend XS
    [ -z "$(find /root/.cpanm/work -name '*.so' -newer "$archive" -path '*Platypus*')" ] || fail 'FFI::Platypus was fetched'
    PERL5OPT=-MFCGIPM::Compat perl -e 'require FCGI; exit $INC{"FCGI.pm"} !~ m{FCGIPM}' || fail 'FCGI is not that of FCGIPM::Compat'
}

with_both() {
    tests
    says '^t/xs.t \.+ ok$'
    says '^t/ffi.t \.+ ok$'
    backend XS
}

chosen_without_compiler() {
    tests --configure-args=PUREPERL_ONLY=1
    says 'Makefile.PL: PUREPERL_ONLY: FCGIPM is built without its compiled part; FFI::Platypus calls the library$'
    says_not '^t/xs.t '
}

without_compiler() {
    ! command -v cc || fail 'there is a compiler'
    tests
    says 'Makefile.PL: FCGIPM is built without its compiled part, and requests are slower: there is no C compiler .*: install '
    says_not '^t/xs.t '
}

# What was installed in between, after the package of the library was removed.
library_removed() {
    ! perl -MFCGIPM -e 1 >/tmp/said 2>&1 || fail 'FCGIPM was loaded'
    says '^libfcgipm cannot be loaded: libfcgipm.so.0 from .*: install it \(Debian: apt-get install libfcgipm0; '
}

step=$1
"$step"
echo "$step: ok"
