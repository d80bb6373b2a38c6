# The Perl binding: its compiled part, its man pages, and the archive for CPAN.

# For the installed perl. In a build tree, the modules find the compiled part below the library.
PERL_HEADERS = $(shell $(PERL) -MConfig -e 'print "$$Config{archlibexp}/CORE"' 2>/dev/null)
PERL_CFLAGS  = $(shell $(PERL) -MConfig -e 'print "$$Config{ccflags} $$Config{cccdlflags}"')
XS_SOURCES  := $(wildcard bindings/perl/xs/*.c)

$(XS): $(XS_SOURCES) bindings/perl/xs/XS.h Cargo.toml $(wildcard $(PERL_HEADERS)/config.h) | setup-build
	@mkdir -p $(@D)
	$(CC) $(PERL_CFLAGS) $(CPPFLAGS) $(CFLAGS) -std=gnu11 $(WARNINGS) -Wno-unused-parameter -isystem $(PERL_HEADERS) \
	  -DVERSION='"$(VERSION)"' -DXS_VERSION='"$(VERSION)"' $(LDFLAGS) -shared -Wl,-z,relro -Wl,-z,now \
	  $(STRIPPED) -o $@ $(XS_SOURCES)

# A page for each file with documentation, named like its module.
PODS := $(shell grep -rl '^=head1' bindings/perl/lib)

$(PERL_PAGES): $(PODS)
	@mkdir -p $(@D)
	rm -f $(@D)/*.3pm
	for pod in $(PODS); do \
	  name=$$(echo "$${pod#bindings/perl/lib/}" | sed 's/\.[a-z]*$$//; s|/|::|g'); \
	  $(PERL) -MPod::Man -e 'my ($$name, $$pod, $$page) = @ARGV; \
	    Pod::Man->new(name => $$name, section => "3pm", center => "Perl modules", release => "fcgipm $(VERSION)", \
	    errors => "die")->parse_from_file($$pod, $$page)' "$$name" "$$pod" "$(@D)/$$name.3pm" || exit 1; done
	touch $@

# Unless PREFIX was given, perl's own directories: where perl looks for modules is not below /usr/local everywhere.
PERL_PREFIX := $(if $(filter file,$(origin PREFIX)),$(prefix),$(PREFIX))

.PHONY: cpan
cpan: ## the archive of the Perl modules: target/dist/FCGIPM-VERSION.tar.gz
cpan:
	@PERL='$(PERL)' packaging/cpan.sh $(or $(CARGO_TARGET_DIR),target)/dist
