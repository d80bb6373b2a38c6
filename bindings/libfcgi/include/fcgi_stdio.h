/* fcgi_stdio.h: stdio's names for a FastCGI request, so that a CGI program becomes a FastCGI program with a loop:

       while (FCGI_Accept() >= 0) {
           printf("Content-Type: text/plain\r\n\r\n");
           ...
       }

   Include it instead of stdio.h, or after it. While a request is served, stdin, stdout and stderr are the request's;
   other files work as usual. With NO_FCGI_DEFINES the names remain stdio's, and these functions have only their own.

   Each function does the same as its namesake of stdio, and returns the same; differences are noted below. A FCGI_FILE
   that is NULL or closed is an error. For a request's streams, errors have the numbers of FCGX_GetError.
   Threads: one thread serves requests with these functions; for files of the program's own they are as safe as stdio.
   Fork: as in fcgiapp.h. A process that exits finishes its current request; so does a child. If the request is its
   parent's, it must call _exit(2). */

#ifndef _FCGI_STDIO
#define _FCGI_STDIO 1

#include <stdio.h>
#include <sys/types.h>
#include "fcgiapp.h"

#if defined (c_plusplus) || defined (__cplusplus)
extern "C" {
#endif

#ifndef DLLAPI
#define DLLAPI
#endif

/* A file: stdio's, or a request's stream. */
typedef struct {
    FILE *stdio_stream;
    FCGX_Stream *fcgx_stream;
} FCGI_FILE;

#define FCGI_ToFILE(fcgi_file) (fcgi_file->stdio_stream)
#define FCGI_ToFcgiStream(fcgi_file) (fcgi_file->fcgx_stream)

/* The standard files. They are closed before the first FCGI_Accept. */
DLLAPI extern FCGI_FILE _fcgi_sF[];
#define FCGI_stdin  (&_fcgi_sF[0])
#define FCGI_stdout (&_fcgi_sF[1])
#define FCGI_stderr (&_fcgi_sF[2])

/* ---- Requests ---- */

/* Ends the current request, if there is one, and waits for the next. Its parameters become the process environment
   (environ), and its streams the standard files. They are the library's. Strings that getenv(3) returned remain readable
   forever, but change with the second request after that. A CGI program has one request, with the environment and files
   of the process.
   Returns 0; a negative number if there will be no other request: the second call of a CGI program, a process that has
   to exit, an error. The environment is then the one that the program was started with. */
DLLAPI int FCGI_Accept(void);

/* Ends the request. Until the next one the standard files are closed, and environ is NULL. Does nothing in a CGI
   program. */
DLLAPI void FCGI_Finish(void);

/* As FCGX_StartFilterData, for stdin. */
DLLAPI int FCGI_StartFilterData(void);

/* As FCGX_SetExitStatus. In a CGI program it does nothing. */
DLLAPI void FCGI_SetExitStatus(int status);

/* ---- Opening and closing files ---- */

DLLAPI FCGI_FILE *FCGI_fopen(const char *path, const char *mode);
DLLAPI FCGI_FILE *FCGI_fdopen(int fd, const char *mode);
DLLAPI FCGI_FILE *FCGI_tmpfile(void);
DLLAPI FCGI_FILE *FCGI_popen(const char *cmd, const char *type);

/* If a request's stream is reopened as a file, it remains one until the next request. */
DLLAPI FCGI_FILE *FCGI_freopen(const char *path, const char *mode, FCGI_FILE *fp);

/* These also free the FCGI_FILE, unless it is a standard one. FCGI_pclose of a request's stream only returns EOF. */
DLLAPI int        FCGI_fclose(FCGI_FILE *fp);
DLLAPI int        FCGI_pclose(FCGI_FILE *fp);

/* NULL flushes all files of stdio. */
DLLAPI int        FCGI_fflush(FCGI_FILE *fp);

/* ---- Position and buffer. For a request's stream: EOF, and ESPIPE for a position. ---- */

DLLAPI int        FCGI_setvbuf(FCGI_FILE *fp, char *buf, int bufmode, size_t size);
DLLAPI void       FCGI_setbuf(FCGI_FILE *fp, char *buf);
DLLAPI int        FCGI_fseek(FCGI_FILE *fp, long offset, int whence);
DLLAPI int        FCGI_ftell(FCGI_FILE *fp);      /* EOVERFLOW beyond INT_MAX */
DLLAPI void       FCGI_rewind(FCGI_FILE *fp);
DLLAPI int        FCGI_fgetpos(FCGI_FILE *fp, fpos_t *pos);
DLLAPI int        FCGI_fsetpos(FCGI_FILE *fp, const fpos_t *pos);
DLLAPI int        FCGI_fileno(FCGI_FILE *fp);     /* -1 for a request's stream */

/* FCGX_HasSeenEOF, FCGX_GetError and FCGX_ClearError for a request's stream. */
DLLAPI int        FCGI_feof(FCGI_FILE *fp);
DLLAPI int        FCGI_ferror(FCGI_FILE *fp);
DLLAPI void       FCGI_clearerr(FCGI_FILE *fp);

/* ---- Reading ---- */

DLLAPI int        FCGI_fgetc(FCGI_FILE *fp);
DLLAPI int        FCGI_getchar(void);
DLLAPI int        FCGI_ungetc(int c, FCGI_FILE *fp);
DLLAPI char      *FCGI_fgets(char *str, int size, FCGI_FILE *fp);
DLLAPI char      *FCGI_gets(char *str);           /* does not know the size of str: unsafe with untrusted peers */
DLLAPI size_t     FCGI_fread(void *ptr, size_t size, size_t nmemb, FCGI_FILE *fp);

/* ---- Writing. After an error: EOF; FCGI_fwrite: a number that is too large. ---- */

DLLAPI int        FCGI_fputc(int c, FCGI_FILE *fp);
DLLAPI int        FCGI_putchar(int c);
DLLAPI int        FCGI_fputs(const char *str, FCGI_FILE *fp);
DLLAPI int        FCGI_puts(const char *str);
DLLAPI int        FCGI_fprintf(FCGI_FILE *fp, const char *format, ...);
DLLAPI int        FCGI_printf(const char *format, ...);
DLLAPI int        FCGI_vfprintf(FCGI_FILE *fp, const char *format, va_list ap);
DLLAPI int        FCGI_vprintf(const char *format, va_list ap);
DLLAPI size_t     FCGI_fwrite(void *ptr, size_t size, size_t nmemb, FCGI_FILE *fp);
DLLAPI void       FCGI_perror(const char *str);   /* without a newline at the end */

/* ---- stdio's names. Functions that are missing here, above all fscanf, do not work with these files. ---- */

#ifndef NO_FCGI_DEFINES

#undef  FILE
#define FILE     FCGI_FILE

#undef  stdin
#define stdin    FCGI_stdin
#undef  stdout
#define stdout   FCGI_stdout
#undef  stderr
#define stderr   FCGI_stderr

#undef  clearerr
#define clearerr FCGI_clearerr
#undef  fclose
#define fclose   FCGI_fclose
#undef  fdopen
#define fdopen   FCGI_fdopen
#undef  feof
#define feof     FCGI_feof
#undef  ferror
#define ferror   FCGI_ferror
#undef  fflush
#define fflush   FCGI_fflush
#undef  fgetc
#define fgetc    FCGI_fgetc
#undef  fgetpos
#define fgetpos  FCGI_fgetpos
#undef  fgets
#define fgets    FCGI_fgets
#undef  fileno
#define fileno   FCGI_fileno
#undef  fopen
#define fopen    FCGI_fopen
#undef  fprintf
#define fprintf  FCGI_fprintf
#undef  fputc
#define fputc    FCGI_fputc
#undef  fputs
#define fputs    FCGI_fputs
#undef  fread
#define fread    FCGI_fread
#undef  freopen
#define freopen  FCGI_freopen
#undef  fseek
#define fseek    FCGI_fseek
#undef  fsetpos
#define fsetpos  FCGI_fsetpos
#undef  ftell
#define ftell    FCGI_ftell
#undef  fwrite
#define fwrite   FCGI_fwrite
#undef  getc
#define getc     FCGI_fgetc
#undef  getchar
#define getchar  FCGI_getchar
#undef  gets
#define gets     FCGI_gets
#undef  pclose
#define pclose   FCGI_pclose
#undef  perror
#define perror   FCGI_perror
#undef  popen
#define popen    FCGI_popen
#undef  printf
#define printf   FCGI_printf
#undef  putc
#define putc     FCGI_fputc
#undef  putchar
#define putchar  FCGI_putchar
#undef  puts
#define puts     FCGI_puts
#undef  rewind
#define rewind   FCGI_rewind
#undef  setbuf
#define setbuf   FCGI_setbuf
#undef  setvbuf
#define setvbuf  FCGI_setvbuf
#undef  tmpfile
#define tmpfile  FCGI_tmpfile
#undef  ungetc
#define ungetc   FCGI_ungetc
#undef  vfprintf
#define vfprintf FCGI_vfprintf
#undef  vprintf
#define vprintf  FCGI_vprintf

#endif /* NO_FCGI_DEFINES */

#if defined (__cplusplus) || defined (c_plusplus)
}
#endif

#endif
