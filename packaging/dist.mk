# The source archive for distributions. Included by the Makefile.

.PHONY: dist
dist: ## the source archive, with all crates: target/dist/fcgipm-VERSION.tar.xz
	@$(SETUP) dist
	@CARGO='$(CARGO)' packaging/dist.sh $(or $(CARGO_TARGET_DIR),target)/dist
