//! The input and output of a request, as C sees them.

use super::boundary::{bytes, bytes_mut, enter};
use super::served::{fcgipm_request, length, with};
use crate::error::{Code, Error, Result};
use crate::server::{Request, Stream};

/// The stream of the response.
pub const FCGIPM_STDOUT: u32 = 1;
/// The stream of messages for the log of the web server.
pub const FCGIPM_STDERR: u32 = 2;

/// Reads input of the request into size bytes at buffer. Like read(2), it waits for at least one
/// byte. A signal does not interrupt it.
///
/// Returns the number of bytes; 0 at the end of the input, or if size is 0.
///
/// These errors are final, and each further call returns the same one: FCGIPM_EINCOMPLETE if the
/// connection ended before the input did, FCGIPM_EABORTED, FCGIPM_ETIMEDOUT (body_timeout passed,
/// or the notice of request_timeout came), FCGIPM_EPROTOCOL, FCGIPM_ECLOSED with errno. Others:
/// FCGIPM_ESTATE if there is no current request, FCGIPM_EARGUMENT, FCGIPM_EFORKED, FCGIPM_EHANDLE.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fcgipm_request_read(
    request: *mut fcgipm_request,
    buffer: *mut u8,
    size: usize,
) -> i64 {
    // SAFETY: the caller's promise.
    unsafe { read_with(request, buffer, size, Request::read) }
}

/// Reads until there are size bytes at buffer, or to the end of the input.
///
/// Returns as fcgipm_request_read(). If an error occurs after some bytes were read, it returns
/// their number, and the next call returns the error.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fcgipm_request_read_full(
    request: *mut fcgipm_request,
    buffer: *mut u8,
    size: usize,
) -> i64 {
    // SAFETY: the caller's promise.
    unsafe { read_with(request, buffer, size, Request::read_full) }
}

/// Reads up to and including the next newline, but at most size bytes, or to the end of the input.
/// It adds no NUL.
///
/// Returns as fcgipm_request_read_full().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fcgipm_request_read_line(
    request: *mut fcgipm_request,
    buffer: *mut u8,
    size: usize,
) -> i64 {
    // SAFETY: the caller's promise.
    unsafe { read_with(request, buffer, size, Request::read_line) }
}

/// # Safety
/// buffer has size writable bytes.
unsafe fn read_with(
    request: *mut fcgipm_request,
    buffer: *mut u8,
    size: usize,
    read: impl FnOnce(&mut Request, &mut [u8]) -> Result<usize>,
) -> i64 {
    enter(|| {
        // SAFETY: the caller's promise.
        let buffer = unsafe { bytes_mut(buffer, size, "buffer") }?;
        with(request, |request| read(request, buffer).map(length))
    })
}

/// Checks whether the input was read to its end.
///
/// Returns 1 or 0; FCGIPM_EHANDLE.
#[unsafe(no_mangle)]
pub extern "C" fn fcgipm_request_input_end(request: *const fcgipm_request) -> i32 {
    enter(|| with(request, |request| Ok(i32::from(request.input_ended()))))
}

/// The final error of the input (see fcgipm_request_read()).
///
/// Returns its number, or 0 if there is none; FCGIPM_EHANDLE.
#[unsafe(no_mangle)]
pub extern "C" fn fcgipm_request_input_error(request: *const fcgipm_request) -> i32 {
    enter(|| {
        with(request, |request| {
            Ok(request
                .input_error()
                .map_or(0, |error| error.code().number()))
        })
    })
}

/// In a filter that has read its standard input to the end: switches fcgipm_request_read() to the
/// data of the file (FastCGI 1.0, section 6.4).
///
/// Returns 0; FCGIPM_ESTATE if the role is not FCGIPM_FILTER, or the standard input has not been
/// read to its end; FCGIPM_EFORKED, FCGIPM_EHANDLE.
#[unsafe(no_mangle)]
pub extern "C" fn fcgipm_request_start_filter_data(request: *mut fcgipm_request) -> i32 {
    enter(|| with(request, |request| request.start_filter_data().map(|()| 0)))
}

/// Writes length bytes at data to the stream FCGIPM_STDOUT or FCGIPM_STDERR.
///
/// It buffers small writes. They are sent when the buffer is full, by fcgipm_request_flush(), or at
/// the end of the request. data may be NULL if length is 0. A signal does not interrupt it, and it
/// raises no SIGPIPE.
///
/// Returns length. These errors are final, and each further call returns the same one:
/// FCGIPM_ECLOSED with errno if the client has closed the connection, FCGIPM_ETIMEDOUT if it
/// received nothing for write_timeout. Others: FCGIPM_ESTATE if there is no current request,
/// FCGIPM_EARGUMENT, FCGIPM_EFORKED, FCGIPM_EHANDLE.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fcgipm_request_write(
    request: *mut fcgipm_request,
    stream: u32,
    data: *const u8,
    length: usize,
) -> i64 {
    enter(|| {
        // SAFETY: the caller's promise.
        let data = unsafe { bytes(data, length, "data") }?;
        let stream = match stream {
            FCGIPM_STDOUT => Stream::Stdout,
            FCGIPM_STDERR => Stream::Stderr,
            other => {
                return Err(Error::new(
                    Code::Argument,
                    format!("argument stream: {other} is not 1 or 2"),
                ));
            }
        };
        with(request, |request| request.write(stream, data))?;
        Ok(super::served::length(data.len()))
    })
}

/// Sends the buffered output of both streams.
///
/// Returns 0, or an error of fcgipm_request_write().
#[unsafe(no_mangle)]
pub extern "C" fn fcgipm_request_flush(request: *mut fcgipm_request) -> i32 {
    enter(|| with(request, |request| request.flush().map(|()| 0)))
}
