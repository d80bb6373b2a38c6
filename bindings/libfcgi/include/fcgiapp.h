/* fcgiapp.h: FastCGI requests as streams and an array of parameters. The interface of libfcgi 2.4 on fcgipm's engine.

   A program calls FCGX_Accept in a loop. A program with several threads calls FCGX_Init once, FCGX_InitRequest for a
   request of each thread, and FCGX_Accept_r in each thread's loop. Between two of these calls a request is served: its
   parameters are in envp, its body is read from in, its response is written to out, and messages for the web server's
   log are written to err.

   Threads: several threads may call functions that take a request or a stream at the same time, but not for the same
   request. FCGX_Accept and FCGX_Finish are for one thread.
   Fork: a child may read the current request, add to its response, and end it. A parent that leaves the response to its
   child calls FCGX_Detach, and then FCGX_Free with 1. What a child writes after its parent has ended the request is
   dropped. Everything else of a request or stream from before the fork remains the parent's. A child that calls
   FCGX_Accept_r waits beside its parent.
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

/* Error numbers that are not an errno. */
#define FCGX_UNSUPPORTED_VERSION -2  /* another version of FastCGI */
#define FCGX_PROTOCOL_ERROR      -3  /* a violation of the protocol, or an unexpected end */
#define FCGX_PARAMS_ERROR        -4  /* invalid parameters */
#define FCGX_CALL_SEQ_ERROR      -5  /* a call out of order */

/* One direction of a request. The fields are the library's, but their offsets are part of the interface. */
typedef struct FCGX_Stream {
    unsigned char *rdNext;     /* reader: the next byte to read; writer: stop */
    unsigned char *wrNext;     /* writer: the place of the next byte; reader: stop */
    unsigned char *stop;       /* the end of either */
    unsigned char *stopUnget;  /* reader: the limit for pushing back */
    int isReader;
    int isClosed;              /* reader: at the end; writer: accepts no more */
    int wasFCloseCalled;
    int FCGI_errno;            /* what FCGX_GetError returns */
    void (*fillBuffProc) (struct FCGX_Stream *stream);
    void (*emptyBuffProc) (struct FCGX_Stream *stream, int doClose);
    void *data;
} FCGX_Stream;

/* Strings `NAME=value`, terminated by NULL. */
typedef char **FCGX_ParamArray;

/* For FCGX_InitRequest: a signal makes FCGX_Accept_r return -EINTR. Without this flag it returns only for a request, or
   when the process was asked to exit. */
#define FCGI_FAIL_ACCEPT_ON_INTR 1

/* A request. The program provides the memory, which must not move while a request is served. */
typedef struct FCGX_Request {
    int requestId;
    int role;                  /* FCGI_RESPONDER, FCGI_AUTHORIZER, FCGI_FILTER of fastcgi.h */
    FCGX_Stream *in;
    FCGX_Stream *out;
    FCGX_Stream *err;
    char **envp;               /* its parameters, FCGI_ROLE first */

    /* For the library. */

    struct Params *paramsPtr;
    int ipcFd;                 /* the connection; negative: none */
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
   Returns 1 or 0; determined by the first call. */
DLLAPI int FCGX_IsCGI(void);

/* Initialises the library. Needed before FCGX_Accept_r; further calls do nothing. SIGPIPE, SIGUSR1 and SIGTERM get
   handlers if the program has none: SIGPIPE does nothing, the others call FCGX_ShutdownPending.
   Returns 0. */
DLLAPI int FCGX_Init(void);

/* Opens a listening socket. path: the path of a unix socket, or `:PORT` or `HOST:PORT`; backlog: the length of the
   queue, as in listen(2). A unix socket at this path on which no process listens is replaced.
   Returns a descriptor, which is the caller's, and which programs that it starts inherit; -1 with errno set, and with a
   line on standard error. */
DLLAPI int FCGX_OpenSocket(const char *path, int backlog);

/* Asks the process to exit: the program finishes current requests as usual, and FCGX_Accept_r returns a negative number,
   immediately if it is waiting. Async-signal-safe. */
DLLAPI void FCGX_ShutdownPending(void);

/* ---- A request ---- */

/* Initialises a request, which must not be served at the moment. The memory may have any content. sock: a listening
   socket, 0 for the one from the web server; it remains the caller's. flags: 0 or FCGI_FAIL_ACCEPT_ON_INTR.
   Returns 0; -EINVAL for NULL. */
DLLAPI int FCGX_InitRequest(FCGX_Request *request, int sock, int flags);

/* Ends the current request, if there is one, and waits for the next. Parameters and streams are the library's, and are
   invalid after the next call, or FCGX_Finish_r.
   Returns 0; a negated errno; or another negative number if there is no errno: the process has to exit, or FCGX_Init was
   not called. */
DLLAPI int FCGX_Accept_r(FCGX_Request *request);

/* Ends the request: sends what was written, and the exit status. Does nothing without a request. */
DLLAPI void FCGX_Finish_r(FCGX_Request *request);

/* Abandons a request: nothing more is sent for it. close: 1 closes its connection; with 0 the connection becomes the
   caller's, in ipcFd. */
DLLAPI void FCGX_Free(FCGX_Request *request, int close);

/* FCGX_Init, and FCGX_Accept_r for a request of the library's own, on descriptor 0. Any of the pointers may be NULL.
   Returns as FCGX_Accept_r. */
DLLAPI int FCGX_Accept(FCGX_Stream **in, FCGX_Stream **out, FCGX_Stream **err, FCGX_ParamArray *envp);

/* FCGX_Finish_r for that request. */
DLLAPI void FCGX_Finish(void);

/* For a filter that has read its input to the end: the stream continues with the file's data.
   Returns 0; a negative number before that, and FCGX_GetError returns FCGX_CALL_SEQ_ERROR. */
DLLAPI int FCGX_StartFilterData(FCGX_Stream *stream);

/* Sets the status that is sent at the request's end, like a CGI program's exit status. stream: any of the request's. The
   last call counts. */
DLLAPI void FCGX_SetExitStatus(int status, FCGX_Stream *stream);

/* Detaches the current request, or attaches it again. Another process continues with a detached request, so its
   connection is not shut down when it is closed here.
   Returns 0; -1 for NULL. */
DLLAPI int FCGX_Attach(FCGX_Request *r);
DLLAPI int FCGX_Detach(FCGX_Request *r);

/* Looks up a parameter.
   Returns its value, which belongs to the request; NULL if there is none with this name. */
DLLAPI char *FCGX_GetParam(const char *name, FCGX_ParamArray envp);

/* ---- Reading ---- */

/* Returns the next byte; EOF at the end, and after an error. */
DLLAPI int FCGX_GetChar(FCGX_Stream *stream);

/* Pushes a byte back. This is always possible once after a read, and never at the end.
   Returns c; EOF if it is not possible. */
DLLAPI int FCGX_UnGetChar(int c, FCGX_Stream *stream);

/* Reads n bytes into str.
   Returns the number; less than n only at the end, and after an error. */
DLLAPI int FCGX_GetStr(char *str, int n, FCGX_Stream *stream);

/* Reads up to and including a newline, at most n - 1 bytes, and appends a NUL.
   Returns str; NULL at the end. */
DLLAPI char *FCGX_GetLine(char *str, int n, FCGX_Stream *stream);

/* Returns EOF if a read has reached the end; otherwise 0. */
DLLAPI int FCGX_HasSeenEOF(FCGX_Stream *stream);

/* ---- Writing: buffered, and sent when the buffer is full, by FCGX_FFlush, or at the request's end ---- */

/* Returns the byte; EOF after an error. */
DLLAPI int FCGX_PutChar(int c, FCGX_Stream *stream);

/* Writes n bytes. Returns n; EOF after an error. */
DLLAPI int FCGX_PutStr(const char *str, int n, FCGX_Stream *stream);

/* Writes a string without its NUL. Returns its length; EOF after an error. */
DLLAPI int FCGX_PutS(const char *str, FCGX_Stream *stream);

/* Write as printf(3) and vprintf(3). Return the number of bytes; a negative number after an error. */
DLLAPI int FCGX_FPrintF(FCGX_Stream *stream, const char *format, ...);
DLLAPI int FCGX_VFPrintF(FCGX_Stream *stream, const char *format, va_list arg);

/* Sends the buffer. Returns 0; EOF after an error. */
DLLAPI int FCGX_FFlush(FCGX_Stream *stream);

/* ---- Both ---- */

/* Ends a stream: no more is read or written. Seldom needed, because the request's end does it.
   Returns 0; EOF after an error of the stream. */
DLLAPI int FCGX_FClose(FCGX_Stream *stream);

/* Returns the stream's first error: 0, an errno, or one of the negative numbers above. */
DLLAPI int FCGX_GetError(FCGX_Stream *stream);

/* Resets the error to 0. */
DLLAPI void FCGX_ClearError(FCGX_Stream *stream);

/* ---- A stream without a request, for programs that talk to an application ---- */

/* Creates a stream that writes to a descriptor, as records of streamType and requestId. bufflen: the maximum size of a
   record, including its header of 8 bytes; it is adjusted to a valid size. The descriptor remains the caller's.
   Returns the stream, to be freed by FCGX_FreeStream; NULL without memory. */
DLLAPI FCGX_Stream *FCGX_CreateWriter(int socket, int requestId, int bufflen, int streamType);

/* Frees the stream, and sets the pointer to NULL. The buffer is not sent: call FCGX_FClose before. */
DLLAPI void FCGX_FreeStream(FCGX_Stream **stream);

#if defined (__cplusplus) || defined (c_plusplus)
}
#endif

#endif
