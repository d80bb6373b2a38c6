/* Every function of fcgi_stdio.h, under the names of stdio, in groups selected by PATH_INFO. It runs as a CGI program and
   as a FastCGI program. Argument: the number of requests. */

#include "fcgi_stdio.h"
#include "report.h"

#include <limits.h>

extern char **environ;

static char folder[PATH_MAX];

static const char *file(const char *name)
{
    static char path[2 * PATH_MAX];

    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static int with_list(FILE *stream, const char *format, ...)
{
    va_list arguments;
    int result;

    va_start(arguments, format);
    result = stream != NULL ? vfprintf(stream, format, arguments) : vprintf(format, arguments);
    va_end(arguments);
    return result;
}

/* The standard files are closed until the first request. */
static void before_the_first_request(void)
{
    char text[16] = "";
    fpos_t position;

    CALL(printf("lost"));
    CALL(fprintf(stdout, "lost"));
    CALL(with_list(NULL, "lost"));
    CALL(with_list(stdout, "lost"));
    CALL(puts("lost"));
    CALL(fputs("lost", stderr));
    CALL(putchar('x'));
    CALL(fputc('x', stdout));
    CALL(putc('x', stdout));
    CALL(fwrite(text, 1, 2, stdout));
    CALL(fread(text, 1, 2, stdin));
    CALL(getchar());
    CALL(fgetc(stdin));
    CALL(getc(stdin));
    CALL(ungetc('x', stdin));
    NULLNESS(fgets(text, sizeof text, stdin));
    NULLNESS(gets(text));
    CALL(feof(stdin));
    CALL(ferror(stdin));
    DO(clearerr(stdin));
    CALL(fileno(stdin));
    CALL(fflush(stdout));
    CALL(fseek(stdin, 0, SEEK_SET));
    CALL(ftell(stdin));
    DO(rewind(stdin));
    CALL(FCGI_fgetpos(stdin, &position));
    CALL(FCGI_fsetpos(stdin, &position));
    CALL(setvbuf(stdin, NULL, _IONBF, 0));
    DO(setbuf(stdin, NULL));
    NULLNESS(freopen("/dev/null", "r", stdin));
    CALL(fclose(stdin));
    CALL(pclose(stdin));
    DO(perror("lost"));
    DO(FCGI_SetExitStatus(3));
    DO(FCGI_Finish());
}

static void input(void)
{
    char text[64];
    size_t count;

    CALL(feof(stdin));
    CALL(getchar());
    CALL(fgetc(stdin));
    CALL(ungetc('Z', stdin));
    CALL(getc(stdin));
    CALL(ungetc(EOF, stdin));
    NULLNESS(fgets(text, 4, stdin));
    say("fgets: '%s'\n", text);
    NULLNESS(fgets(text, sizeof text, stdin));
    say("fgets: '%s'\n", text);
    NULLNESS(gets(text));
    say("gets: '%s'\n", text);
    NULLNESS(gets(text));
    say("gets: '%s'\n", text);
    count = fread(text, 3, 2, stdin);
    say("fread %zu: '%.6s'\n", count, text);
    CALL(fread(text, 0, 2, stdin));
    CALL(fread(text, 2, 0, stdin));
    count = fread(text, 4, 10, stdin);
    say("fread %zu: '%.*s'\n", count, (int)(4 * count), text);
    say("feof is %s\n", feof(stdin) ? "set" : "not set");
    CALL(ferror(stdin));
    CALL(getchar());
    CALL(fread(text, 1, 1, stdin));
    NULLNESS(fgets(text, sizeof text, stdin));
    NULLNESS(gets(text));
    say("feof is %s\n", feof(stdin) ? "set" : "not set");
    printf("input done\n");
}

static void large(void)
{
    static char text[300000];
    unsigned long sum = 0;
    size_t count, i;

    count = fread(text, 1, sizeof text, stdin);
    for (i = 0; i < count; i++)
        sum = sum * 31 + (unsigned char)text[i];
    say("fread of a large body: %zu, sum %lu\n", count, sum);
    CALL(fwrite(text, 1, count, stdout));
    CALL(fwrite(text, 7, 1000, stdout));
}

static void output(void)
{
    static char large[20000];
    char text[] = "some bytes";

    memset(large, 'L', sizeof large - 1);
    CALL(printf("printf %d %s %5.2f|%c\n", 42, "text", 3.14159, 'c'));
    CALL(printf("%s\n", large));
    CALL(printf("%40d|%-40s|\n", 7, "left"));
    CALL(printf("%s", ""));
    CALL(fprintf(stdout, "fprintf %x\n", 255));
    CALL(with_list(NULL, "vprintf %ld\n", 1234567890L));
    CALL(with_list(stdout, "vfprintf %s\n", "x"));
    say("puts is %s\n", puts("puts") < 0 ? "EOF" : "fine");
    say("fputs is %s\n", fputs("fputs\n", stdout) < 0 ? "EOF" : "fine");
    say("empty fputs is %s\n", fputs("", stdout) < 0 ? "EOF" : "fine");
    CALL(putchar('a'));
    CALL(fputc('b', stdout));
    CALL(putc(0x1ff, stdout));
    CALL(fwrite(text, 1, sizeof text - 1, stdout));
    CALL(fwrite(text, 5, 2, stdout));
    CALL(fwrite(text, 0, 5, stdout));
    CALL(fwrite(text, 5, 0, stdout));
    CALL(fflush(stdout));
    CALL(fprintf(stderr, "to the log\n"));
    say("fputs is %s\n", fputs("more\n", stderr) < 0 ? "EOF" : "fine");
    errno = ENOENT;
    perror("perror");
    CALL(fflush(stderr));
    CALL(ferror(stdout));
    CALL(feof(stdout) != 0);
    CALL(fflush(NULL));
}

/* Only for the drop-in: libfcgi's own printf ends the process, or writes something else. */
static void formats(void)
{
    CALL(printf("%1500d|\n", 7));
    CALL(printf("%zu %lld %hhd|\n", (size_t)1, 2LL, (char)3));
    CALL(printf("%2$s %1$s|\n", "one", "two"));
    CALL(printf(NULL));
    CALL(fputs(NULL, stdout));
    CALL(fprintf(NULL, "no file"));
    CALL(fclose(NULL));
    CALL(getc(NULL));
    NULLNESS(fopen(NULL, "r"));
}

/* The stream of a request has no position. In a CGI program it may be a pipe. */
static void positions(void)
{
    fpos_t position;

    memset(&position, 0, sizeof position);
    CALL(fseek(stdin, 0, SEEK_SET));
    CALL(ftell(stdout));
    DO(rewind(stdin));
    CALL(FCGI_fgetpos(stdin, &position));
    CALL(FCGI_fsetpos(stdin, &position));
    CALL(fileno(stdout));
    CALL(setvbuf(stdout, NULL, _IOFBF, 512));
    DO(setbuf(stdin, NULL));
    printf("positions done\n");
}

static void files(void)
{
    char text[64], buffer[BUFSIZ];
    fpos_t position;
    FILE *f;
    int ends[2];

    NULLNESS(fopen(file("missing"), "r"));
    f = fopen(file("file"), "w+");
    say("fopen %s, fileno %s\n", f ? "there" : "NULL", fileno(f) > 2 ? "fine" : "odd");
    CALL(FCGI_ToFcgiStream(f) == NULL);
    DO(setbuf(f, buffer));
    CALL(fprintf(f, "line %d\n", 1));
    CALL(with_list(f, "line %d\n", 2));
    say("fputs is %s\n", fputs("line 3\n", f) < 0 ? "EOF" : "fine");
    CALL(fputc('x', f));
    CALL(fwrite("yz\n", 1, 3, f));
    CALL(ftell(f));
    CALL(FCGI_fgetpos(f, &position));
    DO(rewind(f));
    NULLNESS(fgets(text, sizeof text, f));
    say("fgets: %s", text);
    CALL(fgetc(f));
    CALL(ungetc('Q', f));
    CALL(fgetc(f));
    CALL(fseek(f, -4, SEEK_END));
    CALL(fread(text, 1, 10, f));
    CALL(feof(f) != 0);
    DO(clearerr(f));
    CALL(feof(f));
    CALL(ferror(f));
    CALL(FCGI_fsetpos(f, &position));
    CALL(ftell(f));
    CALL(fseek(f, -1, SEEK_SET));
    CALL(fflush(f));
    f = freopen(file("other"), "w", f);
    say("freopen %s\n", f ? "there" : "NULL");
    CALL(setvbuf(f, NULL, _IONBF, 0));
    CALL(fputs("other\n", f) < 0);
    CALL(fclose(f));

    f = fopen(file("other"), "r");
    CALL(fputc('x', f));
    CALL(ferror(f) != 0);
    NULLNESS(fgets(text, sizeof text, f));
    say("other: %s", text);
    CALL(fclose(f));

    f = tmpfile();
    say("tmpfile %s\n", f ? "there" : "NULL");
    CALL(fputs("temporary", f) < 0);
    DO(rewind(f));
    NULLNESS(fgets(text, sizeof text, f));
    say("tmpfile: %s\n", text);
    CALL(fclose(f));

    NULLNESS(fdopen(-1, "r"));
    CALL(pipe(ends));
    f = fdopen(ends[1], "w");
    CALL(fileno(f) == ends[1]);
    CALL(fputs("through the pipe\n", f) < 0);
    CALL(ftell(f));
    CALL(fclose(f));
    f = fdopen(ends[0], "r");
    NULLNESS(fgets(text, sizeof text, f));
    say("pipe: %s", text);
    CALL(fgetc(f));
    CALL(fclose(f));

    f = popen("echo from a command; exit 3", "r");
    NULLNESS(fgets(text, sizeof text, f));
    say("popen: %s", text);
    CALL(pclose(f));
    snprintf(text, sizeof text, "cat >'%s'", file("written"));
    f = popen(text, "w");
    CALL(fputs("to a command\n", f) < 0);
    CALL(pclose(f));
    NULLNESS(popen("true", "nonsense"));
    printf("files done\n");
}

static void closing(void)
{
    char text[8];

    CALL(fputs("before the end\n", stdout) < 0);
    CALL(fclose(stdout));
    CALL(printf("lost"));
    CALL(fputs("lost", stdout));
    CALL(fputc('x', stdout));
    CALL(puts("lost"));
    CALL(fwrite("lost", 2, 2, stdout));
    CALL(fflush(stdout));
    CALL(fclose(stdout));
    CALL(fclose(stdin));
    CALL(getchar());
    CALL(fread(text, 2, 2, stdin));
    CALL(feof(stdin));
    CALL(ferror(stdin));
    CALL(fclose(stderr));
    CALL(fputs("lost", stderr));
}

static void reopening(void)
{
    if (FCGI_ToFcgiStream(stdin) != NULL)
        CALL(pclose(stdin));
    CALL(puts("before") < 0);
    NULLNESS(freopen(file("reopened"), "w", stdout));
    CALL(printf("into the file\n"));
    CALL(fileno(stdout) > 2);
    CALL(fflush(stdout));
}

static void parameters(void)
{
    char **next;

    for (next = environ; *next != NULL; next++)
        if (strncmp(*next, "REPORT=", 7) != 0)
            printf("%s\n", *next);
    say("getenv: '%s'\n", getenv("PATH_INFO"));
    NULLNESS(getenv("NO_SUCH_NAME"));
    CALL(setenv("ADDED", "1", 1));
    NULLNESS(getenv("ADDED"));
}

static void filter(int early)
{
    int c;

    if (!early)
        while ((c = getchar()) != EOF)
            putchar(c);
    CALL(FCGI_StartFilterData() < 0);
    say("ferror %d\n", early ? ferror(stdin) : 0);
    while ((c = getchar()) != EOF)
        putchar(c);
    if (!early)
        CALL(FCGI_StartFilterData() < 0);
}

static void finishing(void)
{
    printf("the answer\n");
    FCGI_SetExitStatus(5);
    FCGI_Finish();
    CALL(printf("lost") < 0);
    CALL(getchar());
    say("environ is %s\n", environ ? "there" : "NULL");
    FCGI_Finish();
}

int main(int argc, char **argv)
{
    int left = argc > 1 ? atoi(argv[1]) : 1;

    report_open();
    snprintf(folder, sizeof folder, "%s", getenv("FOLDER"));
    if (getenv("BEFORE") != NULL)
        before_the_first_request();
    while (left-- > 0 && FCGI_Accept() >= 0) {
        const char *group = getenv("PATH_INFO");

        say("-- %s\n", group);
        if (strcmp(group, "/input") == 0)
            input();
        else if (strcmp(group, "/large") == 0)
            large();
        else if (strcmp(group, "/output") == 0)
            output();
        else if (strcmp(group, "/formats") == 0)
            formats();
        else if (strcmp(group, "/positions") == 0)
            positions();
        else if (strcmp(group, "/files") == 0)
            files();
        else if (strcmp(group, "/closing") == 0)
            closing();
        else if (strcmp(group, "/reopening") == 0)
            reopening();
        else if (strcmp(group, "/parameters") == 0)
            parameters();
        else if (strcmp(group, "/filter") == 0)
            filter(0);
        else if (strcmp(group, "/filter-early") == 0)
            filter(1);
        else if (strcmp(group, "/finishing") == 0)
            finishing();
        else if (strcmp(group, "/status") == 0) {
            FCGI_SetExitStatus(1);
            FCGI_SetExitStatus(-7);
        } else if (strcmp(group, "/silence") == 0)
            ;
        else if (strcmp(group, "/exit") == 0) {
            printf("in the middle");
            FCGI_SetExitStatus(9);
            exit(4);
        }
    }
    if (FCGX_IsCGI()) {
        CALL(FCGI_Accept());
        CALL(FCGI_Accept());
    }
    return 6;
}
