# The source archive for distributions, and the licences of what is linked in. Included by the Makefile.

.PHONY: dist
dist: ## the source archive, with all crates: target/dist/fcgipm-VERSION.tar.xz
	@$(SETUP) dist
	@CARGO='$(CARGO)' packaging/dist.sh $(or $(CARGO_TARGET_DIR),target)/dist

LICENSES := $(RELEASE)/THIRD-PARTY-LICENSES

build build-installed: $(LICENSES)

$(LICENSES): packaging/licenses.pl Cargo.lock Cargo.toml src/bin/Cargo.toml bindings/libfcgi/Cargo.toml | setup-build
	@mkdir -p $(@D)
	CARGO='$(CARGO)' $(PERL) packaging/licenses.pl $@
