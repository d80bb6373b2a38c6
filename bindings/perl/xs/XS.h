/*
 * FCGIPM::XS: in C, what every request does, and what a page may do thousands of times (a print, a
 * line of the body). The functions handle the common case, and hand every other case to the Perl
 * subs that they replace, with nothing done yet. Those subs are the definition; without this part
 * they do everything.
 *
 *     stream.c    print, readline and read on the handles
 *     params.c    the parameters of a request into the program's hash
 *     request.c   the begin and the end of a request: streams and ties
 *     signals.c   accept, and changes of %SIG
 *     library.c   every function of the library, as a Perl sub
 *     stack.c     where fcgipm backtrace finds the stack
 *     XS.c        what FCGIPM::XS exports
 */
#ifndef FCGIPM_XS_H
#define FCGIPM_XS_H

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

/* Constants of the Perl modules; t/xs.t compares them.
 * FCGIPM::Stream::Output: fields, the first byte of what is gathered, and the limit of it. */
enum { GATHERED = 0, OUTPUT_CLOSED = 3, HELD = 11, OPEN_BYTE = 0xFF, CLOSED_BYTE = 0, GATHER_LIMIT = 32 * 1024 };

/* FCGIPM::Stream::Input: fields, and the lengths that are read directly. */
enum { HANDLE = 1, BUFFER = 4, AT_END = 5, FAILURE = 6, INPUT_CLOSED = 8, DIRECT_FROM = 4 * 1024, DIRECT_TO = 1024 * 1024 };

/* fcgipm.h. */
enum { EFORKED = -3, SCOPE_ENVIRONMENT = 0 };

#pragma GCC visibility push(hidden)

/* Functions of the library, which FCGIPM::Library has loaded. Set before the first request. */
struct library {
    int32_t (*accept)(void *);
    int32_t (*forget_signals)(void *);
    int32_t (*role)(const void *);
    int32_t (*params)(const void *, uint32_t, const uint8_t **, size_t *);
    int64_t (*read_full)(void *, uint8_t *, size_t);
    int32_t (*finish_with)(void *, const uint8_t *, size_t);
};
extern struct library library;

/* What FCGIPM::XS exports. */
XS_EXTERNAL(print_items);
XS_EXTERNAL(read_line);
XS_EXTERNAL(read_bytes);
XS_EXTERNAL(begin);
XS_EXTERNAL(end);
XS_EXTERNAL(forget_signals);
XS_EXTERNAL(watch_signal);
XS_EXTERNAL(accept_request);
XS_EXTERNAL(names);
XS_EXTERNAL(attach);
XS_EXTERNAL(handler_variable);

void publish_stack(pTHX);
bool fill(pTHX_ const void *request, uint32_t scope, HV *hash);

#pragma GCC visibility pop

/* Calls a Perl sub with the same arguments. Its result is the result of the caller. */
static inline void in_perl(pTHX_ const char *name, SV **mark, I32 context)
{
    PUSHMARK(mark);
    call_pv(name, context);
}

/* av_fetch for an existing element of an array without magic: a request needs it about thirty
 * times, and av_fetch takes 34 instructions. */
static inline SV **element(pTHX_ AV *array, SSize_t at, I32 is_made)
{
    if (!SvRMAGICAL((SV *)array) && at <= AvFILLp(array) && AvARRAY(array)[at])
        return &AvARRAY(array)[at];
    return av_fetch(array, at, is_made);
}

/* A field of a stream, which is an array; NULL if it has none. */
static inline SV *field_of(pTHX_ SV *stream, SSize_t number)
{
    SV **place = SvTYPE(stream) == SVt_PVAV && !SvRMAGICAL(stream) ? element(aTHX_ (AV *)stream, number, 0) : NULL;
    return place ? *place : NULL;
}

/* Stays until the current statement ends, whatever Perl code runs meanwhile: a value that is
 * replaced may be an object, and its DESTROY may do anything. */
static inline void hold(pTHX_ SV *sv)
{
    sv_2mortal(SvREFCNT_inc_simple_NN(sv));
}

#endif
