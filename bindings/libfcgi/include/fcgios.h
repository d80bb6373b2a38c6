/* fcgios.h: libfcgi's layer below fcgiapp.h. cgi-fcgi and programs with event loops of their own use it.

   Errors: -1 with errno set, also where libfcgi 2.4 ends the process.
   Threads: as the system calls; OS_DoIo and the callbacks that it calls are for one thread.
   Fork: a child has copies of pending operations, and performs them if it calls OS_DoIo. */

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

/* An initialiser of a struct timeval: how long OS_Accept waits for data on a unix socket. */
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

/* Gets the caller's pointer, and the result of read(2) or write(2). May begin further operations. */
typedef void (*OS_AsyncProc) (ClientData clientData, int len);

/* Installs FCGX_Init's signal handlers. stdioFds: ignored, may be NULL. Returns 0. */
DLLAPI int OS_LibInit(int stdioFds[3]);

/* Forgets pending operations. */
DLLAPI void OS_LibShutdown(void);

/* FCGX_OpenSocket. */
DLLAPI int OS_CreateLocalIpcFd(const char *bindPath, int backlog);

/* Connects to an application: `HOST:PORT`, `:PORT` on this host, or the path of a unix socket.
   Returns a descriptor, which is the caller's; -1. */
DLLAPI int OS_FcgiConnect(char *bindPath);

/* read(2) and write(2). */
DLLAPI int OS_Read(int fd, char * buf, size_t len);
DLLAPI int OS_Write(int fd, char * buf, size_t len);

/* Starts a program with a listening socket as descriptor 0, without standard output and standard error. The descriptor
   remains the caller's, and the caller has to wait for the child.
   Returns 0, also if the program cannot be executed; -1 if fork(2) fails. */
DLLAPI int OS_SpawnChild(char *execPath, int listenFd);

/* Begin a read or a write. OS_DoIo performs it when the descriptor is ready: with one call, for as many bytes as are
   possible. At most one of each can be pending for a descriptor. The buffer is the caller's, and must remain until the
   callback. offset: ignored.
   Return 0; -1: EBUSY for a second one, EBADF, EINVAL. */
DLLAPI int OS_AsyncReadStdin(void *buf, int len, OS_AsyncProc procPtr, ClientData clientData);
DLLAPI int OS_AsyncRead(int fd, int offset, void *buf, int len, OS_AsyncProc procPtr, ClientData clientData);
DLLAPI int OS_AsyncWrite(int fd, int offset, void *buf, int len, OS_AsyncProc procPtr, ClientData clientData);

/* Closes a descriptor and forgets its operations. shutdown: 1 first ends the output of a connection, and waits up to 2
   seconds for the peer to close it, so that the peer receives everything.
   Returns as close(2); 0 for -1. */
DLLAPI int OS_Close(int fd, int shutdown);

/* Ends the input of a connection, and forgets its read. Returns as shutdown(2). */
DLLAPI int OS_CloseRead(int fd);

/* Waits until operations are ready, performs them, and calls their callbacks. tmo: the timeout, NULL: forever; receives
   the remaining time. A signal ends the wait.
   Returns 0; -1. */
DLLAPI int OS_DoIo(struct timeval *tmo);

/* Waits for a connection on a listening socket; on a non-blocking one, only takes a connection from the queue.
   webServerAddrs: the peers to accept, IPv4 addresses separated by commas; NULL or empty: all.
   fail_on_intr: 1 makes every signal end the wait.
   Returns a descriptor, which is the caller's; -1: EINTR, EAGAIN, or errno 0 after OS_ShutdownPending. */
DLLAPI int OS_Accept(int listen_sock, int fail_on_intr, const char *webServerAddrs);

/* OS_Close. */
DLLAPI int OS_IpcClose(int ipcFd, int shutdown);

/* Returns whether a descriptor is a listening socket: 1 or 0. */
DLLAPI int OS_IsFcgi(int sock);

/* Sets flags of a descriptor, such as O_NONBLOCK. */
DLLAPI void OS_SetFlags(int fd, int flags);

/* FCGX_ShutdownPending. Async-signal-safe. */
DLLAPI void OS_ShutdownPending(void);

#if defined (__cplusplus) || defined (c_plusplus)
}
#endif

#endif
