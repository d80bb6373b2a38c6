//! libfcgi's structures and constants. Programs allocate some of the structures, read most of them,
//! and have the offsets compiled in, so no field may move. A test compares them with stock's
//! headers. [`StreamData`] and [`Params`] are private there, but some programs have copied them
//! (QGIS Server).

use std::ffi::{c_char, c_int, c_void};
use std::ptr;

/// FCGX_UNSUPPORTED_VERSION.
pub const UNSUPPORTED_VERSION: c_int = -2;
/// FCGX_PROTOCOL_ERROR.
pub const PROTOCOL_ERROR: c_int = -3;
/// FCGX_PARAMS_ERROR.
pub const PARAMS_ERROR: c_int = -4;
/// FCGX_CALL_SEQ_ERROR.
pub const CALL_SEQ_ERROR: c_int = -5;

/// FCGI_LISTENSOCK_FILENO: the descriptor of the listening socket (FastCGI 1.0, section 2.2).
pub const LISTENSOCK: c_int = 0;

/// Space before a writer's bytes: programs expect a record's header there.
pub(crate) const HEADER: usize = 8;

/// FCGI_FAIL_ACCEPT_ON_INTR.
pub const FAIL_ACCEPT_ON_INTR: c_int = 1;

/// The type numbers of streams (FastCGI 1.0, section 8).
pub const STDIN: c_int = 5;
/// FCGI_STDOUT.
pub const STDOUT: c_int = 6;
/// FCGI_STDERR.
pub const STDERR: c_int = 7;
/// FCGI_DATA.
pub const DATA: c_int = 8;

/// FCGI_FILTER.
pub const FILTER: c_int = 3;

/// `EOF` of stdio.h.
pub const EOF: c_int = -1;

/// FCGX_Stream. A reader has `rd_next..stop` to read, and `stop_unget..rd_next` for bytes that are
/// pushed back. A writer has `wr_next..stop` to fill. The other direction is empty: a reader's
/// `wr_next` and a writer's `rd_next` equal `stop`.
#[repr(C)]
#[derive(Debug)]
pub struct Stream {
    /// Reader: the next byte.
    pub rd_next: *mut u8,
    /// Writer: the next free byte.
    pub wr_next: *mut u8,
    /// The end of either.
    pub stop: *mut u8,
    /// Reader: the limit for pushing back.
    pub stop_unget: *mut u8,
    /// Whether it is a reader.
    pub is_reader: c_int,
    /// Reader: at the end of the input. Writer: accepts no more.
    pub is_closed: c_int,
    /// FCGX_FClose was called.
    pub was_fclose_called: c_int,
    /// 0, an errno, or one of the negative numbers above.
    pub fcgi_errno: c_int,
    /// Refills a reader.
    pub fill: Option<unsafe extern "C" fn(*mut Stream)>,
    /// Empties a writer; if the second argument is not 0, also closes it.
    pub empty: Option<unsafe extern "C" fn(*mut Stream, c_int)>,
    /// A [`StreamData`].
    pub data: *mut c_void,
}

impl Stream {
    /// Records an error, unless there already is one.
    pub(crate) fn fail(&mut self, number: c_int) {
        if self.fcgi_errno == 0 {
            self.fcgi_errno = number;
            self.is_closed = 1;
        }
    }

    pub(crate) unsafe fn data<'a>(&self) -> Option<&'a mut StreamData> {
        // SAFETY: set when the stream was made, and lives as long.
        unsafe { self.data.cast::<StreamData>().as_mut() }
    }
}

/// FCGX_Stream_Data, which is private in libfcgi.
#[repr(C)]
#[derive(Debug)]
pub struct StreamData {
    /// Writer: the buffer, with a record's header at its start. Reader: the bytes read last.
    pub buff: *mut u8,
    /// Its length.
    pub bufflen: c_int,
    /// The buffer as it was allocated.
    pub m_buff: *mut u8,
    /// Its end.
    pub buff_stop: *mut u8,
    /// The stream's record type.
    pub kind: c_int,
    /// Unused.
    pub eor_stop: c_int,
    /// Unused.
    pub skip: c_int,
    /// Unused.
    pub content_len: c_int,
    /// Unused.
    pub padding_len: c_int,
    /// Writer: something was sent.
    pub is_anything_written: c_int,
    /// Unused.
    pub raw_write: c_int,
    /// The request that the stream belongs to.
    pub request: *mut Request,
    /// After libfcgi's own fields: the engine that serves the stream.
    pub(crate) engine: *mut c_void,
}

/// FCGX_Request. It is the program's memory: it is never moved, and the program may overwrite all
/// of it by FCGX_InitRequest.
#[repr(C)]
#[derive(Debug)]
pub struct Request {
    /// The FastCGI id.
    pub request_id: c_int,
    /// FCGI_RESPONDER, FCGI_AUTHORIZER or FCGI_FILTER.
    pub role: c_int,
    /// Standard input.
    pub input: *mut Stream,
    /// The response.
    pub output: *mut Stream,
    /// Messages for the web server's log.
    pub error: *mut Stream,
    /// `NAME=value` strings, terminated by NULL.
    pub envp: *mut *mut c_char,
    /// Set while a request is served; leads to its engine.
    pub params: *mut Params,
    /// The connection, negative for none.
    pub ipc_fd: c_int,
    /// Whether a request was ever served.
    pub is_begin_processed: c_int,
    /// Whether the peer asked to keep the connection.
    pub keep_connection: c_int,
    /// The application status for END_REQUEST.
    pub app_status: c_int,
    /// Output streams that are open.
    pub n_writers: c_int,
    /// FCGI_FAIL_ACCEPT_ON_INTR.
    pub flags: c_int,
    /// The listening socket.
    pub listen_sock: c_int,
    /// The connection is another process's.
    pub detached: c_int,
}

/// `struct Params` of libfcgi.
#[repr(C)]
#[derive(Debug)]
pub struct Params {
    /// The strings.
    pub vec: *mut *mut c_char,
    /// The capacity of `vec`.
    pub length: c_int,
    /// The terminating NULL.
    pub cur: *mut *mut c_char,
    /// After libfcgi's own fields: the engine that serves the request.
    pub(crate) engine: *mut c_void,
}

impl Request {
    /// The state after FCGX_InitRequest.
    #[must_use]
    pub const fn new(listen_sock: c_int, flags: c_int) -> Self {
        Self {
            request_id: 0,
            role: 0,
            input: ptr::null_mut(),
            output: ptr::null_mut(),
            error: ptr::null_mut(),
            envp: ptr::null_mut(),
            params: ptr::null_mut(),
            ipc_fd: -1,
            is_begin_processed: 0,
            keep_connection: 0,
            app_status: 0,
            n_writers: 0,
            flags,
            listen_sock,
            detached: 0,
        }
    }
}
