//! FCGX_CreateWriter: a stream that frames what the program writes, on a connection of the
//! program's own, without a request. cgi-fcgi uses it to talk to applications.

use std::ffi::c_int;
use std::ptr;

use fcgipm::wire::{EndRequest, Header, MAX_ALIGNED_CONTENT, RecordType};

use crate::guard::{errno, guard};
use crate::layout::{HEADER, Request, STDERR, Stream, StreamData};

/// Such a stream and everything it needs, in one allocation.
struct RawWriter {
    stream: Stream,
    data: StreamData,
    request: Request,
    memory: Box<[u8]>,
}

/// The smallest buffer, including the space for the header.
const SMALLEST: usize = 32;

#[unsafe(no_mangle)]
pub unsafe extern "C" fn FCGX_CreateWriter(
    socket: c_int,
    request_id: c_int,
    size: c_int,
    kind: c_int,
) -> *mut Stream {
    guard(ptr::null_mut(), || {
        let size = usize::try_from(size).unwrap_or(0);
        let size = size
            .clamp(SMALLEST, HEADER + MAX_ALIGNED_CONTENT)
            .next_multiple_of(8);
        let size = size.min(HEADER + MAX_ALIGNED_CONTENT);
        let mut request = Request::new(0, 0);
        request.ipc_fd = socket;
        request.request_id = request_id;
        // Counts one more writer than there is, so that closing the stream sends no END_REQUEST.
        request.n_writers = 2;
        let empty: unsafe extern "C" fn(*mut Stream, c_int) = empty_raw;
        let mut writer = Box::new(RawWriter {
            stream: Stream {
                rd_next: ptr::null_mut(),
                wr_next: ptr::null_mut(),
                stop: ptr::null_mut(),
                stop_unget: ptr::null_mut(),
                is_reader: 0,
                is_closed: 0,
                was_fclose_called: 0,
                fcgi_errno: 0,
                fill: None,
                empty: Some(empty),
                data: ptr::null_mut(),
            },
            data: StreamData {
                buff: ptr::null_mut(),
                bufflen: size as c_int,
                m_buff: ptr::null_mut(),
                buff_stop: ptr::null_mut(),
                kind,
                eor_stop: 0,
                skip: 0,
                content_len: 0,
                padding_len: 0,
                is_anything_written: 0,
                raw_write: 0,
                request: ptr::null_mut(),
                engine: ptr::null_mut(),
            },
            request,
            memory: vec![0; size].into_boxed_slice(),
        });
        let memory = writer.memory.as_mut_ptr_range();
        writer.data.buff = memory.start;
        writer.data.m_buff = memory.start;
        writer.data.buff_stop = memory.end;
        writer.stream.wr_next = memory.start.wrapping_add(HEADER);
        writer.stream.rd_next = memory.end;
        writer.stream.stop = memory.end;
        let this = Box::into_raw(writer);
        // SAFETY: just leaked; FCGX_FreeStream takes it back by the pointer to its stream.
        let writer = unsafe { &mut *this };
        writer.data.request = &raw mut writer.request;
        writer.stream.data = (&raw mut writer.data).cast();
        &raw mut writer.stream
    })
}

/// Frees a stream that FCGX_CreateWriter made. A stream of a request is not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn FCGX_FreeStream(stream: *mut *mut Stream) {
    guard((), || {
        let Some(place) = stream.as_mut() else { return };
        let stream = std::mem::replace(place, ptr::null_mut());
        let is_raw = stream.as_ref().is_some_and(|stream| {
            stream
                .empty
                .is_some_and(|proc| ptr::fn_addr_eq(proc, empty_raw as unsafe extern "C" fn(_, _)))
        });
        if is_raw {
            let this = stream
                .cast::<u8>()
                .sub(std::mem::offset_of!(RawWriter, stream))
                .cast::<RawWriter>();
            // SAFETY: `empty_raw` is only in streams that are part of a leaked RawWriter.
            drop(unsafe { Box::from_raw(this) });
        }
    });
}

fn record_type(kind: c_int) -> RecordType {
    RecordType::from_byte(kind as u8)
}

/// Such a stream's `emptyBuffProc`.
unsafe extern "C" fn empty_raw(stream: *mut Stream, close: c_int) {
    guard((), || {
        let Some(stream) = stream.as_mut() else {
            return;
        };
        let Some(data) = stream.data() else { return };
        let Some(request) = data.request.as_mut() else {
            return;
        };
        let id = request.request_id as u16;
        let start = data.buff.add(HEADER);
        let length = usize::try_from(stream.wr_next.offset_from(start)).unwrap_or(0);
        let mut records = Vec::with_capacity(HEADER + length + 8 + 3 * HEADER);
        if length > 0 {
            let header = Header::new(record_type(data.kind), id, length as u16);
            records.extend_from_slice(&header.encode());
            // SAFETY: the program wrote this many bytes there.
            records.extend_from_slice(unsafe { std::slice::from_raw_parts(start, length) });
            records.resize(records.len() + usize::from(header.padding_length), 0);
        }
        if close != 0 {
            if data.kind != STDERR || length > 0 || data.is_anything_written != 0 {
                records.extend_from_slice(&Header::new(record_type(data.kind), id, 0).encode());
            }
            if request.n_writers == 1 {
                let end = EndRequest {
                    app_status: request.app_status as u32,
                    protocol_status: 0,
                };
                let header = Header::new(RecordType::EndRequest, id, EndRequest::LEN as u16);
                records.extend_from_slice(&header.encode());
                records.extend_from_slice(&end.encode());
            }
            request.n_writers -= 1;
        }
        stream.wr_next = start;
        if records.is_empty() {
            return;
        }
        data.is_anything_written = 1;
        if let Err(number) = write_all(request.ipc_fd, &records) {
            stream.fail(number);
            stream.wr_next = stream.stop;
        }
    });
}

/// Writes to a descriptor of any kind, and retries after interruptions.
fn write_all(fd: c_int, mut bytes: &[u8]) -> Result<(), c_int> {
    while !bytes.is_empty() {
        // SAFETY: the bytes live through the call.
        let mut count =
            unsafe { libc::send(fd, bytes.as_ptr().cast(), bytes.len(), libc::MSG_NOSIGNAL) };
        if count < 0 && errno() == libc::ENOTSOCK {
            // SAFETY: as above.
            count = unsafe { libc::write(fd, bytes.as_ptr().cast(), bytes.len()) };
        }
        match usize::try_from(count) {
            Ok(count) => bytes = &bytes[count.min(bytes.len())..],
            Err(_) if errno() == libc::EINTR => {}
            Err(_) if errno() == libc::EAGAIN => {
                let mut poll = libc::pollfd {
                    fd,
                    events: libc::POLLOUT,
                    revents: 0,
                };
                // SAFETY: one live pollfd. The next attempt reports an error.
                unsafe { libc::poll(&raw mut poll, 1, -1) };
            }
            Err(_) => return Err(errno()),
        }
    }
    Ok(())
}
