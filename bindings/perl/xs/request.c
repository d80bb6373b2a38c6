/* The begin and the end of a request. */
#include "XS.h"

/* What a field of the request object refers to, if it has this type; else NULL. */
static SV *referent(pTHX_ HV *self, const char *name, svtype type)
{
    SV **place = hv_fetch(self, name, (I32)strlen(name), 0);
    SV *found = place && SvROK(*place) ? SvRV(*place) : NULL;
    return found && SvTYPE(found) == type ? found : NULL;
}

static void set_number(pTHX_ HV *self, const char *name, IV value)
{
    SV **place = hv_fetch(self, name, (I32)strlen(name), 1);
    if (place)
        sv_setiv(*place, value);
}

static IV number(pTHX_ HV *self, const char *name)
{
    SV **place = hv_fetch(self, name, (I32)strlen(name), 0);
    return place ? SvIV(*place) : 0;
}

/* The library's request: its address is a number in a scalar that the streams share. Or NULL. */
static void *library_request(pTHX_ HV *self)
{
    SV **place = hv_fetchs(self, "handle", 0);
    SV *handle = place && SvROK(*place) ? SvRV(*place) : NULL;
    return handle && SvIOK(handle) ? INT2PTR(void *, SvUV(handle)) : NULL;
}

/* A request's three handles and the streams that they are tied to. */
struct ties {
    SV *stream[3];
    GV *handle[3];
};

static bool find_ties(pTHX_ HV *self, struct ties *ties)
{
    AV *streams = (AV *)referent(aTHX_ self, "streams", SVt_PVAV);
    AV *handles = (AV *)referent(aTHX_ self, "handles", SVt_PVAV);
    if (!streams || !handles)
        return false;
    for (int i = 0; i < 3; i++) {
        SV **stream = element(aTHX_ streams, i, 0), **handle = element(aTHX_ handles, i, 0);
        if (!stream || !SvROK(*stream) || SvTYPE(SvRV(*stream)) != SVt_PVAV || !handle || !SvROK(*handle)
            || !isGV_with_GP(SvRV(*handle)))
            return false;
        ties->stream[i] = SvRV(*stream);
        ties->handle[i] = (GV *)SvRV(*handle);
        if (!GvIOp(ties->handle[i]))
            return false;
    }
    return true;
}

static MAGIC *tie_of(GV *handle)
{
    return SvMAGICAL((SV *)GvIOp(handle)) ? mg_find((SV *)GvIOp(handle), PERL_MAGIC_tiedscalar) : NULL;
}

static void set_field(pTHX_ SV *stream, SSize_t number, IV value)
{
    SV **place = element(aTHX_ (AV *)stream, number, 1);
    if (place)
        sv_setiv(*place, value);
}

static void set_bytes(pTHX_ SV *stream, SSize_t number, const char *bytes, STRLEN length)
{
    SV **place = element(aTHX_ (AV *)stream, number, 1);
    if (place)
        sv_setpvn(number == GATHERED && SvROK(*place) ? SvRV(*place) : *place, bytes, length);
}

static void set_streams(pTHX_ const struct ties *ties, bool closed)
{
    const char first[] = { (char)(closed ? CLOSED_BYTE : OPEN_BYTE), '\0' };
    set_bytes(aTHX_ ties->stream[0], BUFFER, "", 0);
    set_field(aTHX_ ties->stream[0], AT_END, closed);
    set_field(aTHX_ ties->stream[0], INPUT_CLOSED, closed);
    if (!closed)
        set_field(aTHX_ ties->stream[0], FAILURE, 0);
    for (int i = 1; i < 3; i++) {
        set_bytes(aTHX_ ties->stream[i], GATHERED, first, 1);
        set_field(aTHX_ ties->stream[i], OUTPUT_CLOSED, closed);
    }
}

/* begin(request object), called by Accept: FCGIPM::Request::begin_in_perl. It ties like tie(), but
 * does not call TIEHANDLE, which does nothing for these streams. For the order of the handles see
 * FCGIPM::Request::Handles. */
XS_EXTERNAL(begin)
{
    dXSARGS;
    struct ties ties;
    HV *self = items == 1 && SvROK(ST(0)) ? (HV *)SvRV(ST(0)) : NULL;
    HV *hash = self ? (HV *)referent(aTHX_ self, "environment", SVt_PVHV) : NULL;
    void *request = hash ? library_request(aTHX_ self) : NULL;
    if (!request || !find_ties(aTHX_ self, &ties)) {
        in_perl(aTHX_ "FCGIPM::Request::begin_in_perl", &ST(0) - 1, G_DISCARD | G_VOID);
        XSRETURN_EMPTY;
    }
    hold(aTHX_ (SV *)self);
    hold(aTHX_ (SV *)hash);
    for (int i = 0; i < 3; i++) {
        hold(aTHX_ ties.stream[i]);
        hold(aTHX_ (SV *)ties.handle[i]);
    }
    set_streams(aTHX_ &ties, false);
    set_number(aTHX_ self, "active", 1);
    if (!fill(aTHX_ request, (uint32_t)number(aTHX_ self, "scope"), hash))
        in_perl(aTHX_ "FCGIPM::Request::Environment::fill", &ST(0) - 1, G_DISCARD | G_VOID);
    const int order[] = { 1, 2, 0 };
    for (int i = 0; i < 3; i++) {
        GV *handle = ties.handle[order[i]];
        /* Perl code that ran while the hash was filled may have replaced what the glob holds. */
        IO *io = isGV_with_GP(handle) ? GvIOn(handle) : NULL;
        if (io && !tie_of(handle)) {
            SV *reference = newRV_inc(ties.stream[order[i]]);
            sv_magic((SV *)io, reference, PERL_MAGIC_tiedscalar, NULL, 0);
            SvREFCNT_dec_NN(reference);
        }
    }
    set_number(aTHX_ self, "bound", 1);
    XSRETURN_EMPTY;
}

/* Whether an output holds back bytes, in a child of the process that accepted the request. */
static bool holds(pTHX_ SV *stream)
{
    SV *held = field_of(aTHX_ stream, HELD);
    return held && SvROK(held) && SvPOK(SvRV(held)) && SvCUR(SvRV(held)) > 0;
}

/* end(request object): FCGIPM::Request::_end, if this process accepted the request, its handles are
 * tied, and nothing is gathered for STDERR. Otherwise it does nothing and returns false. */
XS_EXTERNAL(end)
{
    dXSARGS;
    struct ties ties;
    HV *self = items == 1 && SvROK(ST(0)) ? (HV *)SvRV(ST(0)) : NULL;
    void *request = self && number(aTHX_ self, "bound") ? library_request(aTHX_ self) : NULL;
    if (!request || !find_ties(aTHX_ self, &ties) || library.role(request) == EFORKED
        || holds(aTHX_ ties.stream[1]) || holds(aTHX_ ties.stream[2]))
        XSRETURN_NO;
    SV *out = field_of(aTHX_ ties.stream[1], GATHERED), *err = field_of(aTHX_ ties.stream[2], GATHERED);
    out = out && SvROK(out) ? SvRV(out) : NULL;
    err = err && SvROK(err) ? SvRV(err) : NULL;
    if (!out || !SvPOK(out) || SvUTF8(out) || !SvCUR(out) || !err || !SvPOK(err) || SvCUR(err) != 1)
        XSRETURN_NO;
    for (int i = 0; i < 3; i++) {
        MAGIC *tie = tie_of(ties.handle[i]);
        if (!tie || !tie->mg_obj || !SvROK(tie->mg_obj)
            || (SvRV(tie->mg_obj) != ties.stream[0] && SvRV(tie->mg_obj) != ties.stream[1]
                && SvRV(tie->mg_obj) != ties.stream[2]))
            XSRETURN_NO;
    }

    for (int i = 0; i < 3; i++)
        sv_unmagic((SV *)GvIOp(ties.handle[i]), PERL_MAGIC_tiedscalar);
    set_number(aTHX_ self, "bound", 0);
    set_number(aTHX_ self, "active", 0);
    library.finish_with(request, (const uint8_t *)SvPVX_const(out) + 1, SvCUR(out) - 1);
    set_streams(aTHX_ &ties, true);
    XSRETURN_YES;
}
