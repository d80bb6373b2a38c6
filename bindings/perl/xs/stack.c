/* Where a reader outside of this process, `fcgipm backtrace`, finds the stack of Perl code. It reads memory and
 * needs no help when it does, so this works in a system call and in a busy loop, too. */
#include "XS.h"

/* The format of this structure. src/bin/backtrace/perl.rs has the other half. */
#define FORMAT 1

enum { FILE_TEXT = 0, FILE_GLOB = 1, AUX_IN_BODY = 0, AUX_BEHIND_ARRAY = 1 };

struct perl_stack {
    char magic[16];
    uint64_t format;
    uint64_t length;
    /* Variables of the interpreter. */
    uint64_t curcop, curstackinfo;
    /* COP */
    uint64_t cop_line, cop_file, file_kind;
    /* PERL_SI */
    uint64_t si_cxix, si_cxstack, si_prev;
    /* PERL_CONTEXT */
    uint64_t context_size, type, type_mask, oldcop, bits, cv;
    uint64_t is_sub, is_format, is_eval, require;
    /* SV, CV, GV, HEK */
    uint64_t any, u, cv_flags, is_named, cv_gv, cv_stash, gv_name, gv_stash, hek_length, hek_key;
    /* HV */
    uint64_t aux_kind, aux, max, name, name_count;
};

extern struct perl_stack fcgipm_perl_stack;
struct perl_stack fcgipm_perl_stack = {
    .magic = "fcgipm perl",
    .format = FORMAT,
    .length = sizeof(struct perl_stack),
    .cop_line = offsetof(COP, cop_line),
#ifdef USE_ITHREADS
    .cop_file = offsetof(COP, cop_file),
    .file_kind = FILE_TEXT,
#else
    .cop_file = offsetof(COP, cop_filegv),
    .file_kind = FILE_GLOB,
#endif
    .si_cxix = offsetof(PERL_SI, si_cxix),
    .si_cxstack = offsetof(PERL_SI, si_cxstack),
    .si_prev = offsetof(PERL_SI, si_prev),
    .context_size = sizeof(PERL_CONTEXT),
    .type = offsetof(PERL_CONTEXT, cx_u.cx_blk.blku_type),
    .type_mask = CXTYPEMASK,
    .oldcop = offsetof(PERL_CONTEXT, cx_u.cx_blk.blku_oldcop),
    .bits = offsetof(PERL_CONTEXT, cx_u.cx_blk.blku_u16),
    .cv = offsetof(PERL_CONTEXT, cx_u.cx_blk.blk_u.blku_sub.cv),
    .is_sub = CXt_SUB,
    .is_format = CXt_FORMAT,
    .is_eval = CXt_EVAL,
    .require = OP_REQUIRE,
    .any = offsetof(SV, sv_any),
    .u = offsetof(SV, sv_u),
    .cv_flags = offsetof(XPVCV, xcv_flags),
    .is_named = CVf_NAMED,
    .cv_gv = offsetof(XPVCV, xcv_gv_u),
    .cv_stash = offsetof(XPVCV, xcv_stash),
    .gv_name = offsetof(XPVGV, xiv_u),
    .gv_stash = offsetof(XPVGV, xnv_u),
    .hek_length = offsetof(HEK, hek_len),
    .hek_key = offsetof(HEK, hek_key),
#if PERL_VERSION >= 36
    .aux_kind = AUX_IN_BODY,
    .aux = offsetof(struct xpvhv_with_aux, xhv_aux),
#else
    .aux_kind = AUX_BEHIND_ARRAY,
    .aux = 0,
#endif
    .max = offsetof(XPVHV, xhv_max),
    .name = offsetof(struct xpvhv_aux, xhv_name_u),
    .name_count = offsetof(struct xpvhv_aux, xhv_name_count),
};

/* Of the interpreter that loads this part. Processes that it forks have the same addresses. */
void publish_stack(pTHX)
{
    if (fcgipm_perl_stack.curcop)
        return;
    fcgipm_perl_stack.curstackinfo = (uint64_t)(uintptr_t)&PL_curstackinfo;
    fcgipm_perl_stack.curcop = (uint64_t)(uintptr_t)&PL_curcop;
}
