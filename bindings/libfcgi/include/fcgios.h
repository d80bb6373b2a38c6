/* fcgios.h: what libfcgi has below fcgiapp.h. cgi-fcgi is built on it, and programs with loops of their own.

   Errors: -1 with errno set, also where libfcgi 2.4 ends the process.
   Threads: as the system calls; OS_DoIo is for one thread, and so are the callbacks that it calls.
   Fork: a child has copies of the operations that are under way, and makes them, too, if it calls OS_DoIo. */

#ifndef _FCGIOS_H
#define _FCGIOS_H

#include "fcgi_config.h"

#include <sys/time.h>
#include <sys/types.h>

#if defined (c_plusplus) || defined (__cplusplus)
extern "C" {
#endif

/* Need errno.h. */
#define OS_Errno errno
#define OS_SetErrno(err) errno = (err)

#ifndef DLLAPI
#define DLLAPI
#endif

/* A struct timeval's initialiser: how long OS_Accept waits for a word on a unix socket. */
#define READABLE_UNIX_FD_DROP_DEAD_TIMEVAL 2,0

#ifndef STDIN_FILENO
#define STDIN_FILENO  0
#endif

#ifndef STDOUT_FILENO
#define STDOUT_FILENO 1
#endif

#ifndef STDERR_FILENO
#define STDERR_FILENO 2
#endif

#ifndef MAXPATHLEN
#define MAXPATHLEN 1024
#endif

#ifndef X_OK
#define X_OK       0x01
#endif

#ifndef _CLIENTDATA
typedef void *ClientData;
#define _CLIENTDATA
#endif

/* Is handed what the caller handed in, and what read(2) or write(2) returned. May begin further operations. */
typedef void (*OS_AsyncProc) (ClientData clientData, int len);

/* Installs FCGX_Init's signal handlers. stdioFds: may be NULL, means nothing here. Returns 0. */
DLLAPI int OS_LibInit(int stdioFds[3]);

/* Forgets operations that are under way. */
DLLAPI void OS_LibShutdown(void);

/* FCGX_OpenSocket. */
DLLAPI int OS_CreateLocalIpcFd(const char *bindPath, int backlog);

/* Connects to an application: `HOST:PORT`, `:PORT` on this host, or a unix socket's path.
   Returns a descriptor, which is the caller's; -1. */
DLLAPI int OS_FcgiConnect(char *bindPath);

/* read(2) and write(2). */
DLLAPI int OS_Read(int fd, char * buf, size_t len);
DLLAPI int OS_Write(int fd, char * buf, size_t len);

/* Starts a program with a listening socket on descriptor 0, without standard output and standard error. The descriptor
   stays the caller's, and the child the caller's to wait for.
   Returns 0, also where the program cannot be run; -1 where no process could be made. */
DLLAPI int OS_SpawnChild(char *execPath, int listenFd);

/* Begin a read or a write, which OS_DoIo makes when the descriptor is ready for it: once, and as much as there is. At
   most one of each is under way for a descriptor. The buffer is the caller's, and must stay until the callback.
   offset: means nothing here.
   Return 0; -1: EBUSY for a second one, EBADF, EINVAL. */
DLLAPI int OS_AsyncReadStdin(void *buf, int len, OS_AsyncProc procPtr, ClientData clientData);
DLLAPI int OS_AsyncRead(int fd, int offset, void *buf, int len, OS_AsyncProc procPtr, ClientData clientData);
DLLAPI int OS_AsyncWrite(int fd, int offset, void *buf, int len, OS_AsyncProc procPtr, ClientData clientData);

/* Closes a descriptor and forgets its operations. shutdown: 1 tells a connection's peer first, and waits up to 2
   seconds for its end, so that nothing is lost on the way to it.
   Returns as close(2); 0 for -1. */
DLLAPI int OS_Close(int fd, int shutdown);

/* Nothing more is read from a connection; its read is forgotten. Returns as shutdown(2). */
DLLAPI int OS_CloseRead(int fd);

/* Waits until operations can be made, makes them, and calls their callbacks. tmo: how long to wait, NULL for ever;
   what is left of it stands there afterwards. A signal ends the wait.
   Returns 0; -1. */
DLLAPI int OS_DoIo(struct timeval *tmo);

/* Waits for a connection on a listening socket, or takes one that waits where the socket is non-blocking.
   webServerAddrs: whom to take connections from, IPv4 addresses with commas between them; NULL or empty for everybody.
   fail_on_intr: 1 lets any signal end the wait.
   Returns a descriptor, which is the caller's; -1: EINTR, EAGAIN, or errno 0 after OS_ShutdownPending. */
DLLAPI int OS_Accept(int listen_sock, int fail_on_intr, const char *webServerAddrs);

/* OS_Close. */
DLLAPI int OS_IpcClose(int ipcFd, int shutdown);

/* Returns whether a descriptor is a socket without a peer: 1 or 0. */
DLLAPI int OS_IsFcgi(int sock);

/* Adds flags such as O_NONBLOCK to a descriptor's. */
DLLAPI void OS_SetFlags(int fd, int flags);

/* FCGX_ShutdownPending. Async-signal-safe. */
DLLAPI void OS_ShutdownPending(void);

#if defined (__cplusplus) || defined (c_plusplus)
}
#endif

#endif
