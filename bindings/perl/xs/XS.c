/* The library's functions, and what FCGIPM::XS exports. */
#include "XS.h"

struct library library;

/* use_library(addresses of fcgipm_request_accept, _forget_signals, _role, _params, _read_full,
 * _finish_with) */
XS_INTERNAL(use_library)
{
    dXSARGS;
    if (items != 6)
        croak_xs_usage(cv, "accept, forget_signals, role, params, read_full, finish_with");
    library.accept = INT2PTR(int32_t(*)(void *), SvUV(ST(0)));
    library.forget_signals = INT2PTR(int32_t(*)(void *), SvUV(ST(1)));
    library.role = INT2PTR(int32_t(*)(const void *), SvUV(ST(2)));
    library.params = INT2PTR(int32_t(*)(const void *, uint32_t, const uint8_t **, size_t *), SvUV(ST(3)));
    library.read_full = INT2PTR(int64_t(*)(void *, uint8_t *, size_t), SvUV(ST(4)));
    library.finish_with = INT2PTR(int32_t(*)(void *, const uint8_t *, size_t), SvUV(ST(5)));
    XSRETURN_EMPTY;
}

XS_EXTERNAL(boot_FCGIPM__XS)
{
    dXSBOOTARGSXSAPIVERCHK;
    PERL_UNUSED_VAR(items);
    newXS("FCGIPM::XS::print_items", print_items, __FILE__);
    newXS("FCGIPM::XS::read_line", read_line, __FILE__);
    newXS("FCGIPM::XS::read_bytes", read_bytes, __FILE__);
    newXS("FCGIPM::XS::forget_signals", forget_signals, __FILE__);
    newXS("FCGIPM::XS::accept", accept_request, __FILE__);
    newXS("FCGIPM::XS::watch_signal", watch_signal, __FILE__);
    newXS("FCGIPM::XS::begin", begin, __FILE__);
    newXS("FCGIPM::XS::end", end, __FILE__);
    newXS("FCGIPM::XS::use_library", use_library, __FILE__);
    Perl_xs_boot_epilog(aTHX_ ax);
}
