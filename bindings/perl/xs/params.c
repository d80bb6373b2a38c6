/* The parameters of a request, in the program's hash. */
#include "XS.h"

/* One parameter, as fcgipm_request_params() returns it: of the name and of the value the length
 * (32 bits, big-endian), the bytes, and a NUL. */
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

/* The value becomes a new scalar, because the program may have kept the old one. */
static void store(pTHX_ HV *hash, const struct parameter *parameter)
{
    SV *value = newSVpvn(parameter->value, parameter->value_length);
    SvREFCNT_inc_simple_void_NN(value); /* for the hash; DESTROY of the old value may delete it */
    if (hv_store(hash, parameter->name, parameter->name_length, value, 0)) {
        if (SvREFCNT(value) > 1)
            SvSETMAGIC(value); /* %ENV: sets the process's environment */
    } else {
        SvREFCNT_dec_NN(value);
    }
    SvREFCNT_dec_NN(value);
}

/* A byte string that nothing else refers to. In %ENV it has the magic that sets the environment. */
static bool is_untouched(SV *value, bool is_env)
{
    if (SvREFCNT(value) != 1 || !SvPOK(value) || SvROK(value) || SvUTF8(value) || SvREADONLY(value))
        return false;
    if (!is_env)
        return SvTYPE(value) == SVt_PV;
    const MAGIC *magic = SvTYPE(value) == SVt_PVMG && !SvOBJECT(value) ? SvMAGIC(value) : NULL;
    return magic && magic->mg_type == PERL_MAGIC_envelem && !magic->mg_moremagic;
}

/* The elements of a hash that were updated, as a set of the places of their values: a parameter may
 * occur twice. */
struct updated {
    SV ***places;
    STRLEN mask;
};

static struct updated none_updated(pTHX_ STRLEN count)
{
    STRLEN size = 64;
    while (size < 2 * count)
        size *= 2;
    SV *memory = sv_2mortal(newSV(size * sizeof(SV **)));
    return (struct updated) { memset(SvPVX(memory), 0, size * sizeof(SV **)), size - 1 };
}

static bool is_first(struct updated *set, SV **place)
{
    STRLEN at = (uintptr_t)place / sizeof(SV *) & set->mask;
    for (; set->places[at]; at = (at + 1) & set->mask)
        if (set->places[at] == place)
            return false;
    set->places[at] = place;
    return true;
}

/* Changes only the values that differ: consecutive requests have most of them in common, and in
 * %ENV each assignment sets the process's environment. False if the hash has other names than these
 * parameters, or a name occurs twice. */
static bool update(pTHX_ HV *hash, bool is_env, const uint8_t *at, const uint8_t *end)
{
    STRLEN left = HvUSEDKEYS(hash);
    struct updated set = none_updated(aTHX_ left);
    while (at < end) {
        struct parameter next;
        at = parameter(at, &next);
        SV **place = hv_fetch(hash, next.name, next.name_length, 0);
        if (!left || !place || !is_first(&set, place))
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

/* Fills the hash with the request's parameters, and nothing else. False if the Perl sub has to do
 * it: the hash is tied or locked, or the library returns an error. */
bool fill(pTHX_ const void *request, uint32_t scope, HV *hash)
{
    bool is_env = PL_envgv && GvHV(PL_envgv) == hash;
    const uint8_t *data;
    size_t length;
    if (SvREADONLY((SV *)hash) || (SvMAGICAL((SV *)hash) && !is_env) || mg_find((SV *)hash, PERL_MAGIC_tied)
        || is_env != (scope == SCOPE_ENVIRONMENT) || library.params(request, scope, &data, &length) != 0
        || length > I32_MAX)
        return false;

    /* A copy: a value that is replaced may be an object, and its DESTROY may even end the request.
     * */
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
