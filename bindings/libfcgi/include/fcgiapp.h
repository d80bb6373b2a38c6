/* fcgiapp.h: FastCGI requests as streams and an array of parameters. The interface of libfcgi 2.4 on fcgipm's engine.

   A program calls FCGX_Accept in a loop, or, with several threads, FCGX_Init once, FCGX_InitRequest for a request of
   each thread, and FCGX_Accept_r in each thread's loop. Between two calls of them a request is served: its parameters
   are in envp, its body is read from in, its response is written to out, and messages for the web server's log to err.

   Threads: functions that take a request or a stream may be called by several threads at once, as long as they are
   not for the same request. FCGX_Accept and FCGX_Finish are for one thread.
   Fork: a child may read a request that is being served, add to its response, and end it. A parent that leaves the answer
   to its child calls FCGX_Detach and then FCGX_Free with 1. What a child writes when its parent has ended the request is
   dropped. Everything else of a request or stream from before the fork stays the parent's. A child that calls
   FCGX_Accept_r by itself waits beside its parent.
   NULL for a request or a stream is an error like any other. */

#ifndef _FCGIAPP_H
#define _FCGIAPP_H

#include <stdarg.h>

#ifndef DLLAPI
#define DLLAPI
#endif

#if defined (c_plusplus) || defined (__cplusplus)
extern "C" {
#endif

/* Results below EOF (-1), which are no errno either. */
#define FCGX_UNSUPPORTED_VERSION -2  /* the peer speaks another FastCGI */
#define FCGX_PROTOCOL_ERROR      -3  /* the peer broke the protocol, or off in the middle of it */
#define FCGX_PARAMS_ERROR        -4  /* parameters that are none */
#define FCGX_CALL_SEQ_ERROR      -5  /* the call is not for now */

/* One direction of a request. Its fields are the library's; that they stand where they stand, programs count on. */
typedef struct FCGX_Stream {
    unsigned char *rdNext;     /* reader: the next byte to read; writer: stop */
    unsigned char *wrNext;     /* writer: where the next byte goes; reader: stop */
    unsigned char *stop;       /* behind the last byte of either */
    unsigned char *stopUnget;  /* reader: how far bytes can be pushed back */
    int isReader;
    int isClosed;              /* reader: the end was seen; writer: takes nothing more */
    int wasFCloseCalled;
    int FCGI_errno;            /* what FCGX_GetError returns */
    void (*fillBuffProc) (struct FCGX_Stream *stream);
    void (*emptyBuffProc) (struct FCGX_Stream *stream, int doClose);
    void *data;
} FCGX_Stream;

/* Strings `NAME=value`, and NULL behind the last. */
typedef char **FCGX_ParamArray;

/* For FCGX_InitRequest: a signal ends FCGX_Accept_r, which returns -EINTR. Without it only a request does, or the
   process's being told to leave. */
#define FCGI_FAIL_ACCEPT_ON_INTR 1

/* A request. The memory is the program's, wherever it has it, and must not move while a request is served. */
typedef struct FCGX_Request {
    int requestId;
    int role;                  /* FCGI_RESPONDER, FCGI_AUTHORIZER, FCGI_FILTER of fastcgi.h */
    FCGX_Stream *in;
    FCGX_Stream *out;
    FCGX_Stream *err;
    char **envp;               /* its parameters, FCGI_ROLE first */

    /* Not for programs. */

    struct Params *paramsPtr;
    int ipcFd;                 /* the connection, below 0 where there is none */
    int isBeginProcessed;
    int keepConnection;
    int appStatus;
    int nWriters;
    int flags;
    int listen_sock;
    int detached;
} FCGX_Request;

/* ---- The process ---- */

/* Whether the process is a CGI program: descriptor 0 is not a listening socket.
   Returns 1 or 0; found out once. */
DLLAPI int FCGX_IsCGI(void);

/* Sets the library up. Needed before FCGX_Accept_r; later calls do nothing. SIGPIPE, SIGUSR1 and SIGTERM get handlers
   where the program has none: SIGPIPE does nothing, the others are FCGX_ShutdownPending.
   Returns 0. */
DLLAPI int FCGX_Init(void);

/* Opens a listening socket. path: a file's name for a unix socket, or `:PORT` or `HOST:PORT`; backlog: how many
   connections may wait, as in listen(2). What stands at a unix socket's path, and nobody listens on, is replaced.
   Returns a descriptor, which is the caller's and which programs that it starts inherit; -1 with errno set, and with a
   line on standard error. */
DLLAPI int FCGX_OpenSocket(const char *path, int backlog);

/* The process is to leave: requests that are being served are ended by the program as ever, and FCGX_Accept_r returns
   below 0, at once where it waits. Async-signal-safe. */
DLLAPI void FCGX_ShutdownPending(void);

/* ---- A request ---- */

/* Initialises a request, whatever is in it: never one that is being served. sock: a listening socket, 0 for the one
   that the web server handed in; it stays the caller's. flags: 0 or FCGI_FAIL_ACCEPT_ON_INTR.
   Returns 0; -EINVAL for NULL. */
DLLAPI int FCGX_InitRequest(FCGX_Request *request, int sock, int flags);

/* Waits for the next request, after it has ended the one that is being served. Parameters and streams are the
   library's, and are no longer there after the next call, or FCGX_Finish_r.
   Returns 0; below 0 an errno, or a number of the library's own where there is none: the process is to leave, FCGX_Init
   was not called. */
DLLAPI int FCGX_Accept_r(FCGX_Request *request);

/* Ends the request: what was written is sent, with the exit status. Does nothing where none is served. */
DLLAPI void FCGX_Finish_r(FCGX_Request *request);

/* Gives a request up: nothing more is sent for it. close: 1 closes its connection; with 0 that becomes the caller's, in
   ipcFd. */
DLLAPI void FCGX_Free(FCGX_Request *request, int close);

/* FCGX_Init, and FCGX_Accept_r for a request of the library's own, on descriptor 0. What is handed out may be NULL
   where it is not wanted.
   Returns as FCGX_Accept_r. */
DLLAPI int FCGX_Accept(FCGX_Stream **in, FCGX_Stream **out, FCGX_Stream **err, FCGX_ParamArray *envp);

/* FCGX_Finish_r for that request. */
DLLAPI void FCGX_Finish(void);

/* For a filter that has read its input to the end: the stream goes on with the file's data.
   Returns 0; below 0 where it is not the time for it, and FCGX_GetError is FCGX_CALL_SEQ_ERROR. */
DLLAPI int FCGX_StartFilterData(FCGX_Stream *stream);

/* What the request's end will say; what a CGI program would have exited with. stream: any of the request's. The last
   call counts. */
DLLAPI void FCGX_SetExitStatus(int status, FCGX_Stream *stream);

/* Takes a request that is being served away from its listening socket, or gives it back: another process goes on with
   it, so its connection is not shut down when it is closed here.
   Returns 0; -1 for NULL. */
DLLAPI int FCGX_Attach(FCGX_Request *r);
DLLAPI int FCGX_Detach(FCGX_Request *r);

/* Looks a parameter up.
   Returns its value, which belongs to the request; NULL where there is none of the name. */
DLLAPI char *FCGX_GetParam(const char *name, FCGX_ParamArray envp);

/* ---- Reading ---- */

/* Returns the next byte; EOF at the end, and after an error. */
DLLAPI int FCGX_GetChar(FCGX_Stream *stream);

/* Pushes a byte back; one is always possible behind one that was read, and none at the end.
   Returns c; EOF where it is not possible. */
DLLAPI int FCGX_UnGetChar(int c, FCGX_Stream *stream);

/* Reads n bytes into str.
   Returns how many; less than n only at the end, and after an error. */
DLLAPI int FCGX_GetStr(char *str, int n, FCGX_Stream *stream);

/* Reads up to and with a newline, at most n - 1 bytes, and puts NUL behind them.
   Returns str; NULL where the end came first. */
DLLAPI char *FCGX_GetLine(char *str, int n, FCGX_Stream *stream);

/* Returns EOF when a read has met the end; else 0. */
DLLAPI int FCGX_HasSeenEOF(FCGX_Stream *stream);

/* ---- Writing: gathered, and sent when there is much of it, by FCGX_FFlush, or at the request's end ---- */

/* Returns the byte; EOF after an error. */
DLLAPI int FCGX_PutChar(int c, FCGX_Stream *stream);

/* Writes n bytes. Returns n; EOF after an error. */
DLLAPI int FCGX_PutStr(const char *str, int n, FCGX_Stream *stream);

/* Writes a string without its NUL. Returns its length; EOF after an error. */
DLLAPI int FCGX_PutS(const char *str, FCGX_Stream *stream);

/* Write as printf(3) and vprintf(3). Return how many bytes; below 0 after an error. */
DLLAPI int FCGX_FPrintF(FCGX_Stream *stream, const char *format, ...);
DLLAPI int FCGX_VFPrintF(FCGX_Stream *stream, const char *format, va_list arg);

/* Sends what was gathered. Returns 0; EOF after an error. */
DLLAPI int FCGX_FFlush(FCGX_Stream *stream);

/* ---- Both ---- */

/* Ends a stream: nothing more is read, or written. Seldom needed, since the request's end does it.
   Returns 0; EOF after an error of the stream. */
DLLAPI int FCGX_FClose(FCGX_Stream *stream);

/* Returns the stream's error: 0, an errno, or one of the numbers below 0 above. The first one stays. */
DLLAPI int FCGX_GetError(FCGX_Stream *stream);

/* Forgets it. */
DLLAPI void FCGX_ClearError(FCGX_Stream *stream);

/* ---- A stream without a request, for programs that speak to an application ---- */

/* A stream whose bytes go to a descriptor as records of streamType and requestId. bufflen: how many bytes at most in
   one, with the header's 8; it is brought into what is possible. The descriptor stays the caller's.
   Returns the stream, to be freed by FCGX_FreeStream; NULL where there is no memory. */
DLLAPI FCGX_Stream *FCGX_CreateWriter(int socket, int requestId, int bufflen, int streamType);

/* Frees it, and makes the pointer NULL. What was gathered is not sent: FCGX_FClose does that. */
DLLAPI void FCGX_FreeStream(FCGX_Stream **stream);

#if defined (__cplusplus) || defined (c_plusplus)
}
#endif

#endif
