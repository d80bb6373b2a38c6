/* The functions of libfcgi with `...` or a va_list, which Rust cannot define. They format, and call FCGX_PutStr or
   stdio. */

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define NO_FCGI_DEFINES
#include "fcgi_stdio.h"

/* Enough for most lines of a page. */
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

int FCGI_vfprintf(FCGI_FILE *file, const char *format, va_list arguments)
{
    if (file == NULL || format == NULL)
        return EOF;
    if (file->stdio_stream != NULL)
        return vfprintf(file->stdio_stream, format, arguments);
    if (file->fcgx_stream != NULL)
        return FCGX_VFPrintF(file->fcgx_stream, format, arguments);
    return EOF;
}

int FCGI_vprintf(const char *format, va_list arguments)
{
    return FCGI_vfprintf(FCGI_stdout, format, arguments);
}

int FCGI_printf(const char *format, ...)
{
    va_list arguments;
    int written;

    va_start(arguments, format);
    written = FCGI_vfprintf(FCGI_stdout, format, arguments);
    va_end(arguments);
    return written;
}

/* For a closed file it returns 0: only here libfcgi does not return an error. */
int FCGI_fprintf(FCGI_FILE *file, const char *format, ...)
{
    va_list arguments;
    int written;

    if (file != NULL && file->stdio_stream == NULL && file->fcgx_stream == NULL)
        return 0;
    va_start(arguments, format);
    written = FCGI_vfprintf(file, format, arguments);
    va_end(arguments);
    return written;
}
