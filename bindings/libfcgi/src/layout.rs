//! libfcgi's structures. Programs allocate some of them, read most of them, and were compiled with where
//! everything stands, so nothing here may move. A test compares it with stock's headers; those of
//! [`StreamData`] and [`Params`] are private there, and copied by programs nevertheless (QGIS Server).

use std::ffi::{c_char, c_int, c_void};
use std::ptr;

use crate::engine::Engine;

/// FCGX_UNSUPPORTED_VERSION.
pub const UNSUPPORTED_VERSION: c_int = -2;
/// FCGX_PROTOCOL_ERROR.
pub const PROTOCOL_ERROR: c_int = -3;
/// FCGX_PARAMS_ERROR.
pub const PARAMS_ERROR: c_int = -4;
/// FCGX_CALL_SEQ_ERROR.
pub const CALL_SEQ_ERROR: c_int = -5;

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

/// FCGX_Stream. A reader has `rd_next..stop` to read, and `stop_unget..rd_next` to push back into; a writer
/// has `wr_next..stop` to fill. What a stream is not used for is empty: a reader's `wr_next` and a writer's
/// `rd_next` equal `stop`.
#[repr(C)]
#[derive(Debug)]
pub struct Stream {
    /// Reader: the next byte.
    pub rd_next: *mut u8,
    /// Writer: the next free byte.
    pub wr_next: *mut u8,
    /// The end of either.
    pub stop: *mut u8,
    /// Reader: where pushing back ends.
    pub stop_unget: *mut u8,
    /// Whether it is a reader.
    pub is_reader: c_int,
    /// Reader: the end was met. Writer: takes nothing more.
    pub is_closed: c_int,
    /// FCGX_FClose was called.
    pub was_fclose_called: c_int,
    /// 0, an errno, or one of the negative numbers above.
    pub fcgi_errno: c_int,
    /// Refills a reader.
    pub fill: Option<unsafe extern "C" fn(*mut Stream)>,
    /// Empties a writer, and with a second argument closes it.
    pub empty: Option<unsafe extern "C" fn(*mut Stream, c_int)>,
    /// A [`StreamData`].
    pub data: *mut c_void,
}

/// FCGX_Stream_Data, which is private in libfcgi.
#[repr(C)]
#[derive(Debug)]
pub struct StreamData {
    /// Writer: the buffer, a record's header at its start. Reader: what was read last.
    pub buff: *mut u8,
    /// Its length.
    pub bufflen: c_int,
    /// The buffer as it was allocated.
    pub m_buff: *mut u8,
    /// Its end.
    pub buff_stop: *mut u8,
    /// The stream's record type.
    pub kind: c_int,
    /// Nothing here.
    pub eor_stop: c_int,
    /// Nothing here.
    pub skip: c_int,
    /// Nothing here.
    pub content_len: c_int,
    /// Nothing here.
    pub padding_len: c_int,
    /// Writer: something was sent.
    pub is_anything_written: c_int,
    /// Nothing here.
    pub raw_write: c_int,
    /// The request that the stream belongs to.
    pub request: *mut Request,
    /// Behind libfcgi's own: who serves the stream.
    pub(crate) engine: *mut Engine,
}

/// FCGX_Request. The program's memory: it is never moved, and holds nothing that a program may not overwrite
/// by FCGX_InitRequest.
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
    /// `NAME=value` strings, NULL behind the last.
    pub envp: *mut *mut c_char,
    /// Set while a request is served, and how it is found again.
    pub params: *mut Params,
    /// The connection, negative for none.
    pub ipc_fd: c_int,
    /// Whether a request was ever served.
    pub is_begin_processed: c_int,
    /// Whether the peer asked to keep the connection.
    pub keep_connection: c_int,
    /// What the end of the request will carry.
    pub app_status: c_int,
    /// Output streams that are open.
    pub n_writers: c_int,
    /// FCGI_FAIL_ACCEPT_ON_INTR.
    pub flags: c_int,
    /// The listening socket.
    pub listen_sock: c_int,
    /// The connection is somebody else's.
    pub detached: c_int,
}

/// `struct Params` of libfcgi.
#[repr(C)]
#[derive(Debug)]
pub struct Params {
    /// The strings.
    pub vec: *mut *mut c_char,
    /// How many there is room for.
    pub length: c_int,
    /// The NULL behind the last.
    pub cur: *mut *mut c_char,
    /// Behind libfcgi's own: who serves the request.
    pub(crate) engine: *mut Engine,
}

impl Request {
    /// As FCGX_InitRequest leaves it.
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
