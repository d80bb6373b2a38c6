//! What serves a request behind a program's FCGX_Request. The structure is the program's memory,
//! which it may abandon between two requests. So an engine belongs to it only while a request is
//! served. Between two requests it waits in a pool here, with the keep-alive connections that it
//! watches.

use std::ffi::{c_int, c_void};
use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use fcgipm::error::{Code, Error};
use fcgipm::server::{self, Scope};
use parking_lot::{Mutex, MutexGuard};

use crate::layout::{
    CALL_SEQ_ERROR, FAIL_ACCEPT_ON_INTR, HEADER, PROTOCOL_ERROR, Params, Request, STDERR, STDIN,
    STDOUT, Stream, StreamData,
};
use crate::params::Strings;
use crate::settings::settings;

/// The buffer of a response.
const OUTPUT: usize = HEADER + 16 * 1024;
const MESSAGES: usize = HEADER + 1024;

/// What an engine is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Purpose {
    listener: c_int,
    flags: c_int,
}

/// What fills readers and empties writers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StreamFunctions {
    pub(crate) fill: unsafe extern "C" fn(*mut Stream),
    pub(crate) empty: unsafe extern "C" fn(*mut Stream, c_int),
}

/// Serves one request of a listening socket after another.
#[derive(Debug)]
pub(crate) struct Engine {
    purpose: Purpose,
    pub(crate) core: server::Request,
    /// The current request's and the previous one's: a stale pointer of the program still finds its
    /// string.
    strings: [Strings; 2],
    params: Params,
    input: Channel,
    output: Channel,
    error: Channel,
}

/// A stream and its data. Programs keep pointers to it, so it never moves.
#[derive(Debug)]
struct Channel {
    stream: Stream,
    data: StreamData,
    memory: Box<[u8]>,
}

impl Channel {
    fn new(kind: c_int, size: usize, functions: StreamFunctions) -> Self {
        let is_reader = kind == STDIN;
        Self {
            stream: Stream {
                rd_next: ptr::null_mut(),
                wr_next: ptr::null_mut(),
                stop: ptr::null_mut(),
                stop_unget: ptr::null_mut(),
                is_reader: c_int::from(is_reader),
                is_closed: 1,
                was_fclose_called: 0,
                fcgi_errno: 0,
                fill: is_reader.then_some(functions.fill),
                empty: (!is_reader).then_some(functions.empty),
                data: ptr::null_mut(),
            },
            data: StreamData {
                buff: ptr::null_mut(),
                bufflen: 0,
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
            memory: vec![0; size].into_boxed_slice(),
        }
    }

    fn begin(&mut self, kind: c_int, request: *mut Request, engine: *mut Engine) -> *mut Stream {
        let memory = self.memory.as_mut_ptr_range();
        let data = &mut self.data;
        data.buff = memory.start;
        data.m_buff = memory.start;
        data.bufflen = c_int::try_from(self.memory.len()).unwrap_or(c_int::MAX);
        data.kind = kind;
        data.is_anything_written = 0;
        data.request = request;
        data.engine = engine.cast();
        let stream = &mut self.stream;
        stream.data = (&raw mut self.data).cast::<c_void>();
        stream.is_closed = 0;
        stream.was_fclose_called = 0;
        stream.fcgi_errno = 0;
        if stream.is_reader != 0 {
            // Empty, with space before it: a character can be pushed back before one was read.
            self.data.buff_stop = memory.end;
            stream.rd_next = memory.end;
            stream.wr_next = memory.end;
            stream.stop = memory.end;
            stream.stop_unget = memory.start;
        } else {
            self.data.buff_stop = memory.end;
            stream.rd_next = memory.end;
            stream.wr_next = memory.start.wrapping_add(HEADER);
            stream.stop = memory.end;
            stream.stop_unget = ptr::null_mut();
        }
        stream
    }

    /// A stream that the program uses after its request is at its end, and accepts nothing.
    fn end(&mut self) {
        let stream = &mut self.stream;
        stream.is_closed = 1;
        stream.rd_next = stream.stop;
        stream.wr_next = stream.stop;
        self.data.request = ptr::null_mut();
        self.data.engine = ptr::null_mut();
    }
}

/// What a request's strings are used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Environment {
    /// An array that the program reads (FCGX_GetParam).
    Array,
    /// The process environment: without HTTP_PROXY (httpoxy), and saved pointers into it stay
    /// valid.
    Process,
}

impl Engine {
    fn new(purpose: Purpose, functions: StreamFunctions) -> Result<Box<Self>, Error> {
        let settings = settings()?;
        let flags = if purpose.flags & FAIL_ACCEPT_ON_INTR != 0 {
            server::FAIL_ACCEPT_ON_INTR
        } else {
            0
        };
        let web_servers = settings.web_servers.clone();
        let listener = purpose.listener;
        let mut core = server::Request::new(listener, flags, &settings.options, web_servers)?;
        core.on_wake(adopt_idle_behind_lock);
        Ok(Box::new(Self {
            purpose,
            core,
            strings: [Strings::default(), Strings::default()],
            params: Params {
                vec: ptr::null_mut(),
                length: 0,
                cur: ptr::null_mut(),
                engine: ptr::null_mut(),
            },
            // Input is in the receive buffer of `core`; this memory is for a stream that has read
            // nothing.
            input: Channel::new(STDIN, HEADER, functions),
            output: Channel::new(STDOUT, OUTPUT, functions),
            error: Channel::new(STDERR, MESSAGES, functions),
        }))
    }

    /// Fills in the program's structure for the accepted request, and belongs to it from here on.
    pub(crate) fn begin(mut self: Box<Self>, request: &mut Request, environment: Environment) {
        self.strings.swap(0, 1);
        // There is a request, so it does not fail.
        if let Ok(params) = self.core.params() {
            match environment {
                Environment::Array => self.strings[0].fill(params, Scope::WellFormed),
                Environment::Process => self.strings[0].fill_lasting(params, Scope::Environment),
            }
        }
        let this: *mut Self = Box::into_raw(self);
        // SAFETY: just leaked, and there is no other pointer to it yet.
        let engine = unsafe { &mut *this };
        let (vector, count) = engine.strings[0].vector();
        engine.params = Params {
            vec: vector,
            length: c_int::try_from(count + 1).unwrap_or(c_int::MAX),
            cur: vector.wrapping_add(count),
            engine: this.cast(),
        };
        let to: *mut Request = request;
        request.request_id = c_int::from(engine.core.id().unwrap_or_default());
        request.role = engine
            .core
            .role()
            .map_or(0, |role| c_int::from(role.number()));
        request.input = engine.input.begin(STDIN, to, this);
        request.output = engine.output.begin(STDOUT, to, this);
        request.error = engine.error.begin(STDERR, to, this);
        request.envp = vector;
        request.params = &raw mut engine.params;
        request.ipc_fd = engine.core.connection().map_or(-1, |(fd, _)| fd);
        request.is_begin_processed = 1;
        request.keep_connection = c_int::from(engine.core.keep_connection().unwrap_or(false));
        request.app_status = 0;
        request.n_writers = 2;
        request.detached = 0;
    }

    /// Takes the engine out of a program's request. Afterwards the structure looks unused, except
    /// for the connection's descriptor and, as with libfcgi, the mark that a request was served.
    pub(crate) unsafe fn end(request: &mut Request) -> Option<Box<Self>> {
        let engine = Self::of(request)?;
        // SAFETY: `begin` leaked it, and it is taken back here, once.
        let mut this = unsafe { Box::from_raw(engine) };
        for channel in [&mut this.input, &mut this.output, &mut this.error] {
            channel.end();
        }
        request.input = ptr::null_mut();
        request.output = ptr::null_mut();
        request.error = ptr::null_mut();
        request.params = ptr::null_mut();
        request.n_writers = 0;
        Some(this)
    }

    /// The engine that serves a program's request.
    pub(crate) unsafe fn of(request: &Request) -> Option<*mut Self> {
        // SAFETY: set by `begin` and reset by `end`; in between it is part of a live engine.
        let engine = unsafe { request.params.as_ref()? }.engine;
        (!engine.is_null()).then_some(engine.cast())
    }

    /// The engine that serves a stream.
    pub(crate) unsafe fn of_stream<'a>(data: &StreamData) -> Option<&'a mut Self> {
        // SAFETY: set by `begin` and reset by `end`; in between the engine is live.
        unsafe { data.engine.cast::<Self>().as_mut() }
    }
}

/// Engines that serve no request. The one that was used last is used next: its memory is in the
/// cache, and it watches connections.
// In boxes, because an engine contains pointers into itself.
#[allow(clippy::vec_box)]
struct IdleEngines(Vec<Box<Engine>>);

// SAFETY: an engine has pointers to itself, and to a request only while it serves one.
unsafe impl Send for IdleEngines {}

static IDLE_ENGINES: Mutex<IdleEngines> = Mutex::new(IdleEngines(Vec::new()));

/// With a time limit: in a child that was forked while another thread held the lock, it is never
/// released.
fn idle_engines() -> Option<MutexGuard<'static, IdleEngines>> {
    IDLE_ENGINES.try_lock_for(Duration::from_millis(100))
}

/// An engine for this socket.
pub(crate) fn take(
    listener: c_int,
    flags: c_int,
    functions: StreamFunctions,
) -> Result<Box<Engine>, Error> {
    let purpose = Purpose { listener, flags };
    if let Some(mut idle_engines) = idle_engines() {
        // Those of a parent only have copies of its descriptors.
        idle_engines
            .0
            .retain(|engine| engine.core.is_of_this_process());
        if let Some(position) = idle_engines.0.iter().rposition(|e| e.purpose == purpose) {
            return Ok(idle_engines.0.remove(position));
        }
    }
    Engine::new(purpose, functions)
}

/// Returns an engine to the pool. If another thread waits, and the program has a lock around
/// accept, this engine will not be used until that thread returns. So that thread is woken to watch
/// the connections that are parked here.
pub(crate) fn put_back(engine: Box<Engine>) {
    let is_unwatched = one_waits_at_a_time() && engine.core.has_adoptable();
    if let Some(mut idle_engines) = idle_engines() {
        idle_engines.0.push(engine);
    }
    if is_unwatched && WAITING.load(Ordering::SeqCst) > 0 {
        server::wake_waiters();
    }
}

/// Threads that wait for a request now, and the maximum so far.
static WAITING: AtomicU32 = AtomicU32::new(0);
static MOST: AtomicU32 = AtomicU32::new(0);

fn one_waits_at_a_time() -> bool {
    MOST.load(Ordering::SeqCst) < 2
}

impl Engine {
    /// Waits for the next request.
    pub(crate) fn accept(&mut self) -> Result<(), Error> {
        let waiting = WAITING.fetch_add(1, Ordering::SeqCst) + 1;
        if waiting > MOST.load(Ordering::SeqCst) {
            MOST.fetch_max(waiting, Ordering::SeqCst);
        }
        adopt_idle_behind_lock(&mut self.core);
        let accepted = self.core.accept();
        WAITING.fetch_sub(1, Ordering::SeqCst);
        accepted
    }
}

/// If the program may have a lock around accept: watches the connections that are parked in idle
/// engines. Threads that wait at the same time return to their own.
fn adopt_idle_behind_lock(core: &mut server::Request) {
    if one_waits_at_a_time() {
        adopt_idle(core);
    }
}

/// Watches the connections that are parked in idle engines of the same listening socket.
pub(crate) fn adopt_idle(core: &mut server::Request) {
    let listener = core.listener();
    if let Some(mut idle_engines) = idle_engines() {
        for engine in &mut idle_engines.0 {
            if engine.core.listener() == listener && engine.core.is_of_this_process() {
                core.adopt(&mut engine.core);
            }
        }
    }
}

/// A listening socket is new, or no longer served: drops the engines of this descriptor.
pub(crate) fn forget(listener: c_int) {
    if let Some(mut idle_engines) = idle_engines() {
        idle_engines
            .0
            .retain(|engine| engine.purpose.listener != listener);
    }
}

/// An error as FCGX_GetError returns it: an errno, or one of libfcgi's own negative numbers.
pub(crate) fn number_of(error: &Error) -> c_int {
    match error.code() {
        Code::Incomplete | Code::Aborted | Code::Protocol => PROTOCOL_ERROR,
        Code::TimedOut => libc::ETIMEDOUT,
        Code::State => CALL_SEQ_ERROR,
        _ if error.errno() != 0 => error.errno(),
        _ => libc::EIO,
    }
}
