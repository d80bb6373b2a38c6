/* The reading functions of fcgiapp.h, in groups selected by PATH_INFO. Argument: the number of requests. */

#include "groups.h"

static char text[100000];

static void state(FCGX_Stream *in)
{
    say("  closed %d, closed by the program %d, error %d, reader %d, left %ld\n", in->isClosed, in->wasFCloseCalled,
        FCGX_GetError(in), in->isReader, (long)(in->stop - in->rdNext));
}

static void get(int count, FCGX_Stream *in)
{
    int got;

    memset(text, '#', 100);
    got = FCGX_GetStr(text, count, in);
    say("GetStr(%d) = %d: '%.*s'\n", count, got, got < 50 ? got : 50, text);
    state(in);
}

static void line(int size, FCGX_Stream *in)
{
    const char *got;

    memset(text, '#', 100);
    text[99] = 0;
    got = FCGX_GetLine(text, size, in);
    say("GetLine(%d) is %s: '%.50s'\n", size, got == text ? "the text" : got == NULL ? "NULL" : "something", text);
    state(in);
}

static void characters(FCGX_Stream *in)
{
    int c;

    state(in);
    CALL(FCGX_UnGetChar('x', in));
    CALL(FCGX_GetChar(in));
    state(in);
    CALL(FCGX_UnGetChar('Y', in));
    CALL(FCGX_UnGetChar('Z', in));
    CALL(FCGX_GetChar(in));
    CALL(FCGX_GetChar(in));
    CALL(FCGX_GetChar(in));
    CALL(FCGX_UnGetChar(EOF, in));
    CALL(FCGX_UnGetChar(0, in));
    CALL(FCGX_UnGetChar(255, in));
    CALL(FCGX_UnGetChar(256 + 'a', in));
    CALL(FCGX_UnGetChar('b', in));
    CALL(FCGX_GetChar(in));
    CALL(FCGX_GetChar(in));
    CALL(FCGX_GetChar(in));
    CALL(FCGX_HasSeenEOF(in));
    while ((c = FCGX_GetChar(in)) != EOF)
        say("%d ", c);
    say("\n");
    state(in);
    CALL(FCGX_HasSeenEOF(in));
    CALL(FCGX_UnGetChar('x', in));
    CALL(FCGX_GetChar(in));
    CALL(FCGX_GetError(in));
    DO(FCGX_ClearError(in));
    CALL(FCGX_GetChar(in));
    CALL(FCGX_GetError(in));
}

static void pieces(FCGX_Stream *in)
{
    get(0, in);
    get(-1, in);
    get(3, in);
    get(1, in);
    CALL(FCGX_UnGetChar('u', in));
    get(2, in);
    get(90, in);
    CALL(FCGX_HasSeenEOF(in));
    get(90, in);
    get(1, in);
    get(0, in);
    CALL(FCGX_HasSeenEOF(in));
    line(5, in);
    line(1, in);
    line(0, in);
}

/* Reads exactly the whole body: only another read reaches its end. */
static void exactly(FCGX_Stream *in)
{
    get(23, in);
    CALL(FCGX_HasSeenEOF(in));
    CALL(FCGX_UnGetChar('x', in));
    CALL(FCGX_GetChar(in));
    CALL(FCGX_GetChar(in));
    CALL(FCGX_HasSeenEOF(in));
    CALL(FCGX_UnGetChar('x', in));
}

static void lines(FCGX_Stream *in)
{
    line(0, in);
    line(1, in);
    line(2, in);
    line(4, in);
    line(50, in);
    line(50, in);
    line(-3, in);
    line(50, in);
    CALL(FCGX_UnGetChar('\n', in));
    line(50, in);
    line(50, in);
    line(50, in);
    line(50, in);
    CALL(FCGX_HasSeenEOF(in));
}

/* From every position, pushes bytes back to the start of the buffered data. */
static void back(FCGX_Stream *in)
{
    int c;

    for (c = FCGX_GetChar(in); c != EOF; c = FCGX_GetChar(in)) {
        int count = 0, i;

        while (FCGX_UnGetChar('a' + count, in) != EOF)
            count++;
        say("%d back:", count);
        for (i = 0; i < count; i++)
            say(" %d", FCGX_GetChar(in));
        say("\n");
    }
    state(in);
}

static void closing(FCGX_Stream *in)
{
    get(3, in);
    CALL(FCGX_FClose(in));
    state(in);
    CALL(FCGX_FClose(in));
    CALL(FCGX_GetChar(in));
    CALL(FCGX_UnGetChar('x', in));
    get(3, in);
    line(3, in);
    CALL(FCGX_HasSeenEOF(in));
    CALL(FCGX_GetError(in));
    CALL(FCGX_StartFilterData(in));
    CALL(FCGX_GetError(in));
    CALL(FCGX_FClose(in));
    DO(FCGX_ClearError(in));
    CALL(FCGX_FClose(in));
}

/* Writes to a reader. */
static void as_a_writer(FCGX_Stream *in)
{
    CALL(FCGX_PutChar('x', in));
    CALL(FCGX_PutStr("xyz", 3, in));
    CALL(FCGX_PutStr("xyz", 0, in));
    CALL(FCGX_PutS("xyz", in));
    CALL(FCGX_PutS("", in));
    CALL(FCGX_FPrintF(in, "xyz"));
    CALL(FCGX_FFlush(in));
    state(in);
    get(5, in);
    CALL(FCGX_FPrintF(in, "%d", 1));
    CALL(FCGX_FFlush(in));
    get(5, in);
}

/* Reports how the body ended. */
static void ended(FCGX_Stream *in)
{
    int i;

    for (i = 0; i < 3; i++) {
        int got = FCGX_GetStr(text, sizeof text, in);

        say("%d bytes, error %d, end %d\n", got, FCGX_GetError(in), FCGX_HasSeenEOF(in));
    }
    CALL(FCGX_GetChar(in));
    CALL(FCGX_UnGetChar('x', in));
    NULLNESS(FCGX_GetLine(text, 10, in));
    CALL(FCGX_FClose(in));
    DO(FCGX_ClearError(in));
    CALL(FCGX_GetError(in));
    CALL(FCGX_GetChar(in));
    CALL(FCGX_FClose(in));
}

/* A checksum over the body, which does not depend on the records. */
static void large(FCGX_Stream *in)
{
    unsigned sum = 0, count = 0;
    int c, got, i;

    for (;;) {
        c = FCGX_GetChar(in);
        if (c == EOF)
            break;
        FCGX_UnGetChar(c, in);
        got = FCGX_GetStr(text, 1 + (int)(count * 7 % 30000), in);
        for (i = 0; i < got; i++)
            sum = sum * 31 + (unsigned char)text[i];
        count += (unsigned)got;
    }
    say("%u bytes, %u, error %d, end %d\n", count, sum, FCGX_GetError(in), FCGX_HasSeenEOF(in));
}

static void filter(FCGX_Stream *in)
{
    CALL(FCGX_StartFilterData(in));
    CALL(FCGX_GetError(in));
    DO(FCGX_ClearError(in));
    get(90, in);
    CALL(FCGX_HasSeenEOF(in));
}

static void filter_in_time(FCGX_Stream *in)
{
    get(90, in);
    CALL(FCGX_StartFilterData(in));
    state(in);
    CALL(FCGX_UnGetChar('x', in));
    line(90, in);
    CALL(FCGX_UnGetChar('y', in));
    get(90, in);
    CALL(FCGX_StartFilterData(in));
}

static const struct {
    const char *name;
    void (*run)(FCGX_Stream *in);
} groups[] = {
    { "/characters", characters }, { "/pieces", pieces }, { "/exactly", exactly }, { "/lines", lines }, { "/back", back },
    { "/closing", closing }, { "/as-a-writer", as_a_writer }, { "/ended", ended }, { "/large", large },
    { "/filter", filter }, { "/filter-in-time", filter_in_time },
};

static void run(const char *group, FCGX_Request *request)
{
    size_t i;

    for (i = 0; i < sizeof groups / sizeof *groups; i++)
        if (strcmp(groups[i].name, group) == 0)
            groups[i].run(request->in);
    CALL(FCGX_FPrintF(request->out, "read\n"));
}

int main(int argc, char **argv)
{
    report_open();
    serve_groups(argc > 1 ? atoi(argv[1]) : 0, run);
    return 0;
}
