/* fcgipm.h, version 0.1.0: the server side of FastCGI 1.0 and a process manager.
 *
 * Generated from src/ffi by the build. Do not edit.
 *
 * Results: a function returns 0 or a positive number on success, and one of the negative
 * FCGIPM_E... numbers on failure. A function that returns a pointer returns NULL on failure.
 * fcgipm_last_error_message() describes the last failure of the calling thread. errno is set if a
 * system call was the cause, and is otherwise unchanged.
 *
 * Arguments: a handle that is NULL, freed or of another kind, or that another call is using, is an
 * error (FCGIPM_EHANDLE). Any other pointer must be valid during the call, and may be NULL only if
 * its description says so. Strings and data are copied if the library needs them after the call.
 *
 * Threads: any thread may call any function, except where stated; one call at a time per handle.
 *
 * Fork: a handle belongs to the process that made it. In a child, calls with it return
 * FCGIPM_EFORKED, except where stated. Freeing it there frees memory and closes descriptors only.
 *
 * The ABI only grows: functions and numbers keep their meaning. */

#ifndef FCGIPM_H
#define FCGIPM_H

#include <stddef.h>
#include <stdint.h>

/** An argument is NULL or out of range. */
#define FCGIPM_EARGUMENT (-1)
/** The handle is NULL, freed, of another kind, or in use by another call. */
#define FCGIPM_EHANDLE (-2)
/** The handle belongs to another process: it was made before a fork. */
#define FCGIPM_EFORKED (-3)
/** A listen address is invalid or cannot be resolved. */
#define FCGIPM_EADDRESS (-4)
/** A listen address is in use. */
#define FCGIPM_EINUSE (-5)
/** There is no option with this name. */
#define FCGIPM_EOPTION (-6)
/** An option or an environment variable has an invalid value. */
#define FCGIPM_EVALUE (-7)
/** A system call failed; errno has the reason. */
#define FCGIPM_ESYSTEM (-8)
/** The call is not allowed in this state, such as a read before accept. */
#define FCGIPM_ESTATE (-9)
/** A signal interrupted the wait. */
#define FCGIPM_EINTERRUPTED (-10)
/** This worker should exit: it was retired, or its manager no longer exists. */
#define FCGIPM_ERETIRED (-11)
/** The web server aborted the request. */
#define FCGIPM_EABORTED (-12)
/** The connection ended before the end of the input. */
#define FCGIPM_EINCOMPLETE (-13)
/** The peer violated the protocol. */
#define FCGIPM_EPROTOCOL (-14)
/** A timeout expired. */
#define FCGIPM_ETIMEDOUT (-15)
/** The connection was closed. */
#define FCGIPM_ECLOSED (-16)
/** The descriptor is not a listening socket, or was closed. */
#define FCGIPM_ELISTENER (-17)
/** The process or the system has no free descriptor. */
#define FCGIPM_EDESCRIPTORS (-18)
/** The pid file cannot be read or written. */
#define FCGIPM_EPIDFILE (-19)
/** Another manager is running. */
#define FCGIPM_ERUNNING (-20)
/** The process has more than one thread, so it cannot fork workers. */
#define FCGIPM_ETHREADS (-21)
/** An internal error of the library. */
#define FCGIPM_EPANIC (-22)
/** This worker should fork a template: see fcgipm_manager_of_worker(). */
#define FCGIPM_EFORKDUE (-23)


/**
 * A flag of fcgipm_request_new(): if a signal interrupts the wait for a request,
 * fcgipm_request_accept() returns FCGIPM_EINTERRUPTED. A signal that arrives just before the wait
 * has the same effect if its handler calls fcgipm_signal_arrived(). The flag has the name that it
 * has in libfcgi.
 */
#define FCGIPM_FAIL_ACCEPT_ON_INTR 1

/**
 * A flag of fcgipm_request_new(): the same, for interpreters that run signal handlers later, as
 * Perl does, and then call fcgipm_request_accept() again.
 */
#define FCGIPM_RETURN_ON_SIGNAL 2

/**
 * The role of a request that wants a response (FastCGI 1.0, section 6.2).
 */
#define FCGIPM_RESPONDER 1

/**
 * The role of a request that wants an access decision and has no body (section 6.3).
 */
#define FCGIPM_AUTHORIZER 2

/**
 * The role of a request that wants a file to be filtered (section 6.4).
 */
#define FCGIPM_FILTER 3

/**
 * The stream of the response.
 */
#define FCGIPM_STDOUT 1

/**
 * The stream of messages for the log of the web server.
 */
#define FCGIPM_STDERR 2

/**
 * A scope: the parameters that may be exported into a process environment. It excludes HTTP_PROXY
 * (httpoxy), empty names, names with '=', and names or values with a NUL.
 */
#define FCGIPM_PARAMS_ENVIRONMENT 0

/**
 * A scope: the above and HTTP_PROXY.
 */
#define FCGIPM_PARAMS_WELL_FORMED 1

/**
 * A scope: everything that the web server sent.
 */
#define FCGIPM_PARAMS_ALL 2

/**
 * This process is a new worker. Its copy of the manager handle is of no further use: free it.
 */
#define FCGIPM_EVENT_IN_WORKER 1

/**
 * All workers have exited and the pid file is removed: the program should exit.
 */
#define FCGIPM_EVENT_STOPPED 2

/**
 * The manager is set up; no worker was forked yet.
 */
#define FCGIPM_EVENT_MANAGING 3

/**
 * A worker was forked.
 */
#define FCGIPM_EVENT_WORKER_STARTED 4

/**
 * A worker has called accept for the first time.
 */
#define FCGIPM_EVENT_WORKER_READY 5

/**
 * A worker has exited; the status of the event is its wait status (waitpid(2)).
 */
#define FCGIPM_EVENT_WORKER_EXITED 6

/**
 * A reload has begun.
 */
#define FCGIPM_EVENT_RELOAD_BEGUN 7

/**
 * A reload is complete: all workers are new and ready, and all old workers have exited.
 */
#define FCGIPM_EVENT_RELOAD_DONE 8

/**
 * A reload has failed: the old workers continue. The message has the reason.
 */
#define FCGIPM_EVENT_RELOAD_FAILED 9

/**
 * The manager has asked all workers to exit.
 */
#define FCGIPM_EVENT_STOPPING 10

/**
 * A signal arrived; the status of the event is its number.
 */
#define FCGIPM_EVENT_SIGNAL 11

/**
 * A message for the log, nothing else.
 */
#define FCGIPM_EVENT_NOTICE 12

/**
 * A worker has reached a recycling limit. Its replacement is started first.
 */
#define FCGIPM_EVENT_RECYCLING 13

/**
 * A request has been running for slow_request.
 */
#define FCGIPM_EVENT_SLOW_REQUEST 14

/**
 * A request has been running for request_timeout: its worker was notified.
 */
#define FCGIPM_EVENT_REQUEST_TIMED_OUT 15

/**
 * A worker has missed a deadline: it is being killed.
 */
#define FCGIPM_EVENT_KILLING 16

/**
 * The wanted number of workers has changed, because of a signal or the load.
 */
#define FCGIPM_EVENT_RESIZED 17

/**
 * No worker is ready.
 */
#define FCGIPM_EVENT_EMERGENCY 18

/**
 * A worker is ready again after FCGIPM_EVENT_EMERGENCY.
 */
#define FCGIPM_EVENT_RECOVERED 19

/**
 * The program must fork a worker: see fcgipm_manager_host_forks().
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
 * A parameter in the memory of the library. The value is followed by a NUL, the name is not.
 */
typedef struct {
  /**
   * The first byte of the name.
   */
  const uint8_t *name;
  /**
   * The length of the name.
   */
  size_t name_length;
  /**
   * The first byte of the value.
   */
  const uint8_t *value;
  /**
   * The length of the value, without the NUL.
   */
  size_t value_length;
} fcgipm_param;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * Returns the version of the library, such as "0.1.0".
 *
 * The string is valid for the lifetime of the process. Any thread, at any time, also after fork.
 */
const char *fcgipm_version(void);

/**
 * Returns the message of the last call that failed in the calling thread, or "" if none has
 * failed.
 *
 * The string belongs to the library and is valid until the next failing call of the same thread. A
 * child inherits the message of the thread that forked.
 */
const char *fcgipm_last_error_message(void);

/**
 * Returns the name of an error number, such as "FCGIPM_EINUSE", or NULL if there is no such error.
 *
 * The string is valid for the lifetime of the process. Any thread, at any time, also after fork.
 */
const char *fcgipm_error_name(int32_t code);

/**
 * Writes length bytes at data to the log, in the same way as the manager writes it: to standard
 * error, or in the process of a manager to the file that its option log names.
 *
 * The bytes are whole lines. The first may begin with its priority, "<3>" (error) to "<7>", as in
 * sd-daemon(3): the journal gets it, and option log_level applies. Elsewhere it is not written.
 *
 * It never raises SIGPIPE and never waits: if the reader does not keep up, the bytes are dropped
 * and counted, and the next line that gets through reports the count. Use it for log lines of a
 * process that runs a manager, because a manager that waits for standard error supervises no
 * workers.
 *
 * Returns 1, or 0 if the bytes were dropped; FCGIPM_EARGUMENT. Any thread, also after fork.
 */
int32_t fcgipm_log_write(const uint8_t *data, size_t length);

/**
 * Makes a set of options in which every option has its default.
 *
 * Returns a handle, which the caller frees with fcgipm_options_free(). Any thread. After fork,
 * parent and child each have an independent copy.
 */
fcgipm_options *fcgipm_options_new(void);

/**
 * Frees a set of options; NULL is allowed. Objects that were made with it are not affected.
 */
void fcgipm_options_free(fcgipm_options *options);

/**
 * Sets an option from text.
 *
 * name and value are NUL-terminated strings, which are copied. docs/OPTIONS.md lists the names and
 * values. An environment variable overrides the value that is set here: for "n_processes" it is
 * FCGIPM_N_PROCESSES.
 *
 * Returns 0; FCGIPM_EOPTION if there is no such option, FCGIPM_EVALUE if the value is invalid,
 * FCGIPM_EARGUMENT if a string is NULL or not UTF-8, FCGIPM_EHANDLE.
 */
int32_t fcgipm_options_set(fcgipm_options *options, const char *name, const char *value);

/**
 * Reads an option as text: the value that was set, or the default.
 *
 * name is a NUL-terminated string. Like snprintf(3), it copies at most size bytes to buffer,
 * including a terminating NUL. buffer may be NULL if size is 0.
 *
 * Returns the full length without the NUL; FCGIPM_EOPTION if there is no such option,
 * FCGIPM_EARGUMENT, FCGIPM_EHANDLE.
 */
int32_t fcgipm_options_get(const fcgipm_options *options,
                           const char *name,
                           char *buffer,
                           size_t size);

/**
 * Reads an option as the library will use it: the value in the environment, otherwise the value
 * that was set, otherwise the default.
 *
 * options may be NULL. name, buffer and size are as for fcgipm_options_get().
 *
 * Returns the full length without the NUL; the errors of fcgipm_options_get(); FCGIPM_EOPTION or
 * FCGIPM_EVALUE if an environment variable FCGIPM_... names no option or has an invalid value.
 */
int32_t fcgipm_options_effective(const fcgipm_options *options,
                                 const char *name,
                                 char *buffer,
                                 size_t size);

/**
 * Opens a listening socket.
 *
 * address is a NUL-terminated string in one of these forms:
 *
 *   ":9005"                          all interfaces, IPv6 and IPv4
 *   "127.0.0.1:9005", "[::1]:9005"   one address
 *   "host:9005"                      the address of a host
 *   "/path", "unix:/path"            a unix socket file
 *   "@name"                          an abstract unix socket, unix(7)
 *   "fd:N"                           the inherited descriptor N, which must be listening
 *   "fd:NAME"                        the socket that a service manager has passed by this name
 *
 * As with FCGI, any other text without a colon is the path of a socket file, unless it is a
 * number.
 *
 * If a service manager has passed a listening socket with this address to the process, as systemd
 * does for a socket unit (LISTEN_FDS, LISTEN_PID, sd_listen_fds(3)), that socket is returned, and
 * nothing is opened. ":9005" means any of the passed sockets with this port.
 *
 * backlog is the length of the listen queue; 0 means 100. The kernel limits it to
 * net.core.somaxconn.
 *
 * options may be NULL. The options listen, listen_mode, listen_owner, listen_group and
 * listen_replace apply; the environment overrides them, even if options is NULL. The option listen
 * replaces the address. A socket file never has more
 * permissions than they allow, and the umask of the process is not changed. A socket file that no
 * process listens on is replaced.
 *
 * When the manager of this process stops, it also stops the socket: no new connections arrive,
 * those in the listen queue are answered, and the socket file is removed unless another process
 * has replaced it. Without a manager, the same happens when the only process that has the socket
 * retires. An inherited descriptor is not stopped, nor a socket that the service manager stores.
 *
 * Returns a descriptor above 2 with close-on-exec set, which the caller owns. For "fd:N" it is N
 * itself; for a socket that a service manager has passed, it is that descriptor. FCGIPM_EADDRESS,
 * FCGIPM_EINUSE, FCGIPM_ELISTENER, FCGIPM_EOPTION, FCGIPM_EVALUE, FCGIPM_EDESCRIPTORS,
 * FCGIPM_ESYSTEM with errno, FCGIPM_EARGUMENT, FCGIPM_EHANDLE. Any thread. Children inherit the
 * descriptor, so that workers can accept on it.
 */
int32_t fcgipm_socket_open(const char *address, int32_t backlog, const fcgipm_options *options);

/**
 * Closes a listening socket. A socket file is not removed, because other processes may listen on
 * it.
 *
 * Returns 0, or FCGIPM_ELISTENER if fd is not an open listening socket. Any thread, but not while
 * another thread waits on the socket: its accept(2) would continue.
 */
int32_t fcgipm_socket_close(int32_t fd);

/**
 * Checks whether a descriptor is a listening socket. With fd 0, this tells a program whether a
 * FastCGI web server started it (FastCGI 1.0, section 2.2), or a service manager that has passed a
 * socket, or an operator who has set the option listen in the environment: then
 * fcgipm_request_new() with listen_fd 0 uses that socket. The option does not count in a program
 * that a web server started for one request (CGI: GATEWAY_INTERFACE is set).
 *
 * Returns 1 or 0. Any thread, also after fork.
 */
int32_t fcgipm_socket_is_listening(int32_t fd);

/**
 * Makes a request loop on a listening socket. The socket still belongs to the caller and must stay
 * open. If listen_fd is 0 and descriptor 0 is not a listening socket, the loop uses the socket of
 * the option listen, or else the first listening socket that a service manager has passed to the
 * process (LISTEN_FDS), if there is one.
 *
 * flags is 0, or a combination of FCGIPM_FAIL_ACCEPT_ON_INTR and FCGIPM_RETURN_ON_SIGNAL. options
 * may be NULL and is not needed after the call. The options params_timeout, body_timeout,
 * write_timeout, idle_timeout, skip_disconnected, max_params, max_param_size, max_params_size and
 * listen apply; the environment overrides them. FCGI_WEB_SERVER_ADDRS is read from the environment
 * (FastCGI 1.0, section 3.2).
 *
 * In a program that "fcgipm run" started, the first call makes the process a worker of that
 * manager. It installs the handlers that fcgipm_worker_protect() describes, except where the
 * program has handlers of its own. If it fails, the error is FCGIPM_EVALUE or FCGIPM_ESYSTEM.
 *
 * Several threads may each have a loop on the same socket. A handle is for one call at a time.
 *
 * Returns a handle, which the caller frees with fcgipm_request_free(). On failure it returns NULL:
 * FCGIPM_ELISTENER if listen_fd is not listening, or if the option listen names another socket than
 * the one on descriptor 0, FCGIPM_EARGUMENT for unknown flags, FCGIPM_EOPTION or FCGIPM_EVALUE for
 * an error in the environment. If the socket of the option listen cannot be opened, the error is
 * that of fcgipm_socket_open(). Make the handle in the process
 * that uses it; a child of that process can only free it, apart from the functions that
 * docs/FORKING.md describes.
 */
fcgipm_request *fcgipm_request_new(int32_t listen_fd,
                                   uint32_t flags,
                                   const fcgipm_options *options);

/**
 * Frees a request loop; NULL is allowed.
 *
 * It finishes the current request. It closes idle keep-alive connections, or in a worker hands
 * them over to other workers. It waits, for at most 5 seconds, until clients that are still
 * sending have received their responses. In a child of the process that made the handle, it only
 * closes the copies of the descriptors and sends nothing.
 */
void fcgipm_request_free(fcgipm_request *request);

/**
 * Finishes the current request, waits for the next one, and reads it up to the end of its
 * parameters.
 *
 * A connection that fails before its parameters are complete is closed and not returned. It is
 * logged if the cause is an error of the client or of the configuration.
 *
 * With the option refork_after, the call may fork a template of this worker. Then it also returns
 * in the workers that are copies of the template, each in a process of its own. Other request loops
 * of such a process belong to the process before (FCGIPM_EFORKED): free them and make new ones.
 *
 * Returns 0; FCGIPM_ERETIRED if this process should exit: end the loop; FCGIPM_EINTERRUPTED with
 * errno EINTR (see FCGIPM_FAIL_ACCEPT_ON_INTR); FCGIPM_EFORKDUE only in a program that forks its
 * workers itself, see fcgipm_manager_of_worker(); FCGIPM_ELISTENER if the socket was closed or is
 * not listening, FCGIPM_EDESCRIPTORS if no descriptor is available, FCGIPM_ESYSTEM, each with
 * errno; FCGIPM_ESTATE in a worker whose start has failed, FCGIPM_EFORKED, FCGIPM_EHANDLE.
 */
int32_t fcgipm_request_accept(fcgipm_request *request);

/**
 * Discards the signals that fcgipm_signal_arrived() has reported. Call it when the handlers for
 * them have run, so that the next fcgipm_request_accept() does not return for them.
 *
 * With NULL, it discards those that a handle made later would see.
 *
 * Returns 0; FCGIPM_EFORKED, FCGIPM_EHANDLE.
 */
int32_t fcgipm_request_forget_signals(fcgipm_request *request);

/**
 * Ends the response and the request: sends the buffered output, and END_REQUEST with the exit
 * status (FastCGI 1.0, section 5.5).
 *
 * Returns 0; FCGIPM_ECLOSED with errno, or FCGIPM_ETIMEDOUT, if the client did not receive the
 * whole response; FCGIPM_ESTATE if there is no current request, FCGIPM_EFORKED, FCGIPM_EHANDLE.
 * Whatever it returns, there is no current request afterwards.
 */
int32_t fcgipm_request_finish(fcgipm_request *request);

/**
 * Writes the last bytes of the response and finishes the request: fcgipm_request_write() to
 * FCGIPM_STDOUT, then fcgipm_request_finish(). A small response is sent with one send(2).
 *
 * data may be NULL if length is 0.
 *
 * Returns 0, or the first error of the two. The request is finished in any case.
 */
int32_t fcgipm_request_finish_with(fcgipm_request *request, const uint8_t *data, size_t length);

/**
 * Ends the request without a response, by closing its connection.
 *
 * Returns 0; FCGIPM_ESTATE if there is no current request, FCGIPM_EFORKED, FCGIPM_EHANDLE.
 */
int32_t fcgipm_request_abandon(fcgipm_request *request);

/**
 * Checks whether there is a current request.
 *
 * Returns 1 between accept and finish, otherwise 0; FCGIPM_EHANDLE.
 */
int32_t fcgipm_request_is_active(const fcgipm_request *request);

/**
 * Sets the exit status that END_REQUEST carries. It is 0 at the start of each request.
 *
 * Returns 0; FCGIPM_ESTATE if there is no current request, FCGIPM_EFORKED, FCGIPM_EHANDLE.
 */
int32_t fcgipm_request_set_exit_status(fcgipm_request *request, uint32_t status);

/**
 * The role of the current request.
 *
 * Returns FCGIPM_RESPONDER, FCGIPM_AUTHORIZER or FCGIPM_FILTER; FCGIPM_ESTATE if there is no
 * current request, FCGIPM_EFORKED, FCGIPM_EHANDLE.
 */
int32_t fcgipm_request_role(const fcgipm_request *request);

/**
 * Checks whether the web server asked to keep the connection (FCGI_KEEP_CONN, FastCGI 1.0, section
 * 5.1).
 *
 * Returns 1 or 0; FCGIPM_ESTATE if there is no current request, FCGIPM_EFORKED, FCGIPM_EHANDLE.
 */
int32_t fcgipm_request_keep_connection(const fcgipm_request *request);

/**
 * The descriptor of the connection of the current request.
 *
 * It belongs to the library: do not close it. Read or write it only to replace the protocol
 * handling of the library by your own.
 *
 * Returns the descriptor; FCGIPM_ESTATE if there is no current request, FCGIPM_ECLOSED,
 * FCGIPM_EFORKED, FCGIPM_EHANDLE.
 */
int32_t fcgipm_request_connection_fd(const fcgipm_request *request);

/**
 * The address of the other end of the connection: "127.0.0.1:4711", "[::1]:4711", or "unix:".
 *
 * Like snprintf(3), it copies at most size bytes to buffer, including a terminating NUL. buffer
 * may be NULL if size is 0.
 *
 * Returns the full length without the NUL; FCGIPM_ESTATE if there is no current request,
 * FCGIPM_ECLOSED, FCGIPM_EARGUMENT, FCGIPM_EFORKED, FCGIPM_EHANDLE.
 */
int32_t fcgipm_request_peer_address(const fcgipm_request *request, char *buffer, size_t size);

/**
 * Checks whether the web server aborted the request (FastCGI 1.0, section 5.4).
 *
 * It checks what has arrived, without waiting. An abort that follows unread input is found only
 * when that input has been read.
 *
 * Returns 1 or 0; FCGIPM_ESTATE if there is no current request, FCGIPM_EFORKED, FCGIPM_EHANDLE.
 */
int32_t fcgipm_request_aborted(fcgipm_request *request);

/**
 * In a child of the process that accepted the current request: enables the child to read it, write
 * to it and finish it. Everything else of the handle remains with the parent. docs/FORKING.md has
 * the rules.
 *
 * Returns 0; FCGIPM_EHANDLE. It does nothing in the process that made the handle, nor in a child
 * that was not made by fork(3), where all other calls still return FCGIPM_EFORKED.
 */
int32_t fcgipm_request_continue_in_child(fcgipm_request *request);

/**
 * In a child of the process that accepted the current request: enables fcgipm_request_read() and
 * the other read functions. It does not enable writing.
 *
 * Returns 0; FCGIPM_ESTATE if there is no current request, FCGIPM_EFORKED in a child that was not
 * made by fork(3), FCGIPM_EHANDLE. It does nothing in the process that made the handle.
 */
int32_t fcgipm_request_read_in_child(fcgipm_request *request);

/**
 * Leaves the current request to a child, which may be forked before or after this call.
 *
 * The first child that writes to it, or calls fcgipm_request_continue_in_child(), answers it. In
 * this process the request then ends with fcgipm_request_abandon(), or with the next accept or
 * free. That sends nothing and closes only this process's copy of the connection.
 *
 * Returns 0; FCGIPM_ESTATE if there is no current request, FCGIPM_EFORKED in a child that does not
 * answer the request, FCGIPM_EHANDLE.
 */
int32_t fcgipm_request_detach(fcgipm_request *request);

/**
 * Takes back a request that fcgipm_request_detach() has left to a child.
 *
 * Returns 0, also if the request was not detached; FCGIPM_ESTATE if a child already answers it, or
 * if there is no current request; FCGIPM_EFORKED, FCGIPM_EHANDLE.
 */
int32_t fcgipm_request_attach(fcgipm_request *request);

/**
 * Checks whether this process answers the current request: it accepted the request and has not
 * detached it, or it is a child that the request was left to.
 *
 * A child waits for at most wait_ms milliseconds until its parent detaches or ends the request.
 *
 * Returns 1 or 0; FCGIPM_EHANDLE.
 */
int32_t fcgipm_request_belongs_here(fcgipm_request *request, uint32_t wait_ms);

/**
 * Reads input of the request into size bytes at buffer. Like read(2), it waits for at least one
 * byte. A signal does not interrupt it.
 *
 * Returns the number of bytes; 0 at the end of the input, or if size is 0.
 *
 * These errors are final, and each further call returns the same one: FCGIPM_EINCOMPLETE if the
 * connection ended before the input did, FCGIPM_EABORTED, FCGIPM_ETIMEDOUT (body_timeout passed,
 * or the notice of request_timeout came), FCGIPM_EPROTOCOL, FCGIPM_ECLOSED with errno. Others:
 * FCGIPM_ESTATE if there is no current request, FCGIPM_EARGUMENT, FCGIPM_EFORKED, FCGIPM_EHANDLE.
 */
int64_t fcgipm_request_read(fcgipm_request *request, uint8_t *buffer, size_t size);

/**
 * Reads until there are size bytes at buffer, or to the end of the input.
 *
 * Returns as fcgipm_request_read(). If an error occurs after some bytes were read, it returns
 * their number, and the next call returns the error.
 */
int64_t fcgipm_request_read_full(fcgipm_request *request, uint8_t *buffer, size_t size);

/**
 * Reads up to and including the next newline, but at most size bytes, or to the end of the input.
 * It adds no NUL.
 *
 * Returns as fcgipm_request_read_full().
 */
int64_t fcgipm_request_read_line(fcgipm_request *request, uint8_t *buffer, size_t size);

/**
 * Checks whether the input was read to its end.
 *
 * Returns 1 or 0; FCGIPM_EHANDLE.
 */
int32_t fcgipm_request_input_end(const fcgipm_request *request);

/**
 * The final error of the input (see fcgipm_request_read()).
 *
 * Returns its number, or 0 if there is none; FCGIPM_EHANDLE.
 */
int32_t fcgipm_request_input_error(const fcgipm_request *request);

/**
 * In a filter that has read its standard input to the end: switches fcgipm_request_read() to the
 * data of the file (FastCGI 1.0, section 6.4).
 *
 * Returns 0; FCGIPM_ESTATE if the role is not FCGIPM_FILTER, or the standard input has not been
 * read to its end; FCGIPM_EFORKED, FCGIPM_EHANDLE.
 */
int32_t fcgipm_request_start_filter_data(fcgipm_request *request);

/**
 * Writes length bytes at data to the stream FCGIPM_STDOUT or FCGIPM_STDERR.
 *
 * It buffers small writes. They are sent when the buffer is full, by fcgipm_request_flush(), or at
 * the end of the request. data may be NULL if length is 0. A signal does not interrupt it, and it
 * raises no SIGPIPE.
 *
 * Returns length. These errors are final, and each further call returns the same one:
 * FCGIPM_ECLOSED with errno if the client has closed the connection, FCGIPM_ETIMEDOUT if it
 * received nothing for write_timeout. Others: FCGIPM_ESTATE if there is no current request,
 * FCGIPM_EARGUMENT, FCGIPM_EFORKED, FCGIPM_EHANDLE.
 */
int64_t fcgipm_request_write(fcgipm_request *request,
                             uint32_t stream,
                             const uint8_t *data,
                             size_t length);

/**
 * Sends the buffered output of both streams.
 *
 * Returns 0, or an error of fcgipm_request_write().
 */
int32_t fcgipm_request_flush(fcgipm_request *request);

/**
 * Lists the parameters without copying them.
 *
 * Sets *list to an array of *count parameters, in the order of fcgipm_request_params(). The array,
 * and what it points to, belongs to the library and is valid until the request is finished.
 * FCGI_ROLE is one of the parameters. scope is FCGIPM_PARAMS_ENVIRONMENT,
 * FCGIPM_PARAMS_WELL_FORMED or FCGIPM_PARAMS_ALL. list and count must not be NULL; on failure the
 * results are NULL and 0.
 *
 * Returns 0; FCGIPM_ESTATE if there is no current request, FCGIPM_EARGUMENT, FCGIPM_EFORKED,
 * FCGIPM_EHANDLE.
 */
int32_t fcgipm_request_list_params(const fcgipm_request *request,
                                   uint32_t scope,
                                   const fcgipm_param **list,
                                   size_t *count);

/**
 * The parameters as one block of memory.
 *
 * Sets *data and *length to bytes that belong to the library and are valid until the request is
 * finished. For each parameter they contain: the length of the name (32 bits, big-endian), the
 * name, a NUL, the length of the value (32 bits, big-endian), the value, a NUL. FCGI_ROLE is one
 * of the parameters. scope is FCGIPM_PARAMS_ENVIRONMENT, FCGIPM_PARAMS_WELL_FORMED or
 * FCGIPM_PARAMS_ALL. data and length must not be NULL; on failure the results are NULL and 0.
 *
 * Returns 0; FCGIPM_ESTATE if there is no current request, FCGIPM_EARGUMENT, FCGIPM_EFORKED,
 * FCGIPM_EHANDLE.
 */
int32_t fcgipm_request_params(const fcgipm_request *request,
                              uint32_t scope,
                              const uint8_t **data,
                              size_t *length);

/**
 * Copies the parameters into size bytes at buffer, for languages that split a string faster than
 * they decode lengths: all names, each followed by a NUL; one more NUL; all values in the same
 * order, each followed by a NUL.
 *
 * held is NULL, or a copy of an earlier request in this format that the caller still has. If it
 * has the same names in the same order, the result is shorter: a NUL, and then, only for
 * parameters whose value differs or is empty, the name, a NUL, the value and a NUL.
 *
 * Returns the number of bytes. If it is larger than size, nothing was copied. FCGIPM_ESTATE if
 * there is no current request; FCGIPM_EARGUMENT, also for FCGIPM_PARAMS_ALL, whose names and
 * values may contain NUL bytes; FCGIPM_EFORKED, FCGIPM_EHANDLE.
 */
int64_t fcgipm_request_copy_params(const fcgipm_request *request,
                                   uint32_t scope,
                                   const uint8_t *held,
                                   size_t held_length,
                                   uint8_t *buffer,
                                   size_t size);

/**
 * Finds a parameter by its name, among all that the web server sent. If several have this name,
 * the last one is used.
 *
 * name has name_length bytes and needs no NUL. Sets *value and *value_length to the value, or to
 * NULL and 0 if there is no such parameter. The value is followed by a NUL, belongs to the library
 * and is valid until the request is finished. value and value_length must not be NULL.
 *
 * Returns 1 if the parameter was found, otherwise 0; FCGIPM_ESTATE if there is no current request,
 * FCGIPM_EARGUMENT, FCGIPM_EFORKED, FCGIPM_EHANDLE.
 */
int32_t fcgipm_request_param(const fcgipm_request *request,
                             const uint8_t *name,
                             size_t name_length,
                             const uint8_t **value,
                             size_t *value_length);

/**
 * Makes a process manager. fcgipm_manager_next() starts it.
 *
 * options may be NULL and is not needed after the call. The options of the manager and its workers
 * apply (docs/OPTIONS.md); the environment overrides them.
 *
 * Returns a handle, which the caller frees with fcgipm_manager_free(). On failure it returns NULL:
 * FCGIPM_EOPTION or FCGIPM_EVALUE for an error in the environment, FCGIPM_EVALUE for options that
 * contradict each other, FCGIPM_EHANDLE for options. Any thread.
 */
fcgipm_manager *fcgipm_manager_new(const fcgipm_options *options);

/**
 * Frees a manager; NULL is allowed.
 *
 * If the manager is running, it asks its workers to exit and does not wait for them. Signals that
 * fcgipm_manager_fork_begins() has blocked are unblocked. In a worker, only memory is freed.
 */
void fcgipm_manager_free(fcgipm_manager *manager);

/**
 * Runs the manager until the next event.
 *
 * The first call starts it: pid file, signal handlers, the first workers. Workers are forked
 * within these calls, unless fcgipm_manager_host_forks() was called. So a call returns more than
 * once: in the parent, and with FCGIPM_EVENT_IN_WORKER in each worker. With n_processes 0 it forks
 * nothing, and returns FCGIPM_EVENT_IN_WORKER in the calling process. A program that "fcgipm run"
 * started gets the same: its manager is that of "fcgipm run".
 *
 * For a reload of the program (SIGUSR2, or the option reload), the manager starts the program again
 * with the arguments, environment and working directory of its own start. In that process, the
 * template, fcgipm_socket_open() returns the manager's sockets, and this call forks the workers
 * when the manager asks for one. It returns only in a worker, with FCGIPM_EVENT_IN_WORKER. At the
 * end the template exits without the program's exit handlers. After fcgipm_manager_host_forks(), it
 * returns FCGIPM_EVENT_FORK in a child of the template, which exits in fcgipm_manager_forked().
 * From the first such reload on, the manager is a subreaper (prctl(2)): it reaps orphans of its
 * descendants, but not the children that the program had before.
 *
 * If a service manager started the process (NOTIFY_SOCKET, sd_notify(3)), the manager reports to
 * it within these calls: when the first worker is ready, reloads, the stop, its state, and for the
 * watchdog. If the service manager can store descriptors (FDSTORE), it keeps the sockets that
 * fcgipm_socket_open() made for the next start, and a stop leaves them alone. docs/SYSTEMD.md has
 * more.
 *
 * Before anything else, the manager tries the change of user, group, root and limits in a
 * short-lived child, so an impossible change is reported here. If the change later fails in a
 * worker, the call returns FCGIPM_ESYSTEM there, with a message that names the step. Some steps
 * may have been taken, so the worker must exit; fcgipm_request_accept() returns FCGIPM_ESTATE in
 * it. The manager treats it as a worker that died before it was ready.
 *
 * Returns one of FCGIPM_EVENT_.... Errors at start: FCGIPM_ETHREADS if the process has more than
 * one thread, FCGIPM_EVALUE for an unknown user or group, or for such options with n_processes 0,
 * FCGIPM_EPIDFILE, FCGIPM_ERUNNING, FCGIPM_EDESCRIPTORS, FCGIPM_ESYSTEM. Later:
 * FCGIPM_EINTERRUPTED if a signal that the manager does not handle ended the wait: call again;
 * FCGIPM_ESTATE after FCGIPM_EVENT_STOPPED, and between fcgipm_manager_fork_begins() and
 * fcgipm_manager_forked(); FCGIPM_EFORKED in a worker, FCGIPM_EHANDLE. Always call it in the same
 * thread.
 */
int32_t fcgipm_manager_next(fcgipm_manager *manager);

/**
 * Like fcgipm_manager_next(), but waits for at most the given number of milliseconds, for programs
 * that have other work to do. Call it often: the manager acts only within these calls.
 *
 * Returns 0 if there was no event in that time, otherwise as fcgipm_manager_next(). Always call it
 * in the same thread.
 */
int32_t fcgipm_manager_next_within(fcgipm_manager *manager, uint32_t milliseconds);

/**
 * Runs the manager until it has stopped, for programs that do not need its events.
 *
 * Returns FCGIPM_EVENT_IN_WORKER in each worker, FCGIPM_EVENT_STOPPED in the parent at the end,
 * FCGIPM_ESTATE after fcgipm_manager_host_forks(), or an error of fcgipm_manager_next().
 */
int32_t fcgipm_manager_run(fcgipm_manager *manager);

/**
 * Changes the wanted number of workers of a running manager, as the signals TTIN and TTOU do. With
 * pm=dynamic and pm=ondemand, it changes the maximum.
 *
 * workers is at least 1, and at most the maximum of n_processes; other values are adjusted to that
 * range.
 *
 * Returns 0; FCGIPM_ESTATE before the first fcgipm_manager_next(), after FCGIPM_EVENT_STOPPED, and
 * between fcgipm_manager_fork_begins() and fcgipm_manager_forked(); FCGIPM_EFORKED,
 * FCGIPM_EHANDLE. Call it in the thread of fcgipm_manager_next().
 */
int32_t fcgipm_manager_resize(fcgipm_manager *manager, uint32_t workers);

/**
 * The worker that the last event is about.
 *
 * Returns its pid, or 0 if the event is not about a worker; FCGIPM_EHANDLE.
 */
int32_t fcgipm_manager_event_pid(const fcgipm_manager *manager);

/**
 * The number that belongs to the last event.
 *
 * Returns a wait status for FCGIPM_EVENT_WORKER_EXITED, a signal number for FCGIPM_EVENT_SIGNAL,
 * otherwise 0; FCGIPM_EHANDLE.
 */
int32_t fcgipm_manager_event_status(const fcgipm_manager *manager);

/**
 * The last event as a line for the log, without a prefix and without a newline.
 *
 * Returns a string that belongs to the library and is valid until the next call with this manager.
 * It is "" if the event has no message. NULL for FCGIPM_EHANDLE.
 */
const char *fcgipm_manager_event_message(const fcgipm_manager *manager);

/**
 * Passes a signal that the program caught to the manager, for programs that set the option
 * no_signals.
 *
 * The signal reaches the manager that runs in this process, whatever handle is given. If none
 * runs, nothing happens.
 *
 * Returns 0. Any thread; async-signal-safe.
 */
int32_t fcgipm_manager_signal(const fcgipm_manager *manager, int32_t signal);

/**
 * Selects who forks the workers: the program if yes is not 0, otherwise the library (the default).
 * It is for programs in a language that has hooks around its own fork, which do not see a fork in
 * a library.
 *
 * fcgipm_manager_next() then returns FCGIPM_EVENT_FORK for each worker, repeatedly until the
 * program forks. The program reports that it forks, forks in its own way, and reports the result
 * in both processes:
 *
 *   event = fcgipm_manager_next(manager);
 *   if (event == FCGIPM_EVENT_FORK && (event = fcgipm_manager_fork_begins(manager)) == 0) {
 *       pid_t pid = fork();
 *       event = fcgipm_manager_forked(manager, pid, pid < 0 ? errno : 0);
 *   }
 *
 * Returns 0; FCGIPM_ESTATE after the first fcgipm_manager_next(), FCGIPM_EHANDLE.
 */
int32_t fcgipm_manager_host_forks(fcgipm_manager *manager, int32_t yes);

/**
 * Reports that the program is about to fork, after FCGIPM_EVENT_FORK.
 *
 * Until fcgipm_manager_forked(), all signals are blocked in the calling thread. So a signal that
 * reaches the child waits until the handlers of the worker are installed. In between, only these
 * calls with the manager do not return FCGIPM_ESTATE: those about the last event,
 * fcgipm_manager_signal(), and fcgipm_manager_free(), which counts the fork as failed.
 *
 * Returns 0. FCGIPM_EINTERRUPTED if the handler of an interpreter (fcgipm_signal_chain()) has
 * noted a signal since this was last returned. No signal is blocked then: run the program's own
 * handler, and call again, so that it does not run while signals are blocked. FCGIPM_ESYSTEM if
 * the resources for a worker are missing, which counts as a failed fork; FCGIPM_ESTATE if no fork
 * is due, or it has already begun; FCGIPM_ERETIRED in a worker that is to exit, and therefore forks
 * no template (fcgipm_manager_of_worker()); FCGIPM_EFORKED, FCGIPM_EHANDLE. Call it in the thread
 * of fcgipm_manager_next().
 */
int32_t fcgipm_manager_fork_begins(fcgipm_manager *manager);

/**
 * Reports the result of the fork that fcgipm_manager_fork_begins() began. Both the parent and the
 * child call it, immediately after the fork and in the same thread.
 *
 * pid is the result of fork(2): the pid of the child in the parent, 0 in the child, -1 if there is
 * no child. For -1, error is errno: as after a failed fork of its own, the manager logs it and
 * tries again a second later. For any other pid, error is ignored. If a child exists in spite of a
 * reported failure, it exits at its first fcgipm_request_accept(). A program that does not want to
 * fork may report -1 without fcgipm_manager_fork_begins(). In the child, the call waits for the
 * call in the parent, or for its death.
 *
 * The child must be a child of this process that is not a worker yet and has not been waited for.
 * It must be made by fork(3), or by a function based on it: not by vfork(2), and not by a clone(2)
 * that skips the handlers of pthread_atfork(3). From then on, only the manager waits for it.
 *
 * Returns 0 in the parent and FCGIPM_EVENT_IN_WORKER in the child, or there an error that
 * fcgipm_manager_next() returns in a worker. FCGIPM_ESTATE if no fork is due, it was reported
 * already, or it succeeded but had not begun. FCGIPM_EARGUMENT with errno ECHILD if pid is not
 * such a child; FCGIPM_EARGUMENT for 0 in the parent, and for -1 without an error; FCGIPM_EFORKED
 * for anything but 0 in a child. After FCGIPM_EARGUMENT and FCGIPM_EFORKED, the report is still
 * due and the signals are still blocked. FCGIPM_EHANDLE.
 */
int32_t fcgipm_manager_forked(fcgipm_manager *manager, int32_t pid, int32_t error);

/**
 * Makes the manager with which a worker forks a template of itself (option refork_after), after
 * fcgipm_request_accept() has returned FCGIPM_EFORKDUE.
 *
 * It is for programs that fork their workers themselves (fcgipm_manager_host_forks()). The worker
 * forks as a manager does: fcgipm_manager_next() returns FCGIPM_EVENT_FORK, and so on.
 * fcgipm_manager_forked() returns 0 in the worker, which frees the manager and continues with
 * fcgipm_request_accept(). In the child it returns 0 as well, in the template:
 * fcgipm_manager_next() serves the real manager from there on, and returns as in a template that
 * was started for a reload. In the workers of the template, each request loop belongs to another
 * process (FCGIPM_EFORKED): free it and make a new one.
 *
 * Returns a handle, which the caller frees with fcgipm_manager_free(); NULL with FCGIPM_ESTATE if
 * no template is due, or if this process has more than one thread and cannot be copied, which the
 * manager logs.
 */
fcgipm_manager *fcgipm_manager_of_worker(void);

/**
 * Ends the wait for a request; call it in a signal handler. fcgipm_request_accept() then returns
 * FCGIPM_EINTERRUPTED in each request loop of this process that has FCGIPM_FAIL_ACCEPT_ON_INTR or
 * FCGIPM_RETURN_ON_SIGNAL. A loop that is not waiting returns it from its next call.
 *
 * It closes a gap that the system call alone leaves: a signal that arrives after the program has
 * checked the variable that its handler sets, but before the system call waits, would be noticed
 * only after the next request. If SIGURG has no handler and a thread waits, the call installs one.
 *
 * Returns 0. Any thread; async-signal-safe.
 */
int32_t fcgipm_signal_arrived(void);

/**
 * For interpreters that install one handler for all signals and run the program's handlers later.
 *
 * handler points to the variable that holds the address of that handler. The library replaces it
 * with a handler that calls the original and then ends the wait of the interrupted thread, as
 * fcgipm_signal_arrived() does. It also replaces the handler of each signal for which the original
 * is already installed. SIGURG ends no wait.
 *
 * Returns 0; FCGIPM_EARGUMENT for NULL, FCGIPM_ESTATE if another handler was given before. Call it
 * before the process has other threads.
 */
int32_t fcgipm_signal_chain(void **handler);

/**
 * Asks this process to exit: fcgipm_request_accept() finishes the current request and then returns
 * FCGIPM_ERETIRED, in every thread that has a loop.
 *
 * It also works without a manager. If SIGURG has no handler, the call installs one, to wake the
 * threads that wait.
 *
 * Returns 0. Any thread; async-signal-safe.
 */
int32_t fcgipm_worker_retire(void);

/**
 * Checks whether this process should exit: its manager or another process asked it to, it called
 * fcgipm_worker_retire(), or its manager no longer exists.
 *
 * Returns 1 or 0. Any thread; no system call, unless a signal of this library arrived.
 */
int32_t fcgipm_worker_retiring(void);

/**
 * Checks whether the manager has given notice: a request of this process has exceeded
 * request_timeout. If it is not finished after another request_timeout_grace, the manager kills
 * the process. A long computation that calls this now and then can still end its request properly.
 *
 * Returns 1 or 0; 0 if there is no manager. Any thread; async-signal-safe, no system call.
 */
int32_t fcgipm_worker_notice_given(void);

/**
 * Sets functions that the library calls around its forks of this program. Both may be NULL; each
 * gets the argument.
 *
 * before runs in a process that is about to be copied: in the manager, in a template, and in a
 * worker that forks a template (option refork_after). A worker closes there what its copies must
 * not share, such as connections to a database; it opens them again when it needs them. after runs
 * in each new worker, before its first request. In a template all signals are blocked. Neither runs
 * for a program that forks its workers itself (fcgipm_manager_host_forks()).
 *
 * Returns 0. Call it before fcgipm_manager_next(); copies of the process have the functions, too.
 */
int32_t fcgipm_worker_fork_hooks(void (*before)(void *argument),
                                 void (*after)(void *argument),
                                 void *argument);

/**
 * Installs the signal handlers of a worker, or reinstalls them. TERM, HUP, INT and QUIT ask the
 * worker to exit; URG is the signal by which its manager wakes it.
 *
 * A new worker has them already, unless the option no_signals is set. Programs that fill a signal
 * table of their own call this afterwards.
 *
 * Returns 0, or FCGIPM_ESYSTEM with errno. Any thread. After fork, each process has its own
 * handlers.
 */
int32_t fcgipm_worker_protect(void);

/**
 * Reinstalls the handler of one signal if the program or its runtime has replaced it. It is for
 * runtimes that restore a saved signal table.
 *
 * signal is URG, by which the manager wakes a worker, or TERM, HUP, INT or QUIT. If the other
 * handler may have received a signal meanwhile, the next wait for a request checks for it.
 *
 * calls_host matters for URG only. If it is not 0, the handler that was replaced is called after
 * the library's from now on, also when the manager wakes the worker. A handler that the program
 * had before the library installed its own is always called. A runtime that has one function for
 * all signals passes 0 while the program has no handler for URG.
 *
 * Returns 1 if the handler had been replaced, otherwise 0; FCGIPM_EARGUMENT for another signal,
 * FCGIPM_ESYSTEM with errno. Any thread. After fork, each process has its own handlers.
 */
int32_t fcgipm_worker_protect_signal(int32_t signal, int32_t calls_host);

/**
 * Tells the library how this process was started. For a reload of the program (SIGUSR2, or the
 * option reload), the manager starts it again in the same way.
 *
 * The library reads that itself when it is loaded. This function is for a host that may load the
 * library only after the title of the process has replaced its command line: an interpreter, for
 * example. command_line and environment are the contents of /proc/self/cmdline and
 * /proc/self/environ at that time, and directory is the working directory. All are copied.
 *
 * Returns 0; FCGIPM_EARGUMENT if the command line is empty, a pointer is NULL, or a length is above
 * the maximum size of an object. The first call counts. Any thread.
 */
int32_t fcgipm_process_started(const uint8_t *command_line,
                               size_t command_line_len,
                               const uint8_t *environment,
                               size_t environment_len,
                               const char *directory);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* FCGIPM_H */
