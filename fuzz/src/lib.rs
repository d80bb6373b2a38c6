//! What is checked about `wire` and `conn`, for any bytes whatever.
//!
//! The fuzz targets call [`wire::check`] and [`conn::check`]. The tests of the library take these
//! files in by their path: `tests/corpus.rs` hands the committed corpus to the same two functions,
//! and `tests/properties` hands generated sessions to the functions they are made of. So an input
//! that a fuzzer found means the same to a stable compiler, which cannot build libFuzzer.

pub mod conn;
pub mod pieces;
pub mod records;
pub mod response;
pub mod session;
pub mod wire;
