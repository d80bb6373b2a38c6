//! Writing streams.

use std::ffi::{c_char, c_int};
use std::ptr;

use fcgipm::server;

use crate::engine::{Engine, number_of};
use crate::guard::{errno, guard, set_errno};
use crate::layout::{EOF, HEADER, STDERR, Stream, StreamData};

/// Writes of at least this many bytes are sent from the program's memory, not copied to the buffer.
const DIRECT: usize = 8 * 1024;

fn stream_of(kind: c_int) -> server::Stream {
    if kind == STDERR {
        server::Stream::Stderr
    } else {
        server::Stream::Stdout
    }
}

/// Writes what is in a stream's buffer to its engine. False after an error, which the stream
/// records.
unsafe fn write_buffer(stream: &mut Stream, data: &mut StreamData, engine: &mut Engine) -> bool {
    let start = data.buff.wrapping_add(HEADER);
    let length = usize::try_from(stream.wr_next.offset_from(start)).unwrap_or(0);
    stream.wr_next = start;
    if length == 0 {
        return true;
    }
    data.is_anything_written = 1;
    // SAFETY: between the two pointers lies what the program wrote into the buffer.
    let bytes = unsafe { std::slice::from_raw_parts(start, length) };
    attempt(stream, || engine.core.write(stream_of(data.kind), bytes))
}

/// Success leaves errno alone; the stream records the first error.
fn attempt(stream: &mut Stream, action: impl FnOnce() -> fcgipm::error::Result<()>) -> bool {
    let number = errno();
    match action() {
        Ok(()) => {
            set_errno(number);
            true
        }
        Err(error) => {
            if error.errno() != 0 {
                set_errno(error.errno());
            }
            stream.fail(number_of(&error));
            stream.wr_next = stream.stop;
            false
        }
    }
}

/// A stream's `emptyBuffProc`: sends the buffer; if `close` is not 0, ends the stream.
pub unsafe extern "C" fn empty(stream: *mut Stream, close: c_int) {
    guard((), || {
        let Some(stream) = stream.as_mut() else {
            return;
        };
        let Some(data) = stream.data() else { return };
        let Some(engine) = Engine::of_stream(data) else {
            stream.is_closed = 1;
            return;
        };
        engine.core.continue_in_child();
        if !write_buffer(stream, data, engine) {
            return;
        }
        attempt(stream, || match (close != 0, data.request.as_mut()) {
            (true, Some(request)) => {
                request.n_writers -= 1;
                if request.n_writers > 0 {
                    engine.core.end_stream(stream_of(data.kind))
                } else {
                    let status = engine.core.set_exit_status(request.app_status as u32);
                    status.and_then(|()| engine.core.end_response())
                }
            }
            (true, None) | (false, _) => engine.core.flush(),
        });
    });
}

/// At the end of a request: writes what is in the buffer, unless the stream is closed.
pub(crate) unsafe fn take_rest(stream: *mut Stream) {
    let Some(stream) = stream.as_mut().filter(|stream| stream.is_closed == 0) else {
        return;
    };
    if let Some(data) = stream.data() {
        if let Some(engine) = Engine::of_stream(data) {
            write_buffer(stream, data, engine);
        }
    }
}

/// Empties a full stream; false if it accepts no more.
unsafe fn make_space(stream: &mut Stream) -> bool {
    if stream.is_closed != 0 || stream.is_reader != 0 {
        return false;
    }
    // Through the pointer, because the program may have replaced the function.
    let Some(empty) = stream.empty else {
        return false;
    };
    empty(stream, 0);
    stream.is_closed == 0 && stream.wr_next != stream.stop
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn FCGX_PutChar(c: c_int, stream: *mut Stream) -> c_int {
    let Some(stream) = stream.as_mut() else {
        return EOF;
    };
    if stream.wr_next == stream.stop || stream.is_reader != 0 {
        return put_char_after_flush(c, stream);
    }
    *stream.wr_next = c as u8;
    stream.wr_next = stream.wr_next.add(1);
    c_int::from(c as u8)
}

/// A separate function, so that the usual path saves no registers.
#[cold]
#[inline(never)]
unsafe fn put_char_after_flush(c: c_int, stream: &mut Stream) -> c_int {
    if stream.wr_next == stream.stop && !make_space(stream) || stream.is_reader != 0 {
        return EOF;
    }
    *stream.wr_next = c as u8;
    stream.wr_next = stream.wr_next.add(1);
    c_int::from(c as u8)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn FCGX_PutStr(
    text: *const c_char,
    size: c_int,
    stream: *mut Stream,
) -> c_int {
    let (Some(stream), Ok(length)) = (stream.as_mut(), usize::try_from(size)) else {
        return EOF;
    };
    if length == 0 {
        return 0;
    }
    if text.is_null() || stream.is_reader != 0 {
        return EOF;
    }
    let space = usize::try_from(stream.stop.offset_from(stream.wr_next)).unwrap_or(0);
    if length <= space && length < DIRECT {
        ptr::copy_nonoverlapping(text.cast::<u8>(), stream.wr_next, length);
        stream.wr_next = stream.wr_next.add(length);
        return size;
    }
    let bytes = std::slice::from_raw_parts(text.cast::<u8>(), length);
    if put(stream, bytes) { size } else { EOF }
}

/// Writes more than fits into the buffer, or so much that copying does not pay.
unsafe fn put(stream: &mut Stream, mut bytes: &[u8]) -> bool {
    let is_ours = stream
        .empty
        .is_some_and(|proc| ptr::fn_addr_eq(proc, empty as unsafe extern "C" fn(_, _)));
    if is_ours && bytes.len() >= DIRECT && stream.is_closed == 0 {
        return guard(false, || {
            let Some(data) = stream.data() else {
                return false;
            };
            let Some(engine) = Engine::of_stream(data) else {
                return false;
            };
            engine.core.continue_in_child();
            if !write_buffer(stream, data, engine) {
                return false;
            }
            data.is_anything_written = 1;
            attempt(stream, || engine.core.write(stream_of(data.kind), bytes))
        });
    }
    while !bytes.is_empty() {
        if stream.wr_next == stream.stop && !make_space(stream) {
            return false;
        }
        let space = usize::try_from(stream.stop.offset_from(stream.wr_next)).unwrap_or(0);
        let (now, later) = bytes.split_at(space.min(bytes.len()));
        ptr::copy_nonoverlapping(now.as_ptr(), stream.wr_next, now.len());
        stream.wr_next = stream.wr_next.add(now.len());
        bytes = later;
    }
    true
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn FCGX_PutS(text: *const c_char, stream: *mut Stream) -> c_int {
    if text.is_null() {
        return EOF;
    }
    match c_int::try_from(libc::strlen(text)) {
        Ok(length) => FCGX_PutStr(text, length, stream),
        Err(_) => EOF,
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn FCGX_FFlush(stream: *mut Stream) -> c_int {
    let Some(stream) = stream.as_mut() else {
        return EOF;
    };
    if stream.is_closed != 0 || stream.is_reader != 0 {
        return 0;
    }
    if let Some(empty) = stream.empty {
        empty(stream, 0);
    }
    if stream.is_closed != 0 { EOF } else { 0 }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn FCGX_FClose(stream: *mut Stream) -> c_int {
    let Some(stream) = stream.as_mut() else {
        return 0;
    };
    if stream.was_fclose_called == 0 {
        if stream.is_reader == 0 {
            if let Some(empty) = stream.empty {
                empty(stream, 1);
            }
        }
        stream.was_fclose_called = 1;
        stream.is_closed = 1;
        if stream.is_reader != 0 {
            stream.stop = stream.rd_next;
            stream.wr_next = stream.rd_next;
        } else {
            stream.stop = stream.wr_next;
            stream.rd_next = stream.wr_next;
        }
    }
    if stream.fcgi_errno == 0 { 0 } else { EOF }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn FCGX_GetError(stream: *mut Stream) -> c_int {
    stream.as_ref().map_or(0, |stream| stream.fcgi_errno)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn FCGX_ClearError(stream: *mut Stream) {
    if let Some(stream) = stream.as_mut() {
        stream.fcgi_errno = 0;
    }
}
