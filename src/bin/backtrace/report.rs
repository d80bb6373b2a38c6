//! What is printed.

use serde::Serialize;

use super::native;
use super::request::Worker;

/// All that is printed.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) pid: i32,
    pub(super) name: String,
    pub(super) state: &'static str,
    /// `None`: not a worker of a manager.
    pub(super) worker: Option<Worker>,
    /// The request ended while this looked.
    pub(super) request_ended: bool,
    pub(super) perl: Option<Vec<PerlFrame>>,
    pub(super) threads: Vec<Thread>,
    /// Not all is shown.
    pub(super) threads_omitted: usize,
    pub(super) notes: Vec<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct PerlFrame {
    pub(super) sub: String,
    pub(super) file: String,
    pub(super) line: u32,
}

#[derive(Debug, Serialize)]
pub(super) struct Thread {
    pub(super) tid: i32,
    pub(super) name: String,
    pub(super) state: &'static str,
    pub(super) system_call: Option<String>,
    pub(super) wait_channel: Option<String>,
    pub(super) kernel: Vec<String>,
    pub(super) native: Vec<NativeFrame>,
    /// In milliseconds; `None`: it was not stopped.
    pub(super) stopped_ms: Option<f64>,
}

#[derive(Debug, Serialize)]
pub(super) struct NativeFrame {
    pub(super) address: u64,
    pub(super) function: Option<String>,
    pub(super) offset: u64,
    pub(super) image: String,
    pub(super) file: Option<String>,
    pub(super) line: Option<u32>,
}

impl From<native::Frame> for NativeFrame {
    fn from(frame: native::Frame) -> Self {
        let (file, line) = frame.line.unzip();
        Self {
            address: frame.address,
            function: frame.function,
            offset: frame.offset,
            image: frame.image,
            file,
            line,
        }
    }
}
