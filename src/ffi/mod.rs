//! The only exports of `libfcgipm.so`, one file per noun of the C API.
//!
//! Every export passes `boundary::enter` or `boundary::enter_quietly`: no panic crosses it, errors
//! become numbers and a message, and errno is the host's again afterwards. cbindgen carries the doc
//! comments into `include/fcgipm.h`; they are written for its readers.

#![allow(
    rustdoc::broken_intra_doc_links,
    reason = "brackets in the text for readers of C are no links"
)]
#![allow(non_camel_case_types)]
#![allow(
    clippy::missing_safety_doc,
    reason = "the comments become the C header, where every pointer is the caller's promise"
)]

mod boundary;
pub mod error;
mod handle;
pub mod manager;
pub mod options;
pub mod params;
pub mod request;
pub mod signal;
pub mod socket;
pub mod worker;
