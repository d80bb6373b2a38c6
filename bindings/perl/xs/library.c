/*
 * The library's functions as Perl subs: FCGIPM::Library::NAME calls fcgipm_NAME. FCGIPM::FFI does the
 * same through FFI::Platypus, where this part was not built, and the two convert alike: undef is NULL
 * or 0, and a NULL is returned as nothing.
 *
 * There is one sub for each shape (result_arguments):
 *
 *     i, u, s, l   int32_t, uint32_t, size_t, int64_t
 *     p, c         a pointer, a string that ends with NUL
 *     b            a scalar whose buffer the library fills; the next argument is how much of it
 *     o            a reference to a scalar that gets a pointer or a length
 *     v            nothing
 */
#include "XS.h"

typedef void (*address)(void);

struct function {
    const char *name;
    XSUBADDR_t shape;
    address at;
};

static void *p(pTHX_ SV *sv)
{
    SvGETMAGIC(sv);
    return SvOK(sv) ? INT2PTR(void *, SvUV_nomg(sv)) : NULL;
}

static int32_t i(pTHX_ SV *sv)
{
    SvGETMAGIC(sv);
    return SvOK(sv) ? (int32_t)SvIV_nomg(sv) : 0;
}

static uint32_t u(pTHX_ SV *sv)
{
    SvGETMAGIC(sv);
    return SvOK(sv) ? (uint32_t)SvUV_nomg(sv) : 0;
}

static size_t s(pTHX_ SV *sv)
{
    SvGETMAGIC(sv);
    return SvOK(sv) ? (size_t)SvUV_nomg(sv) : 0;
}

static const char *c(pTHX_ SV *sv)
{
    SvGETMAGIC(sv);
    return SvOK(sv) ? SvPV_nomg_nolen(sv) : NULL;
}

static char *b(pTHX_ SV *sv, size_t size)
{
    char *buffer = SvPV_force_nolen(sv);
    if (SvCUR(sv) < size)
        Perl_croak(aTHX_ "a buffer of %" UVuf " bytes is said to have %" UVuf, (UV)SvCUR(sv), (UV)size);
    return buffer;
}

static void o(pTHX_ SV *reference, UV value, bool is_null)
{
    if (!SvROK(reference))
        return;
    if (is_null)
        sv_setsv(SvRV(reference), &PL_sv_undef);
    else
        sv_setuv(SvRV(reference), value);
}

/* The arguments by their position. */
#define P(at) p(aTHX_ ST(at))
#define I(at) i(aTHX_ ST(at))
#define U(at) u(aTHX_ ST(at))
#define S(at) s(aTHX_ ST(at))
#define C(at) c(aTHX_ ST(at))
#define B(at) b(aTHX_ ST(at), S((at) + 1))

#define CALLED(count)                                                                \
    dXSARGS;                                                                         \
    const struct function *called = (const struct function *)XSANY.any_ptr;          \
    if (items != (count))                                                            \
    Perl_croak(aTHX_ "%s takes %d arguments, not %d", called->name, (count), (int)items)

#define AS(result, ...) ((result(*)(__VA_ARGS__))called->at)

#define SHAPE_NUMBER(name, count, call)     \
    XS_INTERNAL(name)                       \
    {                                       \
        CALLED(count);                      \
        XSRETURN_IV((IV)(call));            \
    }

#define SHAPE_POINTER(name, count, call)    \
    XS_INTERNAL(name)                       \
    {                                       \
        CALLED(count);                      \
        void *result = (call);              \
        if (!result)                        \
            XSRETURN_EMPTY;                 \
        XSRETURN_UV(PTR2UV(result));        \
    }

#define SHAPE_STRING(name, count, call)     \
    XS_INTERNAL(name)                       \
    {                                       \
        CALLED(count);                      \
        const char *result = (call);        \
        if (!result)                        \
            XSRETURN_EMPTY;                 \
        XSRETURN_PV(result);                \
    }

#define SHAPE_NOTHING(name, count, call)    \
    XS_INTERNAL(name)                       \
    {                                       \
        CALLED(count);                      \
        (call);                             \
        XSRETURN_EMPTY;                     \
    }

SHAPE_STRING(c_, 0, AS(const char *, void)())
SHAPE_STRING(c_i, 1, AS(const char *, int32_t)(I(0)))
SHAPE_STRING(c_p, 1, AS(const char *, void *)(P(0)))
SHAPE_POINTER(p_, 0, AS(void *, void)())
SHAPE_POINTER(p_p, 1, AS(void *, void *)(P(0)))
SHAPE_POINTER(p_iup, 3, AS(void *, int32_t, uint32_t, void *)(I(0), U(1), P(2)))
SHAPE_NOTHING(v_p, 1, AS(void, void *)(P(0)))
SHAPE_NUMBER(i_, 0, AS(int32_t, void)())
SHAPE_NUMBER(i_i, 1, AS(int32_t, int32_t)(I(0)))
SHAPE_NUMBER(i_ii, 2, AS(int32_t, int32_t, int32_t)(I(0), I(1)))
SHAPE_NUMBER(i_cs, 2, AS(int32_t, const char *, size_t)(C(0), S(1)))
SHAPE_NUMBER(i_cip, 3, AS(int32_t, const char *, int32_t, void *)(C(0), I(1), P(2)))
SHAPE_NUMBER(i_cscsc, 5, AS(int32_t, const char *, size_t, const char *, size_t, const char *)(C(0), S(1), C(2), S(3), C(4)))
SHAPE_NUMBER(i_p, 1, AS(int32_t, void *)(P(0)))
SHAPE_NUMBER(i_pi, 2, AS(int32_t, void *, int32_t)(P(0), I(1)))
SHAPE_NUMBER(i_pu, 2, AS(int32_t, void *, uint32_t)(P(0), U(1)))
SHAPE_NUMBER(i_pii, 3, AS(int32_t, void *, int32_t, int32_t)(P(0), I(1), I(2)))
SHAPE_NUMBER(i_pcc, 3, AS(int32_t, void *, const char *, const char *)(P(0), C(1), C(2)))
SHAPE_NUMBER(i_pcs, 3, AS(int32_t, void *, const char *, size_t)(P(0), C(1), S(2)))
SHAPE_NUMBER(i_pbs, 3, AS(int32_t, void *, char *, size_t)(P(0), B(1), S(2)))
SHAPE_NUMBER(i_pcbs, 4, AS(int32_t, void *, const char *, char *, size_t)(P(0), C(1), B(2), S(3)))
SHAPE_NUMBER(l_pbs, 3, AS(int64_t, void *, char *, size_t)(P(0), B(1), S(2)))
SHAPE_NUMBER(l_pucs, 4, AS(int64_t, void *, uint32_t, const char *, size_t)(P(0), U(1), C(2), S(3)))
SHAPE_NUMBER(l_pucsbs, 6, AS(int64_t, void *, uint32_t, const char *, size_t, char *, size_t)(P(0), U(1), C(2), S(3), B(4), S(5)))

XS_INTERNAL(i_puoo)
{
    CALLED(4);
    void *found = NULL;
    size_t length = 0;
    int32_t result = AS(int32_t, void *, uint32_t, void **, size_t *)(P(0), U(1), &found, &length);
    o(aTHX_ ST(2), PTR2UV(found), !found);
    o(aTHX_ ST(3), length, false);
    XSRETURN_IV(result);
}

XS_INTERNAL(i_pcsoo)
{
    CALLED(5);
    void *found = NULL;
    size_t length = 0;
    int32_t result = AS(int32_t, void *, const char *, size_t, void **, size_t *)(P(0), C(1), S(2), &found, &length);
    o(aTHX_ ST(3), PTR2UV(found), !found);
    o(aTHX_ ST(4), length, false);
    XSRETURN_IV(result);
}

/* t/xs.t compares the shapes with the types in FCGIPM::FFI. */
static struct function functions[] = {
    { "version", c_, NULL },
    { "last_error_message", c_, NULL },
    { "error_name", c_i, NULL },
    { "log_write", i_cs, NULL },
    { "options_new", p_, NULL },
    { "options_free", v_p, NULL },
    { "options_set", i_pcc, NULL },
    { "options_effective", i_pcbs, NULL },
    { "socket_open", i_cip, NULL },
    { "socket_close", i_i, NULL },
    { "socket_is_listening", i_i, NULL },
    { "request_new", p_iup, NULL },
    { "request_free", v_p, NULL },
    { "request_accept", i_p, NULL },
    { "request_forget_signals", i_p, NULL },
    { "request_finish_with", i_pcs, NULL },
    { "request_abandon", i_p, NULL },
    { "request_continue_in_child", i_p, NULL },
    { "request_read_in_child", i_p, NULL },
    { "request_detach", i_p, NULL },
    { "request_attach", i_p, NULL },
    { "request_belongs_here", i_pu, NULL },
    { "request_set_exit_status", i_pu, NULL },
    { "request_peer_address", i_pbs, NULL },
    { "request_aborted", i_p, NULL },
    { "request_role", i_p, NULL },
    { "request_params", i_puoo, NULL },
    { "request_copy_params", l_pucsbs, NULL },
    { "request_param", i_pcsoo, NULL },
    { "request_read", l_pbs, NULL },
    { "request_read_full", l_pbs, NULL },
    { "request_write", l_pucs, NULL },
    { "request_flush", i_p, NULL },
    { "request_start_filter_data", i_p, NULL },
    { "manager_new", p_p, NULL },
    { "manager_of_worker", p_, NULL },
    { "manager_free", v_p, NULL },
    { "manager_next", i_p, NULL },
    { "manager_next_within", i_pu, NULL },
    { "manager_host_forks", i_pi, NULL },
    { "manager_fork_begins", i_p, NULL },
    { "manager_forked", i_pii, NULL },
    { "manager_resize", i_pu, NULL },
    { "manager_event_pid", i_p, NULL },
    { "manager_event_status", i_p, NULL },
    { "manager_event_message", c_p, NULL },
    { "manager_signal", i_pi, NULL },
    { "signal_chain", i_p, NULL },
    { "worker_retire", i_, NULL },
    { "worker_retiring", i_, NULL },
    { "worker_protect", i_, NULL },
    { "worker_protect_signal", i_ii, NULL },
    { "worker_notice_given", i_, NULL },
    { "process_started", i_cscsc, NULL },
};

enum { FUNCTIONS = sizeof functions / sizeof *functions };

struct library library;

/* FCGIPM::XS->names: the functions that attach() needs. */
XS_EXTERNAL(names)
{
    dXSARGS;
    PERL_UNUSED_VAR(items);
    EXTEND(SP, FUNCTIONS);
    for (int each = 0; each < FUNCTIONS; each++)
        ST(each) = sv_2mortal(newSVpv(functions[each].name, 0));
    XSRETURN(FUNCTIONS);
}

static bool is(const struct function *function, const char *name)
{
    return strcmp(function->name, name) == 0;
}

/* Those that the other files call without going through perl. */
static void note(const struct function *function)
{
    if (is(function, "request_accept"))
        library.accept = (int32_t(*)(void *))function->at;
    else if (is(function, "request_forget_signals"))
        library.forget_signals = (int32_t(*)(void *))function->at;
    else if (is(function, "request_role"))
        library.role = (int32_t(*)(const void *))function->at;
    else if (is(function, "request_params"))
        library.params = (int32_t(*)(const void *, uint32_t, const uint8_t **, size_t *))function->at;
    else if (is(function, "request_read_full"))
        library.read_full = (int64_t(*)(void *, uint8_t *, size_t))function->at;
    else if (is(function, "request_finish_with"))
        library.finish_with = (int32_t(*)(void *, const uint8_t *, size_t))function->at;
}

/* FCGIPM::XS->attach(name, address): the function becomes a sub of FCGIPM::Library. */
XS_EXTERNAL(attach)
{
    dXSARGS;
    if (items != 3)
        croak_xs_usage(cv, "class, name, address");
    const char *name = SvPV_nolen(ST(1));
    for (int each = 0; each < FUNCTIONS; each++) {
        if (!is(&functions[each], name))
            continue;
        functions[each].at = INT2PTR(address, SvUV(ST(2)));
        SV *full = sv_2mortal(Perl_newSVpvf(aTHX_ "FCGIPM::Library::%s", name));
        CvXSUBANY(newXS(SvPV_nolen(full), functions[each].shape, __FILE__)).any_ptr = &functions[each];
        note(&functions[each]);
    }
    XSRETURN_EMPTY;
}

/* FCGIPM::XS->handler_variable: where perl keeps the address of its C handler of signals. */
XS_EXTERNAL(handler_variable)
{
    dXSARGS;
    PERL_UNUSED_VAR(items);
    XSRETURN_UV(PTR2UV(&PL_csighandlerp));
}
