//! Reading streams.

use std::ffi::{c_char, c_int};
use std::{ptr, slice};

use crate::engine::{Engine, number_of};
use crate::guard::guard;
use crate::layout::{CALL_SEQ_ERROR, DATA, EOF, FILTER, HEADER, STDIN, Stream, StreamData};

/// Reads of at least this many bytes go from the connection directly into the program's memory.
const DIRECT: usize = 16 * 1024;

/// A stream's `fillBuffProc`: lends the next bytes of the input from the engine's receive buffer.
pub unsafe extern "C" fn fill(stream: *mut Stream) {
    guard((), || {
        let Some(stream) = stream.as_mut() else {
            return;
        };
        if stream.is_closed != 0 {
            return;
        }
        let Some(data) = stream.data() else { return };
        let Some(engine) = Engine::of_stream(data) else {
            stream.is_closed = 1;
            return;
        };
        engine.core.continue_in_child();
        match engine.core.input_chunk() {
            Ok([]) => {
                make_empty(stream, data);
                stream.is_closed = 1;
            }
            Ok(bytes) => {
                let range = bytes.as_mut_ptr_range();
                data.buff = range.start;
                data.bufflen = c_int::try_from(bytes.len()).unwrap_or(c_int::MAX);
                data.buff_stop = range.end;
                stream.rd_next = range.start;
                stream.stop_unget = range.start;
                stream.stop = range.end;
                stream.wr_next = range.end;
            }
            Err(error) => stream.fail(number_of(&error)),
        }
    });
}

/// The engine may have moved the bytes that were read. So an empty reader points behind a few bytes
/// of its own, into which characters can be pushed back; by a filter also before its data.
unsafe fn make_empty(stream: &mut Stream, data: &StreamData) {
    stream.stop_unget = data.m_buff;
    stream.rd_next = data.m_buff.wrapping_add(HEADER);
    stream.stop = stream.rd_next;
    stream.wr_next = stream.rd_next;
}

/// Whether an empty reader gets its bytes from the engine, and not from a function of the
/// program's.
fn is_fed_by_engine(stream: &Stream) -> bool {
    let ours: unsafe extern "C" fn(*mut Stream) = fill;
    stream.fill.is_some_and(|fill| ptr::fn_addr_eq(fill, ours))
}

/// Fills the program's memory from an empty reader; 0 at its end.
unsafe fn read_directly(stream: &mut Stream, into: &mut [u8]) -> usize {
    guard(0, || {
        if stream.is_closed != 0 {
            return 0;
        }
        let Some(data) = stream.data() else {
            return 0;
        };
        let Some(engine) = Engine::of_stream(data) else {
            stream.is_closed = 1;
            return 0;
        };
        engine.core.continue_in_child();
        match engine.core.read_full(into) {
            Ok(count) => {
                make_empty(stream, data);
                if count == 0 {
                    stream.is_closed = 1;
                }
                // The last bytes read come before it, as in a buffer, so that they can be pushed
                // back.
                let last = count.min(HEADER);
                let end = into.as_ptr().add(count - last);
                ptr::copy_nonoverlapping(end, stream.rd_next.sub(last), last);
                count
            }
            Err(error) => {
                stream.fail(number_of(&error));
                0
            }
        }
    })
}

/// Refills an empty reader; false at its end.
unsafe fn refill(stream: &mut Stream) -> bool {
    if stream.is_closed != 0 || stream.is_reader == 0 {
        return false;
    }
    // Through the pointer, because the program may have replaced the function.
    let Some(fill) = stream.fill else {
        return false;
    };
    fill(stream);
    if stream.is_closed != 0 {
        return false;
    }
    stream.stop_unget = stream.rd_next;
    stream.rd_next != stream.stop
}

unsafe fn available(stream: &Stream) -> usize {
    usize::try_from(stream.stop.offset_from(stream.rd_next)).unwrap_or(0)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn FCGX_GetChar(stream: *mut Stream) -> c_int {
    let Some(stream) = stream.as_mut() else {
        return EOF;
    };
    if stream.is_reader == 0 || stream.rd_next == stream.stop {
        return get_char_from_refill(stream);
    }
    let byte = *stream.rd_next;
    stream.rd_next = stream.rd_next.add(1);
    c_int::from(byte)
}

/// A separate function, so that the usual path saves no registers.
#[cold]
#[inline(never)]
unsafe fn get_char_from_refill(stream: &mut Stream) -> c_int {
    if stream.is_reader == 0 || stream.is_closed != 0 || !refill(stream) {
        return EOF;
    }
    let byte = *stream.rd_next;
    stream.rd_next = stream.rd_next.add(1);
    c_int::from(byte)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn FCGX_GetStr(text: *mut c_char, size: c_int, stream: *mut Stream) -> c_int {
    let (Some(stream), Ok(size)) = (stream.as_mut(), usize::try_from(size)) else {
        return 0;
    };
    if text.is_null() || stream.is_reader == 0 {
        return 0;
    }
    let mut count = 0;
    while count < size {
        if stream.rd_next == stream.stop {
            if size - count >= DIRECT && is_fed_by_engine(stream) {
                let rest = slice::from_raw_parts_mut(text.cast::<u8>().add(count), size - count);
                let read = read_directly(stream, rest);
                count += read;
                if read == 0 {
                    break;
                }
                continue;
            }
            if !refill(stream) {
                break;
            }
        }
        let taken = available(stream).min(size - count);
        ptr::copy_nonoverlapping(stream.rd_next, text.cast::<u8>().add(count), taken);
        stream.rd_next = stream.rd_next.add(taken);
        count += taken;
    }
    count as c_int
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn FCGX_GetLine(
    text: *mut c_char,
    size: c_int,
    stream: *mut Stream,
) -> *mut c_char {
    let Some(stream) = stream.as_mut() else {
        return ptr::null_mut();
    };
    if text.is_null() {
        return ptr::null_mut();
    }
    let most = usize::try_from(size).unwrap_or(0).saturating_sub(1);
    let mut count = 0;
    while count < most {
        if stream.is_reader == 0 || stream.rd_next == stream.stop && !refill(stream) {
            if count == 0 {
                return ptr::null_mut();
            }
            break;
        }
        let piece = available(stream).min(most - count);
        let newline = libc::memchr(stream.rd_next.cast(), c_int::from(b'\n'), piece).cast::<u8>();
        let taken = if newline.is_null() {
            piece
        } else {
            newline.offset_from(stream.rd_next) as usize + 1
        };
        ptr::copy_nonoverlapping(stream.rd_next, text.cast::<u8>().add(count), taken);
        stream.rd_next = stream.rd_next.add(taken);
        count += taken;
        if !newline.is_null() {
            break;
        }
    }
    *text.add(count) = 0;
    text
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn FCGX_UnGetChar(c: c_int, stream: *mut Stream) -> c_int {
    let Some(stream) = stream.as_mut() else {
        return EOF;
    };
    if c == EOF
        || stream.is_closed != 0
        || stream.is_reader == 0
        || stream.rd_next == stream.stop_unget
    {
        return EOF;
    }
    stream.rd_next = stream.rd_next.sub(1);
    *stream.rd_next = c as u8;
    c
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn FCGX_HasSeenEOF(stream: *mut Stream) -> c_int {
    match stream.as_ref() {
        Some(stream) if stream.is_closed == 0 => 0,
        Some(_) | None => EOF,
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn FCGX_StartFilterData(stream: *mut Stream) -> c_int {
    guard(EOF, || {
        let Some(stream) = stream.as_mut() else {
            return EOF;
        };
        let Some(data) = stream.data() else {
            return EOF;
        };
        let role = data.request.as_ref().map_or(0, |request| request.role);
        let may_start =
            role == FILTER && stream.is_reader != 0 && stream.is_closed != 0 && data.kind == STDIN;
        let engine = Engine::of_stream(data).filter(|_| may_start);
        if engine.is_none_or(|engine| engine.core.start_filter_data().is_err()) {
            stream.fail(CALL_SEQ_ERROR);
            return EOF;
        }
        data.kind = DATA;
        stream.stop = stream.rd_next;
        stream.wr_next = stream.rd_next;
        stream.is_closed = 0;
        0
    })
}
