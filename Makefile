# `make help` lists the targets. Cargo builds Rust. make adds the version node of the shared library,
# other languages, and the set-up of a new machine.

CARGO   ?= cargo
CC      ?= cc
CXX     ?= c++
# What a distribution wants for its packages is added to what is required, in every compilation and every link.
CFLAGS   ?= -O2 -g
CPPFLAGS ?=
LDFLAGS  ?=
WARNINGS ?= -Wall -Wextra -Werror
# Symbols stay, for debuggers and for the debug packages of distributions; STRIP=yes leaves them out.
STRIP    ?= no
# Installs the Debian packages that a target needs. `make SETUP=: ...` installs none.
SETUP    ?= packaging/setup.sh
RELEASE := $(or $(CARGO_TARGET_DIR),target)/release
LIBRARY := $(RELEASE)/libfcgipm.so
SONAME  := libfcgipm.so.0
COMMAND := $(RELEASE)/fcgipm
HELLO   := $(RELEASE)/examples/hello
DROPIN  := $(or $(CARGO_TARGET_DIR),target)/dropin
XS      := $(RELEASE)/perl/auto/FCGIPM/XS/XS.so
PERL_PAGES := $(RELEASE)/man/FCGIPM.3pm
PAGES   := $(RELEASE)/man/fcgipm.1
VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
CRATES  := --workspace

include packaging/install.mk
include packaging/dist.mk
include packaging/perl.mk
include packaging/packages.mk

ifneq ($(STRIP),no)
STRIPPED := -Wl,-s
export CARGO_PROFILE_RELEASE_STRIP = symbols
endif

.PHONY: help setup build build-installed setup-build run test test-fast bench screenshots check fuzz clean FORCE
.DEFAULT_GOAL := build

# The text after ## is the target's line in this list.
help: ## list the targets
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 28

setup: ## install the Debian packages for building, testing, checking and benchmarks
	@for purpose in check bench test; do $(SETUP) $$purpose || exit 1; done

build: ## library, command, drop-in for libfcgi, compiled part of the Perl binding, example
build: setup-build $(HELLO) $(DROPIN)/libfcgi.so.0 $(XS) $(PAGES) $(PERL_PAGES)

# For packages: without the example, and without the benchmarks and what only they depend on.
build-installed: ## only what `make install` installs
build-installed: CRATES := --package fcgipm --package fcgipm-command --package fcgipm-libfcgi --package fcgipm-pages
build-installed: setup-build $(LIBRARY) $(DROPIN)/libfcgi.so.0 $(XS) $(PAGES) $(PERL_PAGES)

setup-build:
	@$(SETUP) build

# Cargo decides what is out of date. The libfcgipm.so that it links has no symbol versions: rustc passes
# an anonymous version script to the linker, which cannot be combined with a named one. So the library
# that is used and installed is linked here, from the static one.
# LDFLAGS are also for what rustc links.
$(RELEASE)/.cargo: FORCE | setup-build
	$(if $(strip $(LDFLAGS)),RUSTFLAGS='$(strip $(RUSTFLAGS) $(LDFLAGS:%=-Clink-arg=%))') \
	  $(CARGO) build --release $(CRATES) --locked
	@touch $@

$(LIBRARY): $(RELEASE)/.cargo src/ffi/fcgipm.map
	$(CC) $(CFLAGS) $(LDFLAGS) -shared -o $(RELEASE)/linked.so -Wl,--whole-archive $(RELEASE)/libfcgipm.a -Wl,--no-whole-archive \
	  -Wl,--version-script=src/ffi/fcgipm.map -Wl,-soname,$(SONAME) -Wl,--gc-sections -Wl,-z,nodelete \
	  -Wl,-z,relro -Wl,-z,now -Wl,-z,defs -Wl,--as-needed $(STRIPPED) -lgcc_s -lc
	mv -f $(RELEASE)/linked.so $@
	ln -sf libfcgipm.so $(RELEASE)/$(SONAME)

$(HELLO): bindings/c/examples/hello.c include/fcgipm.h $(LIBRARY)
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) -std=c11 $(WARNINGS) -pedantic -Iinclude $(LDFLAGS) -o $@ $< -L$(RELEASE) -lfcgipm \
	  -Wl,-rpath,'$$ORIGIN/..'

# The drop-in for libfcgi exports exactly the names of symbols.txt, without versions, as libfcgi does. Its
# C++ part is a header. Builds link libfcgi++.so, which is only a linker script.
LIBFCGI      := bindings/libfcgi
LIBFCGI_VERSION := 2.4.2

$(DROPIN)/libfcgi.so.0: $(RELEASE)/.cargo $(LIBFCGI)/variadic.c $(LIBFCGI)/symbols.txt $(wildcard $(LIBFCGI)/include/*.h)
	@mkdir -p $(DROPIN)/include
	cp $(LIBFCGI)/include/*.h $(DROPIN)/include
	{ echo '{ global:'; sed 's/$$/;/' $(LIBFCGI)/symbols.txt; echo 'local: *; };'; } >$(DROPIN)/libfcgi.map
	$(CC) $(CPPFLAGS) $(CFLAGS) -std=c11 -fPIC $(WARNINGS) -I$(LIBFCGI)/include -c -o $(DROPIN)/variadic.o $(LIBFCGI)/variadic.c
	$(CC) $(CFLAGS) $(LDFLAGS) -shared -o $(DROPIN)/linked.so $(DROPIN)/variadic.o \
	  -Wl,--whole-archive $(RELEASE)/libfcgi_dropin.a -Wl,--no-whole-archive \
	  -Wl,--version-script=$(DROPIN)/libfcgi.map -Wl,-soname,libfcgi.so.0 -Wl,--gc-sections -Wl,-z,nodelete \
	  -Wl,-z,relro -Wl,-z,now -Wl,-z,defs -Wl,--as-needed $(STRIPPED) -lgcc_s -lc
	mv -f $(DROPIN)/linked.so $@
	ln -sf libfcgi.so.0 $(DROPIN)/libfcgi.so
	echo 'INPUT(-lfcgi)' >$(DROPIN)/libfcgi++.so
	for name in fcgi fcgi++; do printf '%s\n' 'libdir=$${pcfiledir}' 'includedir=$${pcfiledir}/include' '' "Name: $$name" \
	  'Description: libfcgi on the engine of fcgipm' 'Version: $(LIBFCGI_VERSION)' 'Cflags: -I$${includedir}' \
	  'Libs: -L$${libdir} -lfcgi' >$(DROPIN)/$$name.pc; done

# Man pages and completions. They carry the date of what they were generated from, so that they are the same everywhere:
# of the commit, or in an archive that of its files.
SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null || stat -c %Y Cargo.toml)

$(PAGES): $(RELEASE)/.cargo $(wildcard docs/*.md) README.md packaging/systemd/fcgipm.toml.in
	$(RELEASE)/fcgipm-pages $(RELEASE) "$$(date -u -d @$(SOURCE_DATE_EPOCH) +%F)"

# Writes failing inputs to fuzz/artifacts. Needs nightly Rust and cargo-fuzz.
fuzz: ## search for inputs that break a pure layer (FUZZ_SECONDS=300 for each target)
	cd fuzz && for target in wire conn; do \
	  $(CARGO) +nightly fuzz run $$target -- -max_total_time=$(or $(FUZZ_SECONDS),300) -max_len=4096 || exit 1; done

FORCE:

run: ## start the Perl example on :9005 and an HTTP gateway on 127.0.0.1:8080
run: build
	@$(SETUP) run
	@packaging/run.sh

test: ## all tests; LAYER=NAME runs one layer (LAYER=list names them)
ifeq ($(LAYER),list)
test:
else
test: build $(RELEASE)/bench/floor $(RELEASE)/bench/native
	@$(SETUP) test
endif
	@$(if $(LAYER),CARGO='$(CARGO)' tests/layer.sh '$(LAYER)',tests/run.sh)

# These tests need only the packages for the build, and take less than two minutes after it.
test-fast: ## pure layers, unit tests, structure, header and protocol
test-fast: build
	@for layer in structure units header properties corpus pool_simulation conformance; do \
	  echo "== $$layer"; POOL_EVENTS=100000 CARGO='$(CARGO)' tests/layer.sh $$layer || exit 1; done

# It checks the bounds at the end, and fails if one is missed. All scenarios take about 15 minutes.
screenshots: ## write the pictures of the status page in docs/images
screenshots: build
	@$(SETUP) test
	FCGIPM_SCREENSHOTS=$(CURDIR)/docs/images $(CARGO) test --locked -p fcgipm-command --test command -- pictured

# SCENARIO=NAME[,NAME/CASE] and PEERS=NAME[,NAME] select. SCENARIO=micro runs only the
# micro-benchmarks. For ROUNDS= and SECONDS= see target/release/fcgipm-bench --help.
bench: ## measure fcgipm and its peers (SCENARIO=, PEERS=, ROUNDS=, SECONDS=)
bench: build
	@$(SETUP) bench
	@$(MAKE) --no-print-directory bench-programs
ifeq ($(or $(SCENARIO),micro),micro)
	$(CARGO) bench --package fcgipm --benches --locked --quiet
endif
ifneq ($(SCENARIO),micro)
	$(RELEASE)/fcgipm-bench --svg docs/benchmark.svg $(if $(SCENARIO),--scenario $(SCENARIO)) \
	  $(if $(PEERS),--peers $(PEERS)) $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(SECONDS),--seconds $(SECONDS))
endif

BENCH  := $(RELEASE)/bench
PEER_C := -std=gnu11 -O2 -g -Wall -Wextra -Werror

.PHONY: bench-programs
bench-programs: $(BENCH)/floor $(BENCH)/fcgx $(BENCH)/native $(DROPIN)/libfcgi.so.0

$(BENCH)/floor: benches/programs/floor.c benches/programs/workers.h
	@mkdir -p $(@D)
	$(CC) $(PEER_C) -o $@ $<

$(BENCH)/fcgx: benches/programs/fcgx.c benches/programs/workers.h
	@mkdir -p $(@D)
	$(CC) $(PEER_C) -o $@ $< -lfcgi

$(BENCH)/native: benches/programs/native.c include/fcgipm.h $(LIBRARY)
	@mkdir -p $(@D)
	$(CC) $(PEER_C) -Iinclude -o $@ $< -L$(RELEASE) -lfcgipm -Wl,-rpath,'$$ORIGIN/..'

# Generated files must be up to date: the build writes the header, and its test the page of options.
check: ## formatting, lints, generated files, spelling
check: build
	@$(SETUP) check
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings
	$(CARGO) test --locked --quiet --test structure -- language dependencies licences lock_file
	reuse lint --quiet || { reuse lint; exit 1; }
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc --package fcgipm --lib --no-deps --locked --quiet
	git diff --exit-code --stat include docs Cargo.lock
	podchecker -warnings $$(git grep -l '^=head1' -- bindings/perl/lib)
	for file in $$(git ls-files 'bindings/perl/lib/*.pm'); do \
	  case $$file in */Compat/*) compat=-MFCGIPM::Compat ;; *) compat= ;; esac; \
	  FCGIPM_LIB=$(CURDIR)/$(LIBRARY) perl -Ibindings/perl/lib $$compat -wc $$file || exit 1; done
	for file in $$(git ls-files '*.sh' .ci/run packaging/install ':!*.in'); do sh -n $$file || exit 1; done
	git ls-files -z ':!*.svg' ':!*.lock' ':!fuzz/corpus' ':!LICENSE-*' | xargs -0 codespell

clean: ## remove all build output
	$(CARGO) clean
	rm -rf fuzz/target bindings/perl/Makefile bindings/perl/blib bindings/perl/pm_to_blib
