/* The functions of libfcgi with `...`, and those that take a va_list, which Rust cannot define. What they format goes
   to FCGX_PutStr or stdio; nothing is decided here. */

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "fcgi_stdio.h"

/* Most lines of a page fit. */
#define LINE 1024

int FCGX_VFPrintF(FCGX_Stream *stream, const char *format, va_list arguments)
{
    char line[LINE];
    char *text = line;
    va_list again;
    int length, written;

    if (stream == NULL || format == NULL)
        return -1;
    va_copy(again, arguments);
    length = vsnprintf(line, sizeof line, format, arguments);
    if (length >= (int)sizeof line) {
        text = malloc((size_t)length + 1);
        if (text != NULL)
            length = vsnprintf(text, (size_t)length + 1, format, again);
        else
            length = -1;
    }
    va_end(again);
    written = length < 0 ? -1 : FCGX_PutStr(text, length, stream);
    if (text != line)
        free(text);
    return written;
}

int FCGX_FPrintF(FCGX_Stream *stream, const char *format, ...)
{
    va_list arguments;
    int written;

    va_start(arguments, format);
    written = FCGX_VFPrintF(stream, format, arguments);
    va_end(arguments);
    return written;
}
