//! What a request handle points to.

use super::handle::{self, Noun};
use crate::error::Result;
use crate::server::Request;

/// A request loop on one listening socket. Opaque.
pub struct fcgipm_request(());

/// A parameter in the memory of the library. The value is followed by a NUL, the name is not.
#[repr(C)]
pub struct fcgipm_param {
    /// The first byte of the name.
    pub name: *const u8,
    /// The length of the name.
    pub name_length: usize,
    /// The first byte of the value.
    pub value: *const u8,
    /// The length of the value, without the NUL.
    pub value_length: usize,
}

// Its layout is part of the ABI.
const _: () = assert!(size_of::<fcgipm_param>() == 4 * size_of::<usize>());

/// A request loop, and the list of parameters that its host has asked for.
pub(super) struct Served {
    pub(super) request: Request,
    /// Filled by the first call of `fcgipm_request_list_params` in a request.
    pub(super) list: Vec<fcgipm_param>,
}

impl Served {
    /// Invalidates the list: another request begins.
    pub(super) fn forget_list(&mut self) {
        /// Entries whose memory is kept from request to request.
        const RETAINED: usize = 2048;
        self.list.clear();
        self.list.shrink_to(RETAINED);
    }
}

impl Noun for Served {
    type Handle = fcgipm_request;
    const MAGIC: u32 = 0xfc91_0002;
    const NAME: &'static str = "request";
}

pub(super) fn with<R>(
    request: *const fcgipm_request,
    body: impl FnOnce(&mut Request) -> Result<R>,
) -> Result<R> {
    handle::with(request, |served: &mut Served| body(&mut served.request))
}

/// A number of bytes as a C result. No object is longer than an i64 can express.
pub(super) fn length(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
