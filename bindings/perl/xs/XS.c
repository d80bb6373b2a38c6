/*
 * The three things that a page is made of thousands of times, in C where perl's headers were there to build it: a
 * print, the parameters into a hash, a line of the body. FCGIPM::XS loads it; without it the same is done in Perl,
 * and whatever is not usual is done in Perl in any case.
 */
#define PERL_NO_GET_CONTEXT
#include "EXTERN.h"
#include "perl.h"
#include "XSUB.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* FCGIPM::Stream::Output: its fields, and how what is gathered begins. t/xs.t compares them. */
enum { GATHERED = 0, FIRST_BYTE = 0xFF, ENOUGH = 32 * 1024 };

/* FCGIPM::Stream::Input */
enum { BUFFER = 4 };

/* FCGIPM_PARAMS_ENVIRONMENT */
enum { SCOPE_ENVIRONMENT = 0 };

/* fcgipm_request_params of the library that FCGIPM::FFI has loaded; set before the first request. */
static int32_t (*request_params)(const void *, uint32_t, const uint8_t **, size_t *);

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

/* A field of a stream, which is an array; NULL if it is none. */
static SV *field(pTHX_ SV *stream, SSize_t number)
{
    if (!SvROK(stream) || SvTYPE(SvRV(stream)) != SVt_PVAV || SvRMAGICAL(SvRV(stream)))
        return NULL;
    SV **place = av_fetch((AV *)SvRV(stream), number, 0);
    return place ? *place : NULL;
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
XS(print_items)
{
    dXSARGS;
    SV *gathered = items >= 2 ? field(aTHX_ ST(0), GATHERED) : NULL;
    gathered = gathered && SvROK(gathered) ? SvRV(gathered) : NULL;
    if (gathered && SvPOK(gathered) && !SvUTF8(gathered) && SvCUR(gathered) && (U8)*SvPVX_const(gathered) == FIRST_BYTE
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
XS(read_line)
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

/* The value becomes a scalar of its own: a program may have kept the one that was there. */
static void store(pTHX_ HV *hash, const struct parameter *parameter)
{
    SV *value = newSVpvn(parameter->value, parameter->value_length);
    if (hv_store(hash, parameter->name, parameter->name_length, value, 0))
        SvSETMAGIC(value); /* of %ENV: the process's environment */
    else
        SvREFCNT_dec_NN(value);
}

/* A value of %ENV that is nobody else's and holds nothing but bytes. */
static bool is_untouched(SV *value)
{
    const MAGIC *magic = SvTYPE(value) == SVt_PVMG && !SvOBJECT(value) ? SvMAGIC(value) : NULL;
    return SvREFCNT(value) == 1 && SvPOK(value) && !SvROK(value) && !SvUTF8(value) && !SvREADONLY(value) && magic
        && magic->mg_type == PERL_MAGIC_envelem && !magic->mg_moremagic;
}

/* Setting an element of %ENV changes the process's environment and is what costs, and most of what one request has
 * the next has, too. False if the hash has not just the names of these parameters. */
static bool update(pTHX_ HV *hash, const uint8_t *at, const uint8_t *end)
{
    STRLEN count = 0;
    while (at < end) {
        struct parameter next;
        at = parameter(at, &next);
        SV **place = hv_fetch(hash, next.name, next.name_length, 0);
        if (!place)
            return false;
        count++;
        if (!is_untouched(*place)) {
            store(aTHX_ hash, &next);
        } else if (SvCUR(*place) != next.value_length || memcmp(SvPVX_const(*place), next.value, next.value_length)) {
            sv_setpvn(*place, next.value, next.value_length);
            SvSETMAGIC(*place);
        }
    }
    return count == HvUSEDKEYS(hash);
}

/* fill(request, scope, hash): the hash holds the request's parameters, and nothing else. False if this is for Perl
 * to do: a hash that is tied or locked, or a request that has no parameters to tell of. */
XS(fill)
{
    dXSARGS;
    if (items != 3)
        croak_xs_usage(cv, "request, scope, hash");
    const void *request = INT2PTR(const void *, SvUV(ST(0)));
    uint32_t scope = (uint32_t)SvUV(ST(1));
    HV *hash = (HV *)SvRV(ST(2));
    bool is_env = PL_envgv && GvHV(PL_envgv) == hash;
    const uint8_t *data;
    size_t length;
    if (SvREADONLY((SV *)hash) || (SvMAGICAL((SV *)hash) && !is_env) || (is_env && scope != SCOPE_ENVIRONMENT)
        || request_params(request, scope, &data, &length) != 0)
        XSRETURN_NO;

    const uint8_t *end = data + length;
    hv_iterinit(hash);
    if (!is_env || !update(aTHX_ hash, data, end)) {
        hv_clear(hash);
        while (data < end) {
            struct parameter next;
            data = parameter(data, &next);
            store(aTHX_ hash, &next);
        }
    }
    XSRETURN_YES;
}

/* use_library(address of fcgipm_request_params) */
XS(use_library)
{
    dXSARGS;
    if (items != 1)
        croak_xs_usage(cv, "address");
    request_params = INT2PTR(int32_t(*)(const void *, uint32_t, const uint8_t **, size_t *), SvUV(ST(0)));
    XSRETURN_EMPTY;
}

XS_EXTERNAL(boot_FCGIPM__XS)
{
    dXSBOOTARGSXSAPIVERCHK;
    PERL_UNUSED_VAR(items);
    newXS("FCGIPM::XS::print_items", print_items, __FILE__);
    newXS("FCGIPM::XS::read_line", read_line, __FILE__);
    newXS("FCGIPM::XS::fill", fill, __FILE__);
    newXS("FCGIPM::XS::use_library", use_library, __FILE__);
    Perl_xs_boot_epilog(aTHX_ ax);
}
