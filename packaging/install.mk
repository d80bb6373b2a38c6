# Installs what `make build` has built. Nothing is built here: `make install` often runs as root, which must not own
# files below target/. packaging/install/install.sh does the work, from a list for each part.
#
# Any of these may be given, in capitals or with the names of GNU's coding standards. DESTDIR is put before every path
# and appears in no file. The units, fcgipm.pc and the example name the directories given to `make install`.

DESTDIR      ?=
PREFIX       ?= $(or $(prefix),/usr/local)
EXEC_PREFIX  ?= $(or $(exec_prefix),$(PREFIX))
BINDIR       ?= $(or $(bindir),$(EXEC_PREFIX)/bin)
LIBDIR       ?= $(or $(libdir),$(EXEC_PREFIX)/lib)
INCLUDEDIR   ?= $(or $(includedir),$(PREFIX)/include)
DATADIR      ?= $(or $(datarootdir),$(PREFIX)/share)
MANDIR       ?= $(or $(mandir),$(DATADIR)/man)
DOCDIR       ?= $(or $(docdir),$(DATADIR)/doc/fcgipm)
# Not $(PREFIX)/etc: an operator looks for the files of a service in /etc, wherever its program is.
SYSCONFDIR   ?= $(or $(sysconfdir),/etc)
PKGCONFIGDIR ?= $(LIBDIR)/pkgconfig
UNITDIR      ?= $(PREFIX)/lib/systemd/system
BASHCOMPDIR  ?= $(DATADIR)/bash-completion/completions
ZSHCOMPDIR   ?= $(DATADIR)/zsh/site-functions
FISHCOMPDIR  ?= $(DATADIR)/fish/vendor_completions.d
PERL             ?= perl
PERL_INSTALLDIRS ?= site

# `fcgipm run` looks for the drop-in in lib and lib64 beside its own directory, and here.
DROPIN_BESIDE := $(shell realpath -m -s --relative-to='$(BINDIR)' '$(LIBDIR)')
ifeq ($(filter ../lib ../lib64,$(DROPIN_BESIDE)),)
export FCGIPM_DROPIN_PLACE := $(DROPIN_BESIDE)/fcgipm/libfcgi.so.0
endif

INSTALL_PARTS := lib dev command man doc perl

INSTALL = VERSION='$(VERSION)' RELEASE='$(RELEASE)' DROPIN='$(DROPIN)' LIBFCGI_VERSION='$(LIBFCGI_VERSION)' DESTDIR='$(DESTDIR)' \
  PREFIX='$(PREFIX)' EXEC_PREFIX='$(EXEC_PREFIX)' BINDIR='$(BINDIR)' LIBDIR='$(LIBDIR)' INCLUDEDIR='$(INCLUDEDIR)' \
  DATADIR='$(DATADIR)' MANDIR='$(MANDIR)' DOCDIR='$(DOCDIR)' SYSCONFDIR='$(SYSCONFDIR)' \
  PKGCONFIGDIR='$(PKGCONFIGDIR)' UNITDIR='$(UNITDIR)' BASHCOMPDIR='$(BASHCOMPDIR)' ZSHCOMPDIR='$(ZSHCOMPDIR)' \
  FISHCOMPDIR='$(FISHCOMPDIR)' PERL='$(PERL)' PERL_INSTALLDIRS='$(PERL_INSTALLDIRS)' \
  PERL_PREFIX='$(PERL_PREFIX)' \
  DROPIN_BESIDE='$(DROPIN_BESIDE)' packaging/install/install.sh

.PHONY: install uninstall $(INSTALL_PARTS:%=install-%)

install: ## everything that `make build` built, into PREFIX=/usr/local (DESTDIR=, LIBDIR= ...: packaging/install.mk)
	@$(INSTALL) install $(INSTALL_PARTS)

uninstall: ## remove what `make install` with the same variables installed
	@$(INSTALL) remove $(INSTALL_PARTS)

# One part: lib, dev, command, man, doc or perl.
$(INSTALL_PARTS:%=install-%): install-%:
	@$(INSTALL) install $*
