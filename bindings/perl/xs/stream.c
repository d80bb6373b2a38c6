/* PRINT, READLINE and READ of the streams. */
#include "XS.h"

static bool flushes_each_print(pTHX)
{
    IO *io = PL_defoutgv ? GvIOp(PL_defoutgv) : NULL;
    return io && (IoFLAGS(io) & IOf_FLUSH);
}

static bool is_defined(pTHX_ GV *glob)
{
    return glob && (SvGMAGICAL(GvSVn(glob)) || SvOK(GvSVn(glob)));
}

static SV *field(pTHX_ SV *reference, SSize_t number)
{
    return SvROK(reference) ? field_of(aTHX_ SvRV(reference), number) : NULL;
}

/* A byte string without magic, which could run code. */
static bool is_bytes(SV *sv)
{
    return SvOK(sv) && !SvROK(sv) && !SvUTF8(sv) && !SvGMAGICAL(sv);
}

/* Appends the items; nothing if one is not a byte string, or if they exceed the limit. */
static bool gather(pTHX_ SV *gathered, SV **items, I32 count)
{
    STRLEN before = SvCUR(gathered);
    for (I32 i = 0; i < count; i++) {
        STRLEN length = 0;
        const char *bytes = is_bytes(items[i]) ? SvPV_nomg_const(items[i], length) : NULL;
        if (!bytes || SvUTF8(items[i]) || length >= GATHER_LIMIT || SvCUR(gathered) + length > GATHER_LIMIT) {
            SvCUR_set(gathered, before);
            *SvEND(gathered) = '\0';
            return false;
        }
        sv_catpvn_nomg(gathered, bytes, length);
    }
    return true;
}

/* PRINT of FCGIPM::Stream::Output. The first byte is not OPEN_BYTE if the stream is closed. */
XS_EXTERNAL(print_items)
{
    dXSARGS;
    SV *gathered = items >= 2 ? field(aTHX_ ST(0), GATHERED) : NULL;
    gathered = gathered && SvROK(gathered) ? SvRV(gathered) : NULL;
    if (gathered && SvPOK(gathered) && !SvUTF8(gathered) && SvCUR(gathered) && (U8)*SvPVX_const(gathered) == OPEN_BYTE
        && !PL_ors_sv && (items == 2 || !is_defined(aTHX_ PL_ofsgv)) && !flushes_each_print(aTHX)) {
        SvPV_force_nolen(gathered); /* it may share its buffer with a copy */
        if (gather(aTHX_ gathered, &ST(1), items - 1)) {
            ST(0) = &PL_sv_yes;
            XSRETURN(1);
        }
    }
    in_perl(aTHX_ "FCGIPM::Stream::Output::print_in_perl", &ST(0) - 1, G_SCALAR);
}

/* READLINE of FCGIPM::Stream::Input in scalar context, for a line that is in the buffer. */
XS_EXTERNAL(read_line)
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

/* The library's request, if the input's buffer is empty and its end was not reached; else NULL. */
static void *open_request(pTHX_ SV *stream)
{
    SV *buffer = field(aTHX_ stream, BUFFER), *at_end = field(aTHX_ stream, AT_END), *handle = field(aTHX_ stream, HANDLE);
    if (!buffer || !SvPOK(buffer) || SvCUR(buffer) || !at_end || SvTRUE_nomg(at_end) || !handle || !SvROK(handle)
        || !SvIOK(SvRV(handle)))
        return NULL;
    return INT2PTR(void *, SvUVX(SvRV(handle)));
}

/* A scalar without magic that reading replaces, and a length that is worth a call. */
static bool is_usual_read(pTHX_ SV *into, SV *length, SV *offset)
{
    return SvTYPE(into) <= SVt_PVMG && !SvROK(into) && !SvUTF8(into) && !SvMAGICAL(into) && !SvREADONLY(into) && SvIOK(length)
        && !SvGMAGICAL(length) && SvIVX(length) >= DIRECT_FROM && SvIVX(length) <= DIRECT_TO
        && (!offset || (SvIOK(offset) && !SvGMAGICAL(offset) && SvIVX(offset) == 0));
}

/* READ of FCGIPM::Stream::Input, directly into the scalar, so that a large body is in memory once.
 * After a short read its bytes become the buffer, and the Perl sub finds out the reason. */
XS_EXTERNAL(read_bytes)
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
