//! Options, as C sees them.

use std::ffi::c_char;

use super::boundary::{copy_text, enter, text};
use super::handle::{self, Noun};
use crate::error::Result;
use crate::options::Options;
use crate::server::environment;

/// A set of options. Opaque.
pub struct fcgipm_options(());

impl Noun for Options {
    type Handle = fcgipm_options;
    const MAGIC: u32 = 0xfc91_0001;
    const NAME: &'static str = "options";
}

/// The options of an argument that may be NULL, overridden by the environment.
pub(super) fn effective(options: *const fcgipm_options) -> Result<Options> {
    if options.is_null() {
        return Options::new().with_environment(environment::trusted_vars());
    }
    handle::with(options, |options: &mut Options| {
        options.with_environment(environment::trusted_vars())
    })
}

/// Makes a set of options in which every option has its default.
///
/// Returns a handle, which the caller frees with fcgipm_options_free(). Any thread. After fork,
/// parent and child each have an independent copy.
#[unsafe(no_mangle)]
pub extern "C" fn fcgipm_options_new() -> *mut fcgipm_options {
    enter(|| Ok(handle::make(Options::new())))
}

/// Frees a set of options; NULL is allowed. Objects that were made with it are not affected.
#[unsafe(no_mangle)]
pub extern "C" fn fcgipm_options_free(options: *mut fcgipm_options) {
    enter(|| handle::free::<Options>(options));
}

/// Sets an option from text.
///
/// name and value are NUL-terminated strings, which are copied. docs/OPTIONS.md lists the names and
/// values. An environment variable overrides the value that is set here: for "n_processes" it is
/// FCGIPM_N_PROCESSES.
///
/// Returns 0; FCGIPM_EOPTION if there is no such option, FCGIPM_EVALUE if the value is invalid,
/// FCGIPM_EARGUMENT if a string is NULL or not UTF-8, FCGIPM_EHANDLE.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fcgipm_options_set(
    options: *mut fcgipm_options,
    name: *const c_char,
    value: *const c_char,
) -> i32 {
    enter(|| {
        // SAFETY: the caller's promise.
        let (name, value) = unsafe { (text(name, "name")?, text(value, "value")?) };
        handle::with(options, |options: &mut Options| {
            options.set(name, value).map(|()| 0)
        })
    })
}

/// Reads an option as text: the value that was set, or the default.
///
/// name is a NUL-terminated string. Like snprintf(3), it copies at most size bytes to buffer,
/// including a terminating NUL. buffer may be NULL if size is 0.
///
/// Returns the full length without the NUL; FCGIPM_EOPTION if there is no such option,
/// FCGIPM_EARGUMENT, FCGIPM_EHANDLE.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fcgipm_options_get(
    options: *const fcgipm_options,
    name: *const c_char,
    buffer: *mut c_char,
    size: usize,
) -> i32 {
    enter(|| {
        // SAFETY: the caller's promise.
        let name = unsafe { text(name, "name") }?;
        handle::with(options, |options: &mut Options| {
            // SAFETY: the caller's promise.
            unsafe { copy_text(options.get(name)?, buffer, size) }
        })
    })
}

/// Reads an option as the library will use it: the value in the environment, otherwise the value
/// that was set, otherwise the default.
///
/// options may be NULL. name, buffer and size are as for fcgipm_options_get().
///
/// Returns the full length without the NUL; the errors of fcgipm_options_get(); FCGIPM_EOPTION or
/// FCGIPM_EVALUE if an environment variable FCGIPM_... names no option or has an invalid value.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fcgipm_options_effective(
    options: *const fcgipm_options,
    name: *const c_char,
    buffer: *mut c_char,
    size: usize,
) -> i32 {
    enter(|| {
        // SAFETY: the caller's promise.
        let name = unsafe { text(name, "name") }?;
        let options = effective(options)?;
        // SAFETY: the caller's promise.
        unsafe { copy_text(options.get(name)?, buffer, size) }
    })
}
