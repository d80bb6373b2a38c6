/* What FCGIPM::XS exports. */
#include "XS.h"

/* What FCGIPM::XS reads before it calls anything here: perl would end the process if this part was
 * built for a perl whose data has another layout. */
extern const char fcgipm_xs_built_for[];
const char fcgipm_xs_built_for[] = XS_VERSION " " PERL_API_VERSION_STRING " " ARCHNAME;

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
    newXS("FCGIPM::XS::names", names, __FILE__);
    newXS("FCGIPM::XS::attach", attach, __FILE__);
    newXS("FCGIPM::XS::handler_variable", handler_variable, __FILE__);
    publish_stack(aTHX);
    Perl_xs_boot_epilog(aTHX_ ax);
}
