/* Sizes, offsets and constants of the headers, and the types of their functions. */

#define NO_FCGI_DEFINES
#include <stddef.h>
#include <errno.h>

#include "fcgi_config.h"
#include "fcgi_stdio.h"
#include "fcgiapp.h"
#include "fcgimisc.h"
#include "fcgios.h"
#include "fastcgi.h"

#include "report.h"

#define SIZE(type) say(#type " has %zu bytes, aligned to %zu\n", sizeof(type), _Alignof(type))
#define AT(type, field) say(#type "." #field " at %zu, %zu bytes\n", offsetof(type, field), sizeof(((type *)0)->field))
#define NUMBER(name) say(#name " is %ld\n", (long)(name))
#define TEXT(name) say(#name " is '%s'\n", name)

/* Does not compile if the type differs. */
#define IS(name, ...) say(#name " is as declared: %d\n", _Generic(&name, __VA_ARGS__: 1))

int main(void)
{
    struct timeval silence = { READABLE_UNIX_FD_DROP_DEAD_TIMEVAL };
    ClientData word = NULL;
    OS_AsyncProc callback = NULL;
    FCGX_ParamArray array = NULL;

    report_open();
    (void)word, (void)callback, (void)array;
    SIZE(ClientData);
    SIZE(OS_AsyncProc);
    SIZE(FCGX_ParamArray);
    say("silence %ld %ld\n", (long)silence.tv_sec, (long)silence.tv_usec);
    TEXT(FCGI_MAX_CONNS);
    TEXT(FCGI_MAX_REQS);
    TEXT(FCGI_MPXS_CONNS);
    TEXT(PACKAGE_VERSION);
    TEXT(VERSION);
    SIZE(FCGX_Stream);
    AT(FCGX_Stream, rdNext);
    AT(FCGX_Stream, wrNext);
    AT(FCGX_Stream, stop);
    AT(FCGX_Stream, stopUnget);
    AT(FCGX_Stream, isReader);
    AT(FCGX_Stream, isClosed);
    AT(FCGX_Stream, wasFCloseCalled);
    AT(FCGX_Stream, FCGI_errno);
    AT(FCGX_Stream, fillBuffProc);
    AT(FCGX_Stream, emptyBuffProc);
    AT(FCGX_Stream, data);
    SIZE(FCGX_Request);
    AT(FCGX_Request, requestId);
    AT(FCGX_Request, role);
    AT(FCGX_Request, in);
    AT(FCGX_Request, out);
    AT(FCGX_Request, err);
    AT(FCGX_Request, envp);
    AT(FCGX_Request, paramsPtr);
    AT(FCGX_Request, ipcFd);
    AT(FCGX_Request, isBeginProcessed);
    AT(FCGX_Request, keepConnection);
    AT(FCGX_Request, appStatus);
    AT(FCGX_Request, nWriters);
    AT(FCGX_Request, flags);
    AT(FCGX_Request, listen_sock);
    AT(FCGX_Request, detached);
    SIZE(FCGI_FILE);
    AT(FCGI_FILE, stdio_stream);
    AT(FCGI_FILE, fcgx_stream);
    SIZE(FCGI_Header);
    AT(FCGI_Header, version);
    AT(FCGI_Header, type);
    AT(FCGI_Header, requestIdB1);
    AT(FCGI_Header, requestIdB0);
    AT(FCGI_Header, contentLengthB1);
    AT(FCGI_Header, contentLengthB0);
    AT(FCGI_Header, paddingLength);
    AT(FCGI_Header, reserved);
    SIZE(FCGI_BeginRequestBody);
    AT(FCGI_BeginRequestBody, roleB1);
    AT(FCGI_BeginRequestBody, roleB0);
    AT(FCGI_BeginRequestBody, flags);
    AT(FCGI_BeginRequestBody, reserved);
    SIZE(FCGI_BeginRequestRecord);
    AT(FCGI_BeginRequestRecord, header);
    AT(FCGI_BeginRequestRecord, body);
    SIZE(FCGI_EndRequestBody);
    AT(FCGI_EndRequestBody, appStatusB3);
    AT(FCGI_EndRequestBody, appStatusB2);
    AT(FCGI_EndRequestBody, appStatusB1);
    AT(FCGI_EndRequestBody, appStatusB0);
    AT(FCGI_EndRequestBody, protocolStatus);
    AT(FCGI_EndRequestBody, reserved);
    SIZE(FCGI_EndRequestRecord);
    AT(FCGI_EndRequestRecord, header);
    AT(FCGI_EndRequestRecord, body);
    SIZE(FCGI_UnknownTypeBody);
    AT(FCGI_UnknownTypeBody, type);
    AT(FCGI_UnknownTypeBody, reserved);
    SIZE(FCGI_UnknownTypeRecord);
    AT(FCGI_UnknownTypeRecord, header);
    AT(FCGI_UnknownTypeRecord, body);
    NUMBER(FCGX_UNSUPPORTED_VERSION);
    NUMBER(FCGX_PROTOCOL_ERROR);
    NUMBER(FCGX_PARAMS_ERROR);
    NUMBER(FCGX_CALL_SEQ_ERROR);
    NUMBER(FCGI_FAIL_ACCEPT_ON_INTR);
    NUMBER(FCGI_LISTENSOCK_FILENO);
    NUMBER(FCGI_MAX_LENGTH);
    NUMBER(FCGI_HEADER_LEN);
    NUMBER(FCGI_VERSION_1);
    NUMBER(FCGI_BEGIN_REQUEST);
    NUMBER(FCGI_ABORT_REQUEST);
    NUMBER(FCGI_END_REQUEST);
    NUMBER(FCGI_PARAMS);
    NUMBER(FCGI_STDIN);
    NUMBER(FCGI_STDOUT);
    NUMBER(FCGI_STDERR);
    NUMBER(FCGI_DATA);
    NUMBER(FCGI_GET_VALUES);
    NUMBER(FCGI_GET_VALUES_RESULT);
    NUMBER(FCGI_UNKNOWN_TYPE);
    NUMBER(FCGI_MAXTYPE);
    NUMBER(FCGI_NULL_REQUEST_ID);
    NUMBER(FCGI_KEEP_CONN);
    NUMBER(FCGI_RESPONDER);
    NUMBER(FCGI_AUTHORIZER);
    NUMBER(FCGI_FILTER);
    NUMBER(FCGI_REQUEST_COMPLETE);
    NUMBER(FCGI_CANT_MPX_CONN);
    NUMBER(FCGI_OVERLOADED);
    NUMBER(FCGI_UNKNOWN_ROLE);
    NUMBER(STDIN_FILENO);
    NUMBER(STDOUT_FILENO);
    NUMBER(STDERR_FILENO);
    NUMBER(MAXPATHLEN);
    NUMBER(X_OK);
    NUMBER(TRUE);
    NUMBER(FALSE);
    NUMBER(min(3,4));
    NUMBER(max(3,4));
    NUMBER(HAVE_ARPA_INET_H);
    NUMBER(HAVE_DLFCN_H);
    NUMBER(HAVE_FILENO_PROTO);
    NUMBER(HAVE_FPOS);
    NUMBER(HAVE_INTTYPES_H);
    NUMBER(HAVE_LIMITS_H);
    NUMBER(HAVE_NETDB_H);
    NUMBER(HAVE_NETINET_IN_H);
    NUMBER(HAVE_STDINT_H);
    NUMBER(HAVE_STDIO_H);
    NUMBER(HAVE_STDLIB_H);
    NUMBER(HAVE_STREAMBUF_CHAR_TYPE);
    NUMBER(HAVE_STRERROR);
    NUMBER(HAVE_STRINGS_H);
    NUMBER(HAVE_STRING_H);
    NUMBER(HAVE_SYS_PARAM_H);
    NUMBER(HAVE_SYS_SOCKET_H);
    NUMBER(HAVE_SYS_STAT_H);
    NUMBER(HAVE_SYS_TIME_H);
    NUMBER(HAVE_SYS_TYPES_H);
    NUMBER(HAVE_UNISTD_H);
    IS(FCGI_Accept, int (*)(void));
    IS(FCGI_Finish, void (*)(void));
    IS(FCGI_SetExitStatus, void (*)(int));
    IS(FCGI_StartFilterData, int (*)(void));
    IS(FCGI_clearerr, void (*)(FCGI_FILE *));
    IS(FCGI_fclose, int (*)(FCGI_FILE *));
    IS(FCGI_fdopen, FCGI_FILE *(*)(int, const char *));
    IS(FCGI_feof, int (*)(FCGI_FILE *));
    IS(FCGI_ferror, int (*)(FCGI_FILE *));
    IS(FCGI_fflush, int (*)(FCGI_FILE *));
    IS(FCGI_fgetc, int (*)(FCGI_FILE *));
    IS(FCGI_fgetpos, int (*)(FCGI_FILE *, fpos_t *));
    IS(FCGI_fgets, char *(*)(char *, int, FCGI_FILE *));
    IS(FCGI_fileno, int (*)(FCGI_FILE *));
    IS(FCGI_fopen, FCGI_FILE *(*)(const char *, const char *));
    IS(FCGI_fprintf, int (*)(FCGI_FILE *, const char *, ...));
    IS(FCGI_fputc, int (*)(int, FCGI_FILE *));
    IS(FCGI_fputs, int (*)(const char *, FCGI_FILE *));
    IS(FCGI_fread, size_t (*)(void *, size_t, size_t, FCGI_FILE *));
    IS(FCGI_freopen, FCGI_FILE *(*)(const char *, const char *, FCGI_FILE *));
    IS(FCGI_fseek, int (*)(FCGI_FILE *, long, int));
    IS(FCGI_fsetpos, int (*)(FCGI_FILE *, const fpos_t *));
    IS(FCGI_ftell, int (*)(FCGI_FILE *));
    IS(FCGI_fwrite, size_t (*)(void *, size_t, size_t, FCGI_FILE *));
    IS(FCGI_getchar, int (*)(void));
    IS(FCGI_gets, char *(*)(char *));
    IS(FCGI_pclose, int (*)(FCGI_FILE *));
    IS(FCGI_perror, void (*)(const char *));
    IS(FCGI_popen, FCGI_FILE *(*)(const char *, const char *));
    IS(FCGI_printf, int (*)(const char *, ...));
    IS(FCGI_putchar, int (*)(int));
    IS(FCGI_puts, int (*)(const char *));
    IS(FCGI_rewind, void (*)(FCGI_FILE *));
    IS(FCGI_setbuf, void (*)(FCGI_FILE *, char *));
    IS(FCGI_setvbuf, int (*)(FCGI_FILE *, char *, int, size_t));
    IS(FCGI_tmpfile, FCGI_FILE *(*)(void));
    IS(FCGI_ungetc, int (*)(int, FCGI_FILE *));
    IS(FCGI_vfprintf, int (*)(FCGI_FILE *, const char *, va_list));
    IS(FCGI_vprintf, int (*)(const char *, va_list));
    IS(FCGX_Accept, int (*)(FCGX_Stream **, FCGX_Stream **, FCGX_Stream **, FCGX_ParamArray *));
    IS(FCGX_Accept_r, int (*)(FCGX_Request *));
    IS(FCGX_Attach, int (*)(FCGX_Request *));
    IS(FCGX_ClearError, void (*)(FCGX_Stream *));
    IS(FCGX_CreateWriter, FCGX_Stream *(*)(int, int, int, int));
    IS(FCGX_Detach, int (*)(FCGX_Request *));
    IS(FCGX_FClose, int (*)(FCGX_Stream *));
    IS(FCGX_FFlush, int (*)(FCGX_Stream *));
    IS(FCGX_FPrintF, int (*)(FCGX_Stream *, const char *, ...));
    IS(FCGX_Finish, void (*)(void));
    IS(FCGX_Finish_r, void (*)(FCGX_Request *));
    IS(FCGX_Free, void (*)(FCGX_Request *, int));
    IS(FCGX_FreeStream, void (*)(FCGX_Stream **));
    IS(FCGX_GetChar, int (*)(FCGX_Stream *));
    IS(FCGX_GetError, int (*)(FCGX_Stream *));
    IS(FCGX_GetLine, char *(*)(char *, int, FCGX_Stream *));
    IS(FCGX_GetParam, char *(*)(const char *, FCGX_ParamArray));
    IS(FCGX_GetStr, int (*)(char *, int, FCGX_Stream *));
    IS(FCGX_HasSeenEOF, int (*)(FCGX_Stream *));
    IS(FCGX_Init, int (*)(void));
    IS(FCGX_InitRequest, int (*)(FCGX_Request *, int, int));
    IS(FCGX_IsCGI, int (*)(void));
    IS(FCGX_OpenSocket, int (*)(const char *, int));
    IS(FCGX_PutChar, int (*)(int, FCGX_Stream *));
    IS(FCGX_PutS, int (*)(const char *, FCGX_Stream *));
    IS(FCGX_PutStr, int (*)(const char *, int, FCGX_Stream *));
    IS(FCGX_SetExitStatus, void (*)(int, FCGX_Stream *));
    IS(FCGX_ShutdownPending, void (*)(void));
    IS(FCGX_StartFilterData, int (*)(FCGX_Stream *));
    IS(FCGX_UnGetChar, int (*)(int, FCGX_Stream *));
    IS(FCGX_VFPrintF, int (*)(FCGX_Stream *, const char *, va_list));
    IS(OS_Accept, int (*)(int, int, const char *));
    IS(OS_AsyncRead, int (*)(int, int, void *, int, OS_AsyncProc, ClientData));
    IS(OS_AsyncReadStdin, int (*)(void *, int, OS_AsyncProc, ClientData));
    IS(OS_AsyncWrite, int (*)(int, int, void *, int, OS_AsyncProc, ClientData));
    IS(OS_Close, int (*)(int, int));
    IS(OS_CloseRead, int (*)(int));
    IS(OS_CreateLocalIpcFd, int (*)(const char *, int));
    IS(OS_DoIo, int (*)(struct timeval *));
    IS(OS_FcgiConnect, int (*)(char *));
    IS(OS_IpcClose, int (*)(int, int));
    IS(OS_IsFcgi, int (*)(int));
    IS(OS_LibInit, int (*)(int *));
    IS(OS_LibShutdown, void (*)(void));
    IS(OS_Read, int (*)(int, char *, size_t));
    IS(OS_SetFlags, void (*)(int, int));
    IS(OS_ShutdownPending, void (*)(void));
    IS(OS_SpawnChild, int (*)(char *, int));
    IS(OS_Write, int (*)(int, char *, size_t));
    IS(_fcgi_sF, FCGI_FILE (*)[]);
    CALL((void *)FCGI_stdin == (void *)&_fcgi_sF[0]);
    CALL((void *)FCGI_stderr == (void *)&_fcgi_sF[2]);
    OS_SetErrno(5);
    say("errno %d\n", OS_Errno);
    return 0;
}
