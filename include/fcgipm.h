/* fcgipm.h, version 0.1.0: the server side of FastCGI 1.0 and a process manager.
 *
 * Generated from src/ffi by the build. Do not edit.
 *
 * Functions return 0 or a non-negative result, or one of the negative FCGIPM_E... numbers; what
 * went wrong stands in fcgipm_last_error_message(). Functions that return a handle return NULL
 * instead. errno is set where it is the cause, and otherwise left as it was.
 *
 * NULL, freed and mixed-up handles are errors, not crashes. Other pointers are to point to what the
 * comment says, and may be NULL where it says so.
 *
 * The ABI only grows: functions and numbers keep their meaning. */

#ifndef FCGIPM_H
#define FCGIPM_H

#include <stddef.h>
#include <stdint.h>

/** An argument is NULL or out of range. */
#define FCGIPM_EARGUMENT (-1)
/** The handle is NULL, freed, of another kind, or in use by another thread. */
#define FCGIPM_EHANDLE (-2)
/** The handle belongs to another process: it was made before a fork. */
#define FCGIPM_EFORKED (-3)
/** A listen address cannot be understood or resolved. */
#define FCGIPM_EADDRESS (-4)
/** A listen address is in use. */
#define FCGIPM_EINUSE (-5)
/** No option has this name. */
#define FCGIPM_EOPTION (-6)
/** An option or a variable has a bad value. */
#define FCGIPM_EVALUE (-7)
/** A system call failed; errno tells why. */
#define FCGIPM_ESYSTEM (-8)
/** The call does not fit the state: read before accept, finish twice. */
#define FCGIPM_ESTATE (-9)
/** A signal interrupted the wait. */
#define FCGIPM_EINTERRUPTED (-10)
/** This worker is to leave: it was retired, or its manager is gone. */
#define FCGIPM_ERETIRED (-11)
/** The web server aborted the request. */
#define FCGIPM_EABORTED (-12)
/** The connection ended before the end of the input. */
#define FCGIPM_EINCOMPLETE (-13)
/** The peer broke the protocol. */
#define FCGIPM_EPROTOCOL (-14)
/** A deadline passed. */
#define FCGIPM_ETIMEDOUT (-15)
/** The connection is gone. */
#define FCGIPM_ECLOSED (-16)
/** The descriptor is no listening socket, or was closed. */
#define FCGIPM_ELISTENER (-17)
/** No descriptor is left, in the process or the system. */
#define FCGIPM_EDESCRIPTORS (-18)
/** The pid file cannot be written or read. */
#define FCGIPM_EPIDFILE (-19)
/** Another manager is running. */
#define FCGIPM_ERUNNING (-20)
/** The process has more than one thread, so it cannot fork workers. */
#define FCGIPM_ETHREADS (-21)
/** A bug in the library, stopped at its boundary. */
#define FCGIPM_EPANIC (-22)


/**
 * fcgipm_request_new(): a signal that interrupts the wait for a request makes
 * fcgipm_request_accept() return FCGIPM_EINTERRUPTED. So does one that came just before the wait,
 * if its handler calls fcgipm_signal_arrived().
 */
#define FCGIPM_FAIL_ACCEPT_ON_INTR 1

/**
 * fcgipm_request_new(): the same, for hosts that run their signal handlers later (as Perl does)
 * and then call fcgipm_request_accept() again.
 */
#define FCGIPM_RETURN_ON_SIGNAL 2

/**
 * The application's response.
 */
#define FCGIPM_STDOUT 1

/**
 * Messages for the web server's log.
 */
#define FCGIPM_STDERR 2

/**
 * The role of a request: it wants a response.
 */
#define FCGIPM_RESPONDER 1

/**
 * The role of a request: it wants a decision, and has no body.
 */
#define FCGIPM_AUTHORIZER 2

/**
 * The role of a request: it wants a file filtered.
 */
#define FCGIPM_FILTER 3

/**
 * Parameters that may be exported into a process environment: no HTTP_PROXY (httpoxy), no empty
 * name, no '=' in a name, no NUL.
 */
#define FCGIPM_PARAMS_ENVIRONMENT 0

/**
 * The above and HTTP_PROXY.
 */
#define FCGIPM_PARAMS_WELL_FORMED 1

/**
 * Everything that the web server sent.
 */
#define FCGIPM_PARAMS_ALL 2

/**
 * This process is a fresh worker now. The manager's handle is spent: free it.
 */
#define FCGIPM_EVENT_IN_WORKER 1

/**
 * All workers are gone and the pid file is removed: the host should end.
 */
#define FCGIPM_EVENT_STOPPED 2

/**
 * The manager is set up; nothing was forked yet.
 */
#define FCGIPM_EVENT_MANAGING 3

/**
 * A worker was forked.
 */
#define FCGIPM_EVENT_WORKER_STARTED 4

/**
 * A worker has entered its first accept.
 */
#define FCGIPM_EVENT_WORKER_READY 5

/**
 * A worker is gone; the status is its wait status (waitpid(2)).
 */
#define FCGIPM_EVENT_WORKER_EXITED 6

/**
 * A reload has begun.
 */
#define FCGIPM_EVENT_RELOAD_BEGUN 7

/**
 * Every worker is a new one, and ready, and the old ones have exited.
 */
#define FCGIPM_EVENT_RELOAD_DONE 8

/**
 * The old workers go on; the message says why.
 */
#define FCGIPM_EVENT_RELOAD_FAILED 9

/**
 * The workers were told to leave.
 */
#define FCGIPM_EVENT_STOPPING 10

/**
 * A signal arrived; the status is its number.
 */
#define FCGIPM_EVENT_SIGNAL 11

/**
 * Worth a line in a log, and nothing else.
 */
#define FCGIPM_EVENT_NOTICE 12

/**
 * A worker has reached a limit that recycles it: a successor is started first.
 */
#define FCGIPM_EVENT_RECYCLING 13

/**
 * A request has been running for as long as slow_request.
 */
#define FCGIPM_EVENT_SLOW_REQUEST 14

/**
 * A request has been running for as long as request_timeout: its worker got notice.
 */
#define FCGIPM_EVENT_REQUEST_TIMED_OUT 15

/**
 * A worker has missed a deadline, and is killed.
 */
#define FCGIPM_EVENT_KILLING 16

/**
 * Another number of workers is wanted, by a signal or by the load.
 */
#define FCGIPM_EVENT_RESIZED 17

/**
 * No worker is ready.
 */
#define FCGIPM_EVENT_EMERGENCY 18

/**
 * After an emergency a worker is ready again.
 */
#define FCGIPM_EVENT_RECOVERED 19

/**
 * The host is to fork a worker: see fcgipm_manager_host_forks().
 */
#define FCGIPM_EVENT_FORK 20

/**
 * A process manager. Opaque.
 */
typedef struct fcgipm_manager fcgipm_manager;

/**
 * A set of options. Opaque.
 */
typedef struct fcgipm_options fcgipm_options;

/**
 * A request loop on one listening socket. Opaque.
 */
typedef struct fcgipm_request fcgipm_request;

/**
 * A parameter, where the library has it. The value has a NUL behind it; the name has none.
 */
typedef struct {
  /**
   * The name's first byte.
   */
  const uint8_t *name;
  /**
   * The name's length.
   */
  size_t name_length;
  /**
   * The value's first byte.
   */
  const uint8_t *value;
  /**
   * The value's length, without the NUL.
   */
  size_t value_length;
} fcgipm_param;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * The library's version, as "0.1.0".
 *
 * Returns a string that lives as long as the process. Any thread, any time, also after fork.
 */
const char *fcgipm_version(void);

/**
 * What the calling thread's last failed call of this library had to say; "" when none failed.
 *
 * Returns a string that belongs to the library and lives until the thread's next failed call.
 * Per thread. A fork keeps it.
 */
const char *fcgipm_last_error_message(void);

/**
 * The name of an error number, as "FCGIPM_EINUSE"; NULL for a number that is none.
 *
 * Returns a string that lives as long as the process. Any thread, any time, also after fork.
 */
const char *fcgipm_error_name(int32_t code);

/**
 * Writes to standard error as the manager writes its own lines, for hosts that have lines of
 * their own: without raising a signal where nobody reads it, and dropped instead of waiting for a
 * reader that does not keep up. A manager that stopped there would look after nobody. What was
 * dropped is counted, and the next line that gets through reports it.
 *
 * Returns 1, or 0 when it was dropped; FCGIPM_EARGUMENT. Any thread.
 */
int32_t fcgipm_log_write(const uint8_t *data, size_t length);

/**
 * Makes an empty set of options: every one has its default.
 *
 * Returns a handle that the caller frees with fcgipm_options_free(). Any thread. A handle may be
 * used by one call at a time; after fork both processes have one of their own.
 */
fcgipm_options *fcgipm_options_new(void);

/**
 * Frees a set of options; NULL is fine. What was made with it stays as it is.
 */
void fcgipm_options_free(fcgipm_options *options);

/**
 * Sets an option from text.
 *
 * The names and what they take are on the page OPTIONS of the documentation. name and value are
 * NUL-terminated strings, and copied. The environment wins over what is set here: the variable for
 * "n_processes", say, is FCGIPM_N_PROCESSES.
 *
 * Returns 0, FCGIPM_EOPTION for a name that is none, FCGIPM_EVALUE for a value that the option
 * does not take, FCGIPM_EARGUMENT for NULL, FCGIPM_EHANDLE.
 */
int32_t fcgipm_options_set(fcgipm_options *options, const char *name, const char *value);

/**
 * Reads an option as text: what was set, or the default.
 *
 * name is a NUL-terminated string. Copies at most size bytes to buffer, the last of them a NUL, as
 * snprintf(3) does; buffer may be NULL with size 0.
 *
 * Returns the full length without the NUL; FCGIPM_EOPTION for a name that is none,
 * FCGIPM_EARGUMENT, FCGIPM_EHANDLE.
 */
int32_t fcgipm_options_get(const fcgipm_options *options,
                           const char *name,
                           char *buffer,
                           size_t size);

/**
 * Reads an option as it will be used: the environment, else what was set, else the default.
 *
 * options may be NULL. Returns as fcgipm_options_get(), and FCGIPM_EOPTION or FCGIPM_EVALUE for a
 * variable FCGIPM_... that names no option or has a bad value.
 */
int32_t fcgipm_options_effective(const fcgipm_options *options,
                                 const char *name,
                                 char *buffer,
                                 size_t size);

/**
 * Opens a listening socket.
 *
 * address is a NUL-terminated string, one of: ":9005" (all interfaces, IPv6 and IPv4),
 * "127.0.0.1:9005", "host:9005", "[::1]:9005", "/path" or "unix:/path" (a socket file), "@name"
 * (abstract, unix(7)), "fd:N" (the inherited descriptor N, which must listen already). Any other
 * text without a colon, but not a bare number, is the path of a socket file, as with FCGI.
 *
 * backlog is the length of the queue, 0 meaning 100; the kernel caps it at net.core.somaxconn.
 *
 * options may be NULL; listen_mode, listen_owner, listen_group and listen_replace count. A socket
 * file is never more open than they say, and the umask is not touched. A socket file on which
 * nobody answers is replaced. The environment wins over them, also where options is NULL.
 *
 * The socket ends with the manager of this process: when that stops, nothing arrives any more,
 * what waits in the queue is answered, and the socket file is removed unless it was replaced. So it
 * is when the only process that has the socket retires. An inherited descriptor is left alone.
 *
 * Returns a descriptor above 2, close-on-exec, which the caller owns (for "fd:N" N itself), or
 * FCGIPM_EADDRESS, FCGIPM_EINUSE, FCGIPM_ELISTENER, FCGIPM_EOPTION, FCGIPM_EVALUE,
 * FCGIPM_EDESCRIPTORS, FCGIPM_ESYSTEM with errno, FCGIPM_EARGUMENT, FCGIPM_EHANDLE. Any thread. The
 * descriptor is inherited by fork, and meant to be.
 */
int32_t fcgipm_socket_open(const char *address, int32_t backlog, const fcgipm_options *options);

/**
 * Closes a listening socket. A socket file stays: other processes may listen on it.
 *
 * Returns 0, or FCGIPM_ELISTENER when fd is no open listening socket. Any thread that does not
 * leave another one waiting on it: accept(2) there would go on.
 */
int32_t fcgipm_socket_close(int32_t fd);

/**
 * Whether a descriptor is a listening socket: how a program finds out that it was started by a
 * FastCGI web server, which hands one in as descriptor 0 (FastCGI 1.0, section 2.2).
 *
 * Returns 1 or 0. Any thread, also after fork.
 */
int32_t fcgipm_socket_is_listening(int32_t fd);

/**
 * Makes a request loop on a listening socket, which stays the caller's and must stay open.
 *
 * flags is 0 or FCGIPM_FAIL_ACCEPT_ON_INTR, FCGIPM_RETURN_ON_SIGNAL, or both. options may be NULL
 * and is not needed afterwards; params_timeout, body_timeout, write_timeout, idle_timeout,
 * skip_disconnected, max_params, max_param_size and max_params_size count, the environment wins
 * over them, and FCGI_WEB_SERVER_ADDRS is read (FastCGI 1.0, section 3.2).
 *
 * In a program that "fcgipm run" started, the first call makes the process a worker of that
 * manager: the handlers of a fresh worker (see fcgipm_worker_protect()) are installed where the
 * program has none. FCGIPM_EVALUE or FCGIPM_ESYSTEM when it cannot: the message says why.
 *
 * Returns a handle that the caller frees with fcgipm_request_free(), or NULL: FCGIPM_ELISTENER
 * when listen_fd does not listen, FCGIPM_EARGUMENT for flags, FCGIPM_EOPTION or FCGIPM_EVALUE
 * for the environment. Several threads may have a loop each on one socket; a handle is for one
 * call at a time. Make it in the process that uses it: after fork the child can only free it.
 */
fcgipm_request *fcgipm_request_new(int32_t listen_fd,
                                   uint32_t flags,
                                   const fcgipm_options *options);

/**
 * Frees a request loop; NULL is fine. A request that is being served is finished; kept
 * connections are closed, or in a worker handed to the others. It may wait, for at most 5
 * seconds, until peers that are still sending have seen their answers. In a child of the process
 * that made it, its copies of the descriptors are closed and nothing is sent.
 */
void fcgipm_request_free(fcgipm_request *request);

/**
 * Waits for the next request, and reads it up to the end of its parameters. One that is being
 * served is finished first.
 *
 * Returns 0; FCGIPM_ERETIRED when this process is to leave: end the loop; FCGIPM_EINTERRUPTED
 * (see the flags) with errno EINTR; FCGIPM_ELISTENER when the socket was closed or does not
 * listen, FCGIPM_EDESCRIPTORS when no descriptor is left, FCGIPM_ESYSTEM, each with errno;
 * FCGIPM_EFORKED, FCGIPM_EHANDLE. Connections that fail before their parameters are complete are
 * logged where that is somebody's mistake, and never returned.
 */
int32_t fcgipm_request_accept(fcgipm_request *request);

/**
 * Forgets the signals of which fcgipm_signal_arrived() told: the host has run its handlers for
 * them, and the next fcgipm_request_accept() need not return. NULL: that of a handle made later.
 *
 * Returns 0; FCGIPM_EFORKED, FCGIPM_EHANDLE.
 */
int32_t fcgipm_request_forget_signals(fcgipm_request *request);

/**
 * Ends the response and the request: what was gathered is sent with END_REQUEST and the exit
 * status (FastCGI 1.0, section 5.5).
 *
 * Returns 0; FCGIPM_ECLOSED with errno, or FCGIPM_ETIMEDOUT, when the peer did not take it to
 * its end; FCGIPM_ESTATE when no request is being served; FCGIPM_EFORKED, FCGIPM_EHANDLE.
 * Afterwards no request is being served, whatever is returned.
 */
int32_t fcgipm_request_finish(fcgipm_request *request);

/**
 * Writes the last bytes of the response and finishes, as fcgipm_request_write() with
 * FCGIPM_STDOUT and fcgipm_request_finish() do; a small response leaves in one send(2). data may
 * be NULL with length 0.
 *
 * Returns 0, or the first error of the two.
 */
int32_t fcgipm_request_finish_with(fcgipm_request *request, const uint8_t *data, size_t length);

/**
 * Ends the request without an answer: its connection is closed.
 *
 * Returns 0, FCGIPM_ESTATE when no request is being served, FCGIPM_EFORKED, FCGIPM_EHANDLE.
 */
int32_t fcgipm_request_abandon(fcgipm_request *request);

/**
 * In a child of the process that accepted it: the request that is being served can be read,
 * written to and finished there, too. Everything else of the handle stays the parent's. The rules
 * are in docs/FORKING.md.
 *
 * Returns 0, also in the process that made the handle, where nothing happens, and in a child that
 * fork(3) did not make, where every other call still returns FCGIPM_EFORKED; FCGIPM_EHANDLE.
 */
int32_t fcgipm_request_go_on_in_child(fcgipm_request *request);

/**
 * In a child of the process that accepted it: fcgipm_request_read() and its kin read the input of
 * the request that is being served. Writing stays as it is.
 *
 * Returns 0, also in the process that made the handle, where nothing happens; FCGIPM_ESTATE when
 * no request is being served; FCGIPM_EFORKED in a child that fork(3) did not make, FCGIPM_EHANDLE.
 */
int32_t fcgipm_request_read_in_child(fcgipm_request *request);

/**
 * Leaves the request that is being served to a child, forked before or after this. The first child
 * that writes to it, or calls fcgipm_request_go_on_in_child(), answers it. In this process it ends
 * with fcgipm_request_abandon() or the next accept or free, without an answer, and the connection
 * is closed here alone.
 *
 * Returns 0; FCGIPM_ESTATE when no request is being served; FCGIPM_EFORKED in a child that has no
 * part in it, FCGIPM_EHANDLE.
 */
int32_t fcgipm_request_detach(fcgipm_request *request);

/**
 * Takes a request back that was left with fcgipm_request_detach().
 *
 * Returns 0, also when it was not left; FCGIPM_ESTATE when a child has taken it, or no request is
 * being served; FCGIPM_EFORKED, FCGIPM_EHANDLE.
 */
int32_t fcgipm_request_attach(fcgipm_request *request);

/**
 * Whether this process is the one that answers the request that is being served: it accepted the
 * request and has not left it, or it is a child that the request was left to. A child waits for at
 * most wait_ms milliseconds until its parent has left the request or ended it.
 *
 * Returns 1 or 0; FCGIPM_EHANDLE.
 */
int32_t fcgipm_request_belongs_here(fcgipm_request *request, uint32_t wait_ms);

/**
 * Whether a request is being served.
 *
 * Returns 1 between accept and finish, else 0; FCGIPM_EHANDLE.
 */
int32_t fcgipm_request_is_active(const fcgipm_request *request);

/**
 * Sets the exit status that END_REQUEST will carry; it is 0 at the start of each request.
 *
 * Returns 0, FCGIPM_ESTATE when no request is being served, FCGIPM_EFORKED, FCGIPM_EHANDLE.
 */
int32_t fcgipm_request_set_exit_status(fcgipm_request *request, uint32_t status);

/**
 * The request's role.
 *
 * Returns FCGIPM_RESPONDER, FCGIPM_AUTHORIZER or FCGIPM_FILTER; FCGIPM_ESTATE, FCGIPM_EFORKED,
 * FCGIPM_EHANDLE.
 */
int32_t fcgipm_request_role(const fcgipm_request *request);

/**
 * Whether the web server asked to keep the connection.
 *
 * Returns 1 or 0; FCGIPM_ESTATE, FCGIPM_EFORKED, FCGIPM_EHANDLE.
 */
int32_t fcgipm_request_keep_connection(const fcgipm_request *request);

/**
 * The descriptor of the request's connection, which stays the library's: do not close it, and
 * read or write it only to take the protocol into your own hands.
 *
 * Returns the descriptor; FCGIPM_ESTATE, FCGIPM_ECLOSED, FCGIPM_EFORKED, FCGIPM_EHANDLE.
 */
int32_t fcgipm_request_connection_fd(const fcgipm_request *request);

/**
 * The address of the connection's other end: "127.0.0.1:4711", "[::1]:4711", or "unix:".
 *
 * Copies at most size bytes to buffer, the last of them a NUL, as snprintf(3) does; buffer may be
 * NULL with size 0.
 *
 * Returns the full length without the NUL; FCGIPM_ESTATE, FCGIPM_ECLOSED, FCGIPM_EARGUMENT,
 * FCGIPM_EFORKED, FCGIPM_EHANDLE.
 */
int32_t fcgipm_request_peer_address(const fcgipm_request *request, char *buffer, size_t size);

/**
 * Whether the web server aborted the request (FastCGI 1.0, section 5.4). Looks at what has
 * arrived without waiting; an abort behind input that has not been read is seen when it was
 * read.
 *
 * Returns 1 or 0; FCGIPM_ESTATE, FCGIPM_EFORKED, FCGIPM_EHANDLE.
 */
int32_t fcgipm_request_aborted(fcgipm_request *request);

/**
 * Reads from the request's input into size bytes at buffer, like read(2): waits for at least one
 * byte.
 *
 * Returns the number of bytes, 0 at the end of the input (or for size 0); FCGIPM_EINCOMPLETE when
 * the connection ended before the input did, FCGIPM_EABORTED, FCGIPM_ETIMEDOUT (body_timeout, or
 * the signal that gives notice of request_timeout came), FCGIPM_EPROTOCOL, FCGIPM_ECLOSED with
 * errno, each again at every further call; FCGIPM_ESTATE,
 * FCGIPM_EARGUMENT, FCGIPM_EFORKED, FCGIPM_EHANDLE. A signal does not interrupt it.
 */
int64_t fcgipm_request_read(fcgipm_request *request, uint8_t *buffer, size_t size);

/**
 * Reads until size bytes are there or the input is at its end.
 *
 * Returns as fcgipm_request_read(); after an error with some bytes read, those first, and the
 * error with the next call.
 */
int64_t fcgipm_request_read_full(fcgipm_request *request, uint8_t *buffer, size_t size);

/**
 * Reads up to and including the next newline, or size bytes, or to the end of the input. Writes
 * no NUL.
 *
 * Returns as fcgipm_request_read_full().
 */
int64_t fcgipm_request_read_line(fcgipm_request *request, uint8_t *buffer, size_t size);

/**
 * Whether the input was read to its end.
 *
 * Returns 1 or 0; FCGIPM_EHANDLE.
 */
int32_t fcgipm_request_input_end(const fcgipm_request *request);

/**
 * The error that broke the input off (see fcgipm_request_read()).
 *
 * Returns its number, or 0; FCGIPM_EHANDLE.
 */
int32_t fcgipm_request_input_error(const fcgipm_request *request);

/**
 * Writes all of data to the stream FCGIPM_STDOUT or FCGIPM_STDERR. Small writes are gathered, and
 * sent when there are enough of them, at fcgipm_request_flush(), or at the end. data may be NULL
 * with length 0.
 *
 * Returns length; FCGIPM_ECLOSED with errno when the peer is gone, FCGIPM_ETIMEDOUT when it took
 * nothing for write_timeout, each again at every further call; FCGIPM_ESTATE, FCGIPM_EARGUMENT,
 * FCGIPM_EFORKED, FCGIPM_EHANDLE. A signal does not interrupt it; no SIGPIPE is raised.
 */
int64_t fcgipm_request_write(fcgipm_request *request,
                             uint32_t stream,
                             const uint8_t *data,
                             size_t length);

/**
 * Sends what was gathered of both streams.
 *
 * Returns 0, or an error as fcgipm_request_write().
 */
int32_t fcgipm_request_flush(fcgipm_request *request);

/**
 * A filter has read its standard input and goes on to the file's data (FastCGI 1.0, section 6.4):
 * fcgipm_request_read() reads that from here on.
 *
 * Returns 0; FCGIPM_ESTATE when the role is another one or the standard input is not at its end;
 * FCGIPM_EFORKED, FCGIPM_EHANDLE.
 */
int32_t fcgipm_request_start_filter_data(fcgipm_request *request);

/**
 * The parameters one by one, without a copy.
 *
 * Sets *list to the first of *count parameters, in the order of fcgipm_request_params(). They, and
 * what they point to, belong to the library and live until the request is finished. FCGI_ROLE is
 * among them. scope is FCGIPM_PARAMS_ENVIRONMENT, FCGIPM_PARAMS_WELL_FORMED or FCGIPM_PARAMS_ALL;
 * with an error the two are set to NULL and 0. Neither pointer may be NULL.
 *
 * Returns 0, FCGIPM_ESTATE when no request is being served, FCGIPM_EARGUMENT, FCGIPM_EFORKED,
 * FCGIPM_EHANDLE.
 */
int32_t fcgipm_request_list_params(const fcgipm_request *request,
                                   uint32_t scope,
                                   const fcgipm_param **list,
                                   size_t *count);

/**
 * The parameters in one piece.
 *
 * Sets *data and *length to bytes that belong to the library and live until the request is
 * finished. For each parameter: the length of the name (32 bits, big-endian), the name, a NUL, the
 * length of the value (likewise), the value, a NUL. FCGI_ROLE is among them. scope is
 * FCGIPM_PARAMS_ENVIRONMENT, FCGIPM_PARAMS_WELL_FORMED or FCGIPM_PARAMS_ALL; with an error the two
 * are set to NULL and 0. Neither pointer may be NULL.
 *
 * Returns 0, FCGIPM_ESTATE when no request is being served, FCGIPM_EARGUMENT, FCGIPM_EFORKED,
 * FCGIPM_EHANDLE.
 */
int32_t fcgipm_request_params(const fcgipm_request *request,
                              uint32_t scope,
                              const uint8_t **data,
                              size_t *length);

/**
 * Copies the parameters into size bytes at buffer, for hosts that split strings faster than they
 * follow lengths: the names, each with a NUL behind it, one more NUL, and the values in the same
 * order, each with a NUL behind it.
 *
 * held is NULL, or what the host still has of an earlier request, in that form. If it has the same
 * names in the same order, what is copied begins with a NUL instead, and then come only the
 * parameters whose value differs or is empty: a name, a NUL, the value, a NUL, for each.
 *
 * Returns the number of bytes; when it is larger than size, nothing was copied. FCGIPM_ESTATE when
 * no request is being served, FCGIPM_EARGUMENT (also for FCGIPM_PARAMS_ALL, whose names and values
 * may have NUL bytes in them), FCGIPM_EFORKED, FCGIPM_EHANDLE.
 */
int64_t fcgipm_request_copy_params(const fcgipm_request *request,
                                   uint32_t scope,
                                   const uint8_t *held,
                                   size_t held_length,
                                   uint8_t *buffer,
                                   size_t size);

/**
 * Looks a parameter up by its name, among all that the web server sent; of several with one name
 * the last counts.
 *
 * Sets *value and *value_length to bytes that belong to the library, live until the request is
 * finished, and have a NUL behind them; to NULL and 0 where there is no such parameter. Neither
 * pointer may be NULL. name has name_length bytes and needs no NUL.
 *
 * Returns 1 when it was found, 0 when not, FCGIPM_ESTATE, FCGIPM_EARGUMENT, FCGIPM_EFORKED,
 * FCGIPM_EHANDLE.
 */
int32_t fcgipm_request_param(const fcgipm_request *request,
                             const uint8_t *name,
                             size_t name_length,
                             const uint8_t **value,
                             size_t *value_length);

/**
 * Makes a manager. It starts nothing yet.
 *
 * options may be NULL and is not needed afterwards; n_processes, die_timeout, start_timeout,
 * start_delay, reload_surge, pid_fname, pm_title, no_signals, log and those that say who the
 * workers are (user, group, chroot, chdir, priority, rlimit_core, rlimit_files, no_new_privs)
 * count, and the environment wins over them.
 *
 * Returns a handle that the caller frees with fcgipm_manager_free(), or NULL: FCGIPM_EOPTION or
 * FCGIPM_EVALUE for the environment, FCGIPM_EHANDLE for options.
 */
fcgipm_manager *fcgipm_manager_new(const fcgipm_options *options);

/**
 * Frees a manager; NULL is fine. Workers of one that runs are told to leave and not waited for;
 * in a worker, only memory is freed. Signals that fcgipm_manager_fork_begins() has blocked are
 * released.
 */
void fcgipm_manager_free(fcgipm_manager *manager);

/**
 * Waits for the next thing that happens, and returns it: one of FCGIPM_EVENT_...
 *
 * The first call starts the manager: pid file, signal handlers, the first workers. The workers
 * are forked within these calls, so each of them returns more than once: in the parent, and in
 * each worker with FCGIPM_EVENT_IN_WORKER, unless fcgipm_manager_host_forks() was called. With
 * n_processes 0 the caller is its own only worker at once, and so is a program that "fcgipm run"
 * started: its manager is that one.
 *
 * A worker that cannot become who the options say gets FCGIPM_ESYSTEM, and the message names the
 * step: some may have been taken and others not, so it must end, and fcgipm_request_accept() in
 * it returns FCGIPM_ESTATE. The manager counts it as one that died before it was ready. What
 * cannot work at all is found when the manager starts: the steps are tried in a short-lived
 * child, before anything else is done.
 *
 * Returns FCGIPM_ETHREADS when the process has more than one thread, FCGIPM_EVALUE for a user or
 * group that is unknown, or for such options with n_processes 0, FCGIPM_EPIDFILE,
 * FCGIPM_ERUNNING, FCGIPM_EDESCRIPTORS, FCGIPM_ESYSTEM when it cannot start;
 * FCGIPM_EINTERRUPTED when a signal that is not the manager's ended the wait: call again;
 * FCGIPM_ESTATE after the end, and between fcgipm_manager_fork_begins() and
 * fcgipm_manager_forked(); FCGIPM_EFORKED in a worker, FCGIPM_EHANDLE. One thread only.
 */
int32_t fcgipm_manager_next(fcgipm_manager *manager);

/**
 * As fcgipm_manager_next(), but waits no longer than milliseconds, for hosts that have something
 * else to do meanwhile. Call it often: what it does not see, it does not act upon.
 *
 * Returns 0 when nothing happened in that time, else as fcgipm_manager_next(). One thread only.
 */
int32_t fcgipm_manager_next_within(fcgipm_manager *manager, uint32_t milliseconds);

/**
 * Runs the manager to its end, for hosts that do not care about events.
 *
 * Returns FCGIPM_EVENT_IN_WORKER in each worker, FCGIPM_EVENT_STOPPED in the parent at the end,
 * FCGIPM_ESTATE after fcgipm_manager_host_forks(), or an error of fcgipm_manager_next().
 */
int32_t fcgipm_manager_run(fcgipm_manager *manager);

/**
 * Has the host fork the workers (yes is not 0) or, as at first, the library. For a host whose
 * language has hooks around its own fork, which see nothing of one that a library makes.
 *
 * Then fcgipm_manager_next() returns FCGIPM_EVENT_FORK for each worker, again and again until the
 * host says that it forks, does so by its own means, and says in both processes what came of it:
 *
 *   event = fcgipm_manager_next(manager);
 *   if (event == FCGIPM_EVENT_FORK && (event = fcgipm_manager_fork_begins(manager)) == 0) {
 *       pid_t pid = fork();
 *       event = fcgipm_manager_forked(manager, pid, pid < 0 ? errno : 0);
 *   }
 *
 * Returns 0; FCGIPM_ESTATE after the first fcgipm_manager_next(), FCGIPM_EHANDLE. One thread only.
 */
int32_t fcgipm_manager_host_forks(fcgipm_manager *manager, int32_t yes);

/**
 * Says that the host forks now, after FCGIPM_EVENT_FORK. Until fcgipm_manager_forked() all signals
 * are blocked in the calling thread, so that one that reaches the child waits for the worker's
 * handlers; the only other calls with the manager that do not return FCGIPM_ESTATE are those about
 * the last event, fcgipm_manager_signal(), and fcgipm_manager_free(), which takes it for a fork
 * that has failed.
 *
 * Returns 0; FCGIPM_EINTERRUPTED, and nothing is blocked, when the handler of an interpreter
 * (fcgipm_signal_chain()) has noted a signal since the last time that this was returned: have the
 * program's own handler run, and call again, so that it does not run while signals are blocked.
 * FCGIPM_ESYSTEM when there is no room for what a worker needs, which the manager takes for a fork
 * that has failed; FCGIPM_ESTATE when no fork was asked for, or it was begun already;
 * FCGIPM_EFORKED, FCGIPM_EHANDLE. One thread only.
 */
int32_t fcgipm_manager_fork_begins(fcgipm_manager *manager);

/**
 * Says what came of the fork that fcgipm_manager_fork_begins() began. The parent and the child
 * call it, at once, and each in the thread that began it.
 *
 * pid is what fork(2) returned: the child's in the parent, 0 in the child, -1 if there is no
 * child. Then error is errno, and the manager does as after a failure of its own: it says so in
 * the log and tries again a second later. A child that there is nevertheless, because something
 * failed behind the fork, leaves at its first fcgipm_request_accept(). A host that does not fork
 * at all may say so without fcgipm_manager_fork_begins(). For any other pid, error does not count.
 * In the child the call waits for the one in the parent, or for its death.
 *
 * The child is one of this process's own, not waited for and not a worker already, and was made
 * by fork(3) or something on top of it: not by vfork(2), and not by a clone(2) that passes by
 * the handlers of pthread_atfork(3). From then on it is the manager's to wait for.
 *
 * Returns 0 in the parent and FCGIPM_EVENT_IN_WORKER in the child, or there one of the errors
 * that fcgipm_manager_next() has for a worker. FCGIPM_ESTATE when no fork was asked for, it was
 * said already, or a fork has succeeded that was not begun; FCGIPM_EARGUMENT, and errno ECHILD, for
 * a pid that is no such child; FCGIPM_EARGUMENT for 0 in the parent, and for -1 without an error;
 * FCGIPM_EFORKED for anything but 0 in a child. After FCGIPM_EARGUMENT and FCGIPM_EFORKED the fork
 * is still waited for, and the signals are still blocked. FCGIPM_EHANDLE.
 */
int32_t fcgipm_manager_forked(fcgipm_manager *manager, int32_t pid, int32_t error);

/**
 * Asks a manager that runs for another number of workers, as TTIN and TTOU do: at least 1, and
 * no more than an n_processes can be. With pm=dynamic and pm=ondemand it is the most.
 *
 * Returns 0; FCGIPM_ESTATE before the first fcgipm_manager_next(), after the end, and between
 * fcgipm_manager_fork_begins() and fcgipm_manager_forked(); FCGIPM_EFORKED, FCGIPM_EHANDLE. One
 * thread only.
 */
int32_t fcgipm_manager_resize(fcgipm_manager *manager, uint32_t workers);

/**
 * The worker that the last event of this manager concerns.
 *
 * Returns its pid, or 0 when it concerns none; FCGIPM_EHANDLE.
 */
int32_t fcgipm_manager_event_pid(const fcgipm_manager *manager);

/**
 * The last event's number.
 *
 * Returns a wait status for FCGIPM_EVENT_WORKER_EXITED, a signal for FCGIPM_EVENT_SIGNAL, else 0;
 * FCGIPM_EHANDLE.
 */
int32_t fcgipm_manager_event_status(const fcgipm_manager *manager);

/**
 * The last event as a line for people, without a prefix and without a newline.
 *
 * Returns a string that belongs to the library and lives until the next call with this manager;
 * "" if there is nothing to say, NULL for FCGIPM_EHANDLE.
 */
const char *fcgipm_manager_event_message(const fcgipm_manager *manager);

/**
 * Hands in a signal that the host caught, for hosts that set the option no_signals.
 *
 * It reaches the manager that runs in this process, whichever handle is given; where none runs,
 * nothing happens.
 *
 * Returns 0. Any thread; async-signal-safe.
 */
int32_t fcgipm_manager_signal(const fcgipm_manager *manager, int32_t signal);

/**
 * For a signal handler of the host's: fcgipm_request_accept() returns FCGIPM_EINTERRUPTED, in each
 * request loop of this process that has FCGIPM_FAIL_ACCEPT_ON_INTR or FCGIPM_RETURN_ON_SIGNAL; if
 * it does not wait for a request now, the next call does so. Without it, a signal that arrives
 * between the host's look at a variable that its handler sets and the system call that waits
 * would be noticed with the next request. Where SIGURG has no handler and a thread waits, one is
 * installed.
 *
 * Returns 0. Any thread; async-signal-safe.
 */
int32_t fcgipm_signal_arrived(void);

/**
 * For interpreters, which install one handler for all signals, and run their own later: handler
 * points to the variable that holds its address. That is replaced by a handler that calls it and
 * also ends the wait of the thread that the signal interrupted, as fcgipm_signal_arrived() does; so
 * is the handler of each signal that has it already. SIGURG ends no wait.
 *
 * Returns 0; FCGIPM_EARGUMENT for NULL; FCGIPM_ESTATE when another handler was given before.
 * Call it before there are other threads.
 */
int32_t fcgipm_signal_chain(void **handler);

/**
 * Asks this process to leave: the request that runs is finished, then fcgipm_request_accept()
 * returns FCGIPM_ERETIRED, in every thread that has a loop. Works without a manager, too; where
 * SIGURG has no handler, one is installed, to reach the threads that wait.
 *
 * Returns 0. Any thread; async-signal-safe.
 */
int32_t fcgipm_worker_retire(void);

/**
 * Whether this process is to leave: it was retired, asked to, or its manager is gone.
 *
 * Returns 1 or 0. Any thread; no system call unless a signal of this library arrived.
 */
int32_t fcgipm_worker_retiring(void);

/**
 * Whether the manager gave notice: a request that this process is serving has passed
 * request_timeout, and request_timeout_grace later the process is killed unless the request is
 * finished by then. What asks now and then can still end its request in good order.
 *
 * Returns 1 or 0; 0 where there is no manager. Any thread; async-signal-safe, no system call.
 */
int32_t fcgipm_worker_notice_given(void);

/**
 * Installs a worker's signal handlers (again): TERM, HUP, INT and QUIT ask it to leave, URG is how
 * its manager reaches it. A fresh worker has them already, unless the option no_signals is set;
 * hosts with a signal table of their own call this after they have filled it.
 *
 * Returns 0, or FCGIPM_ESYSTEM with errno. After fork each process has its own handlers.
 */
int32_t fcgipm_worker_protect(void);

/**
 * Puts the handler of one signal back, if the host or its runtime has put another in its
 * place: URG, by which the manager reaches a worker, or TERM, HUP, INT or QUIT. For runtimes
 * that restore a table of signals of their own; what the other handler may have taken in is
 * looked for in the next wait.
 *
 * calls_host matters for URG alone: unless it is 0, the handler that was replaced is called
 * after the library's from then on, also when the manager reaches the worker. That is so
 * from the start, for a host with a handler of its own. A runtime that has one function for
 * all signals passes 0 while its program has no handler for URG.
 *
 * Returns 1 if the handler had to be put back and 0 if it was there, FCGIPM_EARGUMENT for
 * another signal, or FCGIPM_ESYSTEM with errno. Any thread. After fork each process has its
 * own handlers.
 */
int32_t fcgipm_worker_protect_signal(int32_t signal, int32_t calls_host);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* FCGIPM_H */
