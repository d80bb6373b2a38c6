//! The only exports of `libfcgipm.so`, one file per noun of the C API.
//!
//! Every export passes [`boundary::enter`] or [`boundary::enter_quietly`]: no panic crosses it, errors become
//! numbers and a message, and errno is the host's again afterwards. cbindgen carries the doc
//! comments into `include/fcgipm.h`; they are written for its readers.

#![allow(non_camel_case_types)]

mod boundary;
mod error;
mod handle;
mod manager;
mod options;
mod request;
mod socket;
mod worker;
