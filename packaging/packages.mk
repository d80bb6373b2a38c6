# Packages of distributions, and their tests in clean roots of Debian.

.PHONY: deb rpm test-packages test-containers

# `make dist` is the source of all of them.
deb: ## Debian packages in target/deb
deb: dist
	@$(SETUP) deb
	@packaging/deb.sh

rpm: ## RPM packages in target/rpm
rpm: dist
	@$(SETUP) rpm
	@packaging/rpm.sh

# As root: it makes roots with debootstrap. About 25 minutes.
test-packages: ## build, install and run the packages in clean roots (ROOTS='bookworm trixie', PARTS=: see packaging/roots/test.sh)
test-packages: dist
	@$(SETUP) roots
	@packaging/roots/test.sh

# As root, with buildah, podman and runc, and with the packages and the root that `make test-packages` has left.
test-containers: ## build and run the images of docs/CONTAINERS.md
	@packaging/containers/test.sh target/roots/trixie/debs target/roots/trixie.tar target/containers
