/*
 * What every request does, and what a page does thousands of times (a print, a line of the body), in C where perl's
 * headers were there to build it. FCGIPM::XS loads it. Without it the same is done in Perl, and whatever is not
 * usual is done in Perl in any case.
 */
#define PERL_NO_GET_CONTEXT
#include "EXTERN.h"
#include "perl.h"
#include "XSUB.h"

#if PERL_VERSION < 22
#error "perl 5.22 or later is needed"
#endif

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* FCGIPM::Stream::Output: its fields, what its bytes begin with, and how many there may be. t/xs.t compares them. */
enum { GATHERED = 0, OUTPUT_CLOSED = 3, HELD = 11, OPEN_BYTE = 0xFF, SHUT_BYTE = 0, ENOUGH = 32 * 1024 };

/* FCGIPM::Stream::Input. */
enum { HANDLE = 1, BUFFER = 4, AT_END = 5, FAILURE = 6, INPUT_CLOSED = 8, DIRECT_FROM = 4 * 1024, DIRECT_TO = 1024 * 1024 };

/* Of fcgipm.h. */
enum { EFORKED = -3, SCOPE_ENVIRONMENT = 0 };

/* The functions of the library that FCGIPM::FFI has loaded; set before the first request. */
static struct {
    int32_t (*accept)(void *);
    int32_t (*forget_signals)(void *);
    int32_t (*role)(const void *);
    int32_t (*params)(const void *, uint32_t, const uint8_t **, size_t *);
    int64_t (*read_full)(void *, uint8_t *, size_t);
    int32_t (*finish_with)(void *, const uint8_t *, size_t);
} library;

/* Goes on in Perl with the arguments as they are. What that returns stands where this was to return it. */
static void in_perl(pTHX_ const char *name, SV **mark, I32 context)
{
    PUSHMARK(mark);
    call_pv(name, context);
}

static bool flushes_each_print(pTHX)
{
    IO *io = PL_defoutgv ? GvIOp(PL_defoutgv) : NULL;
    return io && (IoFLAGS(io) & IOf_FLUSH);
}

static bool is_defined(pTHX_ GV *glob)
{
    return glob && (SvGMAGICAL(GvSVn(glob)) || SvOK(GvSVn(glob)));
}

/* av_fetch, which is a call of 34 instructions and would be made thirty times for a request, for the element of a usual array
 * that is there. */
static SV **element(pTHX_ AV *array, SSize_t at, I32 is_made)
{
    if (!SvRMAGICAL((SV *)array) && at <= AvFILLp(array) && AvARRAY(array)[at])
        return &AvARRAY(array)[at];
    return av_fetch(array, at, is_made);
}

/* A field of a stream, which is an array; NULL if it is none. */
static SV *field_of(pTHX_ SV *stream, SSize_t number)
{
    SV **place = SvTYPE(stream) == SVt_PVAV && !SvRMAGICAL(stream) ? element(aTHX_ (AV *)stream, number, 0) : NULL;
    return place ? *place : NULL;
}

static SV *field(pTHX_ SV *reference, SSize_t number)
{
    return SvROK(reference) ? field_of(aTHX_ SvRV(reference), number) : NULL;
}

/* Of bytes, with no magic that would have to be asked. */
static bool is_bytes(SV *sv)
{
    return SvOK(sv) && !SvROK(sv) && !SvUTF8(sv) && !SvGMAGICAL(sv);
}

/* Appends the items, or nothing if one is unusual or together they are too much. */
static bool gather(pTHX_ SV *gathered, SV **items, I32 count)
{
    STRLEN before = SvCUR(gathered);
    for (I32 i = 0; i < count; i++) {
        STRLEN length = 0;
        const char *bytes = is_bytes(items[i]) ? SvPV_nomg_const(items[i], length) : NULL;
        if (!bytes || SvUTF8(items[i]) || length >= ENOUGH || SvCUR(gathered) + length > ENOUGH) {
            SvCUR_set(gathered, before);
            *SvEND(gathered) = '\0';
            return false;
        }
        sv_catpvn_nomg(gathered, bytes, length);
    }
    return true;
}

/* PRINT of FCGIPM::Stream::Output. A closed stream's bytes do not begin with the mark. */
XS_INTERNAL(print_items)
{
    dXSARGS;
    SV *gathered = items >= 2 ? field(aTHX_ ST(0), GATHERED) : NULL;
    gathered = gathered && SvROK(gathered) ? SvRV(gathered) : NULL;
    if (gathered && SvPOK(gathered) && !SvUTF8(gathered) && SvCUR(gathered) && (U8)*SvPVX_const(gathered) == OPEN_BYTE
        && !PL_ors_sv && (items == 2 || !is_defined(aTHX_ PL_ofsgv)) && !flushes_each_print(aTHX)) {
        SvPV_force_nolen(gathered); /* it may share its bytes with a copy */
        if (gather(aTHX_ gathered, &ST(1), items - 1)) {
            ST(0) = &PL_sv_yes;
            XSRETURN(1);
        }
    }
    in_perl(aTHX_ "FCGIPM::Stream::Output::print_in_perl", &ST(0) - 1, G_SCALAR);
}

/* READLINE of FCGIPM::Stream::Input in scalar context, of a line that is there. */
XS_INTERNAL(read_line)
{
    dXSARGS;
    SV *separator = get_sv("/", 0);
    SV *buffer = items == 1 && GIMME_V == G_SCALAR ? field(aTHX_ ST(0), BUFFER) : NULL;
    if (buffer && SvPOK(buffer) && is_bytes(buffer) && SvCUR(buffer) && separator && SvPOK(separator) && !SvUTF8(separator)
        && SvCUR(separator) == 1) {
        const char *begin = SvPV_force_nolen(buffer);
        const char *found = memchr(begin, *SvPVX_const(separator), SvCUR(buffer));
        if (found) {
            SV *line = newSVpvn_flags(begin, found + 1 - begin, SVs_TEMP);
            sv_chop(buffer, found + 1);
            ST(0) = line;
            XSRETURN(1);
        }
    }
    in_perl(aTHX_ "FCGIPM::Stream::Input::read_line_in_perl", &ST(0) - 1, GIMME_V);
}

/* The library's request of an input that has nothing buffered and may have more, or NULL. */
static void *open_request(pTHX_ SV *stream)
{
    SV *buffer = field(aTHX_ stream, BUFFER), *at_end = field(aTHX_ stream, AT_END), *handle = field(aTHX_ stream, HANDLE);
    if (!buffer || !SvPOK(buffer) || SvCUR(buffer) || !at_end || SvTRUE_nomg(at_end) || !handle || !SvROK(handle)
        || !SvIOK(SvRV(handle)))
        return NULL;
    return INT2PTR(void *, SvUVX(SvRV(handle)));
}

/* A plain scalar, which reading replaces, and a length that is worth a call. */
static bool is_usual_read(pTHX_ SV *into, SV *length, SV *offset)
{
    return SvTYPE(into) <= SVt_PVMG && !SvROK(into) && !SvUTF8(into) && !SvMAGICAL(into) && !SvREADONLY(into) && SvIOK(length)
        && !SvGMAGICAL(length) && SvIVX(length) >= DIRECT_FROM && SvIVX(length) <= DIRECT_TO
        && (!offset || (SvIOK(offset) && !SvGMAGICAL(offset) && SvIVX(offset) == 0));
}

/* READ of FCGIPM::Stream::Input into the scalar itself, so that a large body is in memory once. Why one comes short, Perl finds
 * out: until then its bytes are what is buffered. */
XS_INTERNAL(read_bytes)
{
    dXSARGS;
    bool is_usual = (items == 3 || items == 4) && is_usual_read(aTHX_ ST(1), ST(2), items == 4 ? ST(3) : NULL);
    void *request = is_usual ? open_request(aTHX_ ST(0)) : NULL;
    if (request) {
        SV *into = ST(1);
        STRLEN length = (STRLEN)SvIVX(ST(2));
        dSAVE_ERRNO;
        sv_setpvs(into, "");
        int64_t got = library.read_full(request, (uint8_t *)SvGROW(into, length + 1), length);
        RESTORE_ERRNO;
        SvCUR_set(into, got > 0 ? (STRLEN)got : 0);
        *SvEND(into) = '\0';
        SvPOK_only(into);
        if (got == (int64_t)length) {
            ST(0) = sv_2mortal(newSViv((IV)got));
            XSRETURN(1);
        }
        if (got > 0)
            sv_setsv_nomg(field(aTHX_ ST(0), BUFFER), into);
    }
    in_perl(aTHX_ "FCGIPM::Stream::Input::read_in_perl", &ST(0) - 1, G_SCALAR);
}

/* Parameters as fcgipm_request_params has them: of each name and value the length (32 bits, the most significant
 * byte first), the bytes, and a NUL. */
struct parameter {
    const char *name, *value;
    I32 name_length;
    STRLEN value_length;
};

static const uint8_t *text(const uint8_t *at, const char **bytes, size_t *length)
{
    *length = (size_t)at[0] << 24 | (size_t)at[1] << 16 | (size_t)at[2] << 8 | at[3];
    *bytes = (const char *)at + 4;
    return at + 4 + *length + 1;
}

static const uint8_t *parameter(const uint8_t *at, struct parameter *into)
{
    size_t length;
    at = text(at, &into->name, &length);
    into->name_length = (I32)length;
    at = text(at, &into->value, &length);
    into->value_length = length;
    return at;
}

/* Stays until this request has begun, whatever Perl code does that runs meanwhile: a value that is replaced may be an object,
 * and its DESTROY may do anything. */
static void hold(pTHX_ SV *sv)
{
    sv_2mortal(SvREFCNT_inc_simple_NN(sv));
}

/* The value becomes a scalar of its own: a program may have kept the one that was there. */
static void store(pTHX_ HV *hash, const struct parameter *parameter)
{
    SV *value = newSVpvn(parameter->value, parameter->value_length);
    SvREFCNT_inc_simple_void_NN(value); /* for the hash; the DESTROY of what was there may delete it */
    if (hv_store(hash, parameter->name, parameter->name_length, value, 0)) {
        if (SvREFCNT(value) > 1)
            SvSETMAGIC(value); /* of %ENV: the process's environment */
    } else {
        SvREFCNT_dec_NN(value);
    }
    SvREFCNT_dec_NN(value);
}

/* A value that is nobody else's and holds nothing but bytes: in %ENV also that which makes it the process's. */
static bool is_untouched(SV *value, bool is_env)
{
    if (SvREFCNT(value) != 1 || !SvPOK(value) || SvROK(value) || SvUTF8(value) || SvREADONLY(value))
        return false;
    if (!is_env)
        return SvTYPE(value) == SVt_PV;
    const MAGIC *magic = SvTYPE(value) == SVt_PVMG && !SvOBJECT(value) ? SvMAGIC(value) : NULL;
    return magic && magic->mg_type == PERL_MAGIC_envelem && !magic->mg_moremagic;
}

/* Which elements of a hash were met, by where their values stand: a parameter may come twice. */
struct met {
    SV ***places;
    STRLEN mask;
};

static struct met nothing_met(pTHX_ STRLEN count)
{
    STRLEN size = 64;
    while (size < 2 * count)
        size *= 2;
    SV *memory = sv_2mortal(newSV(size * sizeof(SV **)));
    return (struct met) { memset(SvPVX(memory), 0, size * sizeof(SV **)), size - 1 };
}

static bool is_first(struct met *met, SV **place)
{
    STRLEN at = (uintptr_t)place / sizeof(SV *) & met->mask;
    for (; met->places[at]; at = (at + 1) & met->mask)
        if (met->places[at] == place)
            return false;
    met->places[at] = place;
    return true;
}

/* Most of what one request has the next has, too, and a value that is the same need not be made again; in %ENV that
 * would change the process's environment. False if the hash has not just the names of these parameters, or a name is
 * among them twice. */
static bool update(pTHX_ HV *hash, bool is_env, const uint8_t *at, const uint8_t *end)
{
    STRLEN left = HvUSEDKEYS(hash);
    struct met met = nothing_met(aTHX_ left);
    while (at < end) {
        struct parameter next;
        at = parameter(at, &next);
        SV **place = hv_fetch(hash, next.name, next.name_length, 0);
        if (!left || !place || !is_first(&met, place))
            return false;
        left--;
        if (!is_untouched(*place, is_env)) {
            store(aTHX_ hash, &next);
        } else if (SvCUR(*place) != next.value_length || memcmp(SvPVX_const(*place), next.value, next.value_length)) {
            sv_setpvn(*place, next.value, next.value_length);
            SvSETMAGIC(*place);
        }
    }
    return left == 0;
}

/* The hash holds the request's parameters, and nothing else. False if this is for Perl to do: a hash that is tied or
 * locked, or a request that has no parameters to tell of. */
static bool fill(pTHX_ const void *request, uint32_t scope, HV *hash)
{
    bool is_env = PL_envgv && GvHV(PL_envgv) == hash;
    const uint8_t *data;
    size_t length;
    if (SvREADONLY((SV *)hash) || (SvMAGICAL((SV *)hash) && !is_env) || mg_find((SV *)hash, PERL_MAGIC_tied)
        || is_env != (scope == SCOPE_ENVIRONMENT) || library.params(request, scope, &data, &length) != 0
        || length > I32_MAX)
        return false;

    /* A value that goes may be an object, and its DESTROY may do anything, even end the request. */
    data = (const uint8_t *)SvPVX(sv_2mortal(newSVpvn((const char *)data, length)));
    const uint8_t *end = data + length;
    hv_iterinit(hash);
    if (!update(aTHX_ hash, is_env, data, end)) {
        hv_clear(hash);
        while (data < end) {
            struct parameter next;
            data = parameter(data, &next);
            store(aTHX_ hash, &next);
        }
    }
    return true;
}

/* What a field of the request refers to, if it is of this type; else NULL. */
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

/* The library's request, which is a number in a scalar of its own; NULL if there is none. */
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
    const char first[] = { (char)(closed ? SHUT_BYTE : OPEN_BYTE), '\0' };
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

/* begin(request object) after Accept: FCGIPM::Request::begin_in_perl. As tie(), but TIEHANDLE of these streams has
 * nothing to do. In this order, because one handle may have two places. */
XS_INTERNAL(begin)
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
        /* What the glob holds may have gone or been replaced while the hash was filled. */
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

/* Whether an output has something to send beyond what is gathered: in a child. */
static bool holds(pTHX_ SV *stream)
{
    SV *held = field_of(aTHX_ stream, HELD);
    return held && SvROK(held) && SvPOK(SvRV(held)) && SvCUR(SvRV(held)) > 0;
}

/* end(request object): FCGIPM::Request::_end of a request that is this process's, has its handles tied and has written
 * nothing to the error stream that would still have to go out. False for any other, with which nothing was done. */
XS_INTERNAL(end)
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

/* forget_signals(the library's request, or undef): fcgipm_request_forget_signals, as FCGIPM::FFI calls it. */
XS_INTERNAL(forget_signals)
{
    dXSARGS;
    if (items != 1)
        croak_xs_usage(cv, "request");
    library.forget_signals(SvOK(ST(0)) ? INT2PTR(void *, SvUV(ST(0))) : NULL);
    XSRETURN_EMPTY;
}

/* Whether an element of %SIG that stands for a handler of the library's was assigned to, restored or deleted: perl has
 * replaced that handler then, without a trace in its own table. */
static bool is_signal_touched;

static int signal_is_touched(pTHX_ SV *sv, MAGIC *magic)
{
    PERL_UNUSED_ARG(sv);
    PERL_UNUSED_ARG(magic);
    is_signal_touched = true;
    return 0;
}

/* `local` copies it to the element that is there in the meantime. */
static const MGVTBL watching = { .svt_set = signal_is_touched, .svt_clear = signal_is_touched, .svt_free = signal_is_touched };

/* watch_signal(reference to the element) */
XS_INTERNAL(watch_signal)
{
    dXSARGS;
    SV *element = items == 1 && SvROK(ST(0)) ? SvRV(ST(0)) : NULL;
    if (element && !mg_findext(element, PERL_MAGIC_ext, &watching))
        sv_magicext(element, NULL, PERL_MAGIC_ext, &watching, NULL, 0);
    XSRETURN_EMPTY;
}

/* accept(the library's request): fcgipm_request_accept, as FCGIPM::FFI calls it. */
XS_INTERNAL(accept_request)
{
    dXSARGS;
    if (items != 1)
        croak_xs_usage(cv, "request");
    if (is_signal_touched) {
        PUSHMARK(SP);
        call_pv("FCGIPM::Signals::restore", G_DISCARD | G_VOID | G_NOARGS);
        is_signal_touched = false;
    }
    XSRETURN_IV(library.accept(INT2PTR(void *, SvUV(ST(0)))));
}

/* use_library(addresses of fcgipm_request_accept, _forget_signals, _role, _params, _read_full, _finish_with) */
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
