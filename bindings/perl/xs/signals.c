/* Accept, and changes of %SIG that it has to undo (FCGIPM::Signals). */
#include "XS.h"

/* forget_signals(the library's request, or undef): fcgipm_request_forget_signals, with
 * fewer instructions than FCGIPM::Library::request_forget_signals. */
XS_EXTERNAL(forget_signals)
{
    dXSARGS;
    if (items != 1)
        croak_xs_usage(cv, "request");
    library.forget_signals(SvOK(ST(0)) ? INT2PTR(void *, SvUV(ST(0))) : NULL);
    XSRETURN_EMPTY;
}

/* Whether a placeholder in %SIG was assigned to, restored or deleted. Perl has then replaced the
 * library's handler, even if %SIG looks unchanged. */
static bool is_sig_changed;

static int note_change(pTHX_ SV *sv, MAGIC *magic)
{
    PERL_UNUSED_ARG(sv);
    PERL_UNUSED_ARG(magic);
    is_sig_changed = true;
    return 0;
}

/* `local` copies the magic to the temporary element. */
static const MGVTBL watching = { .svt_set = note_change, .svt_clear = note_change, .svt_free = note_change };

/* watch_signal(reference to the element) */
XS_EXTERNAL(watch_signal)
{
    dXSARGS;
    SV *element = items == 1 && SvROK(ST(0)) ? SvRV(ST(0)) : NULL;
    if (element && !mg_findext(element, PERL_MAGIC_ext, &watching))
        sv_magicext(element, NULL, PERL_MAGIC_ext, &watching, NULL, 0);
    XSRETURN_EMPTY;
}

/* accept(the library's request): fcgipm_request_accept. */
XS_EXTERNAL(accept_request)
{
    dXSARGS;
    if (items != 1)
        croak_xs_usage(cv, "request");
    if (is_sig_changed) {
        PUSHMARK(SP);
        call_pv("FCGIPM::Signals::restore", G_DISCARD | G_VOID | G_NOARGS);
        is_sig_changed = false;
    }
    XSRETURN_IV(library.accept(INT2PTR(void *, SvUV(ST(0)))));
}
