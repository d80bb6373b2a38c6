//! The exports of `libfcgipm.so`, and the only ones.
//!
//! Every export calls `boundary::enter` or `boundary::enter_quietly`: no panic crosses the
//! boundary, errors become numbers with a message, and errno is restored. cbindgen copies the doc
//! comments of the exports to `include/fcgipm.h`; they are written for its readers.

#![allow(
    rustdoc::broken_intra_doc_links,
    reason = "brackets in texts for readers of C are not links"
)]
#![allow(non_camel_case_types)]
#![allow(
    clippy::missing_safety_doc,
    reason = "the comments become the C header, where every pointer is the caller's responsibility"
)]

mod boundary;
pub mod error;
mod handle;
pub mod host_forks;
pub mod manager;
pub mod options;
pub mod params;
pub mod process;
pub mod request;
pub mod request_in_child;
mod served;
pub mod signal;
pub mod socket;
pub mod streams;
pub mod worker;
