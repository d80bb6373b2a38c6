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

/// The options behind an argument that may be NULL, with the environment laid over them.
pub(super) fn effective(options: *const fcgipm_options) -> Result<Options> {
    if options.is_null() {
        return Options::new().with_environment(environment::trusted_vars());
    }
    handle::with(options, |options: &mut Options| {
        options.with_environment(environment::trusted_vars())
    })
}

/// Makes an empty set of options: every one has its default.
///
/// Returns a handle that the caller frees with fcgipm_options_free(). Any thread. A handle may be
/// used by one call at a time; after fork both processes have one of their own.
#[unsafe(no_mangle)]
pub extern "C" fn fcgipm_options_new() -> *mut fcgipm_options {
    enter(|| Ok(handle::make(Options::new())))
}

/// Frees a set of options; NULL is fine. What was made with it stays as it is.
#[unsafe(no_mangle)]
pub extern "C" fn fcgipm_options_free(options: *mut fcgipm_options) {
    enter(|| handle::free::<Options>(options));
}

/// Sets an option from text.
///
/// The names and what they take are on the page OPTIONS of the documentation. name and value are
/// NUL-terminated strings, and copied. The environment wins over what is set here: the variable for
/// "n_processes", say, is FCGIPM_N_PROCESSES.
///
/// Returns 0, FCGIPM_EOPTION for a name that is none, FCGIPM_EVALUE for a value that the option
/// does not take, FCGIPM_EARGUMENT for NULL, FCGIPM_EHANDLE.
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

/// Reads an option as text: what was set, or the default.
///
/// name is a NUL-terminated string. Copies at most size bytes to buffer, the last of them a NUL, as
/// snprintf(3) does; buffer may be NULL with size 0.
///
/// Returns the full length without the NUL; FCGIPM_EOPTION for a name that is none,
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

/// Reads an option as it will be used: the environment, else what was set, else the default.
///
/// options may be NULL. Returns as fcgipm_options_get(), and FCGIPM_EOPTION or FCGIPM_EVALUE for a
/// variable FCGIPM_... that names no option or has a bad value.
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
