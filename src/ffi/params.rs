//! A request's parameters, as C sees them.

use super::boundary::{bytes, bytes_mut, enter};
use super::handle;
use super::served::{Served, fcgipm_param, fcgipm_request, length, with};
use crate::error::{Code, Error, Result};
use crate::server::Scope;

/// A scope: the parameters that may be exported into a process environment. It excludes HTTP_PROXY
/// (httpoxy), empty names, names with '=', and names or values with a NUL.
pub const FCGIPM_PARAMS_ENVIRONMENT: u32 = 0;
/// A scope: the above and HTTP_PROXY.
pub const FCGIPM_PARAMS_WELL_FORMED: u32 = 1;
/// A scope: everything that the web server sent.
pub const FCGIPM_PARAMS_ALL: u32 = 2;

/// Lists the parameters without copying them.
///
/// Sets *list to an array of *count parameters, in the order of fcgipm_request_params(). The array,
/// and what it points to, belongs to the library and is valid until the request is finished.
/// FCGI_ROLE is one of the parameters. scope is FCGIPM_PARAMS_ENVIRONMENT,
/// FCGIPM_PARAMS_WELL_FORMED or FCGIPM_PARAMS_ALL. list and count must not be NULL; on failure the
/// results are NULL and 0.
///
/// Returns 0; FCGIPM_ESTATE if there is no current request, FCGIPM_EARGUMENT, FCGIPM_EFORKED,
/// FCGIPM_EHANDLE.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fcgipm_request_list_params(
    request: *const fcgipm_request,
    scope: u32,
    list: *mut *const fcgipm_param,
    count: *mut usize,
) -> i32 {
    enter(|| {
        // SAFETY: the caller's promise.
        let out = unsafe { Out::new(list, count) }?;
        let scope = scope_of(scope)?;
        handle::with(request, |served: &mut Served| {
            let params = served.request.params()?;
            // Filled once per request, for all scopes, so that pointers into it stay valid. It is
            // never empty then: it contains FCGI_ROLE.
            if served.list.is_empty() {
                let all = params.iter(Scope::All);
                served.list.extend(all.map(|(name, value)| fcgipm_param {
                    name: name.as_ptr(),
                    name_length: name.len(),
                    value: value.as_ptr(),
                    value_length: value.len(),
                }));
            }
            let wanted = params.iter(scope).len();
            out.set(&served.list[..wanted]);
            Ok(0)
        })
    })
}

/// The parameters as one block of memory.
///
/// Sets *data and *length to bytes that belong to the library and are valid until the request is
/// finished. For each parameter they contain: the length of the name (32 bits, big-endian), the
/// name, a NUL, the length of the value (32 bits, big-endian), the value, a NUL. FCGI_ROLE is one
/// of the parameters. scope is FCGIPM_PARAMS_ENVIRONMENT, FCGIPM_PARAMS_WELL_FORMED or
/// FCGIPM_PARAMS_ALL. data and length must not be NULL; on failure the results are NULL and 0.
///
/// Returns 0; FCGIPM_ESTATE if there is no current request, FCGIPM_EARGUMENT, FCGIPM_EFORKED,
/// FCGIPM_EHANDLE.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fcgipm_request_params(
    request: *const fcgipm_request,
    scope: u32,
    data: *mut *const u8,
    length: *mut usize,
) -> i32 {
    enter(|| {
        // SAFETY: the caller's promise.
        let out = unsafe { Out::new(data, length) }?;
        let scope = scope_of(scope)?;
        with(request, |request| {
            out.set(request.params()?.flat(scope));
            Ok(0)
        })
    })
}

/// Copies the parameters into size bytes at buffer, for languages that split a string faster than
/// they decode lengths: all names, each followed by a NUL; one more NUL; all values in the same
/// order, each followed by a NUL.
///
/// held is NULL, or a copy of an earlier request in this format that the caller still has. If it
/// has the same names in the same order, the result is shorter: a NUL, and then, only for
/// parameters whose value differs or is empty, the name, a NUL, the value and a NUL.
///
/// Returns the number of bytes. If it is larger than size, nothing was copied. FCGIPM_ESTATE if
/// there is no current request; FCGIPM_EARGUMENT, also for FCGIPM_PARAMS_ALL, whose names and
/// values may contain NUL bytes; FCGIPM_EFORKED, FCGIPM_EHANDLE.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fcgipm_request_copy_params(
    request: *const fcgipm_request,
    scope: u32,
    held: *const u8,
    held_length: usize,
    buffer: *mut u8,
    size: usize,
) -> i64 {
    enter(|| {
        let scope = scope_of(scope)?;
        if scope == Scope::All {
            return Err(Error::new(
                Code::Argument,
                format!(
                    "argument scope: parameters of scope {FCGIPM_PARAMS_ALL} may contain NUL bytes"
                ),
            ));
        }
        // SAFETY: the caller's promise.
        let (held, buffer) = unsafe {
            (
                bytes(held, held_length, "held")?,
                bytes_mut(buffer, size, "buffer")?,
            )
        };
        with(request, |request| {
            Ok(length(request.params()?.copy_columns(scope, held, buffer)))
        })
    })
}

/// Finds a parameter by its name, among all that the web server sent. If several have this name,
/// the last one is used.
///
/// name has name_length bytes and needs no NUL. Sets *value and *value_length to the value, or to
/// NULL and 0 if there is no such parameter. The value is followed by a NUL, belongs to the library
/// and is valid until the request is finished. value and value_length must not be NULL.
///
/// Returns 1 if the parameter was found, otherwise 0; FCGIPM_ESTATE if there is no current request,
/// FCGIPM_EARGUMENT, FCGIPM_EFORKED, FCGIPM_EHANDLE.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fcgipm_request_param(
    request: *const fcgipm_request,
    name: *const u8,
    name_length: usize,
    value: *mut *const u8,
    value_length: *mut usize,
) -> i32 {
    enter(|| {
        // SAFETY: the caller's promise.
        let (out, name) = unsafe {
            (
                Out::new(value, value_length)?,
                bytes(name, name_length, "name")?,
            )
        };
        with(request, |request| match request.params()?.get(name) {
            Some(value) => {
                out.set(value);
                Ok(1)
            }
            None => Ok(0),
        })
    })
}

/// Two variables of the host that receive the address and the length of a result.
struct Out<T> {
    data: *mut *const T,
    length: *mut usize,
}

impl<T> Out<T> {
    /// # Safety
    /// Both are NULL or point to writable variables that live through the call.
    unsafe fn new(data: *mut *const T, length: *mut usize) -> Result<Self> {
        if data.is_null() || length.is_null() {
            return Err(Error::new(
                Code::Argument,
                "an argument for a result is NULL",
            ));
        }
        let out = Self { data, length };
        // SAFETY: the caller's promise; checked for NULL above.
        unsafe {
            out.data.write(std::ptr::null());
            out.length.write(0);
        }
        Ok(out)
    }

    fn set(&self, what: &[T]) {
        // SAFETY: as in `new`.
        unsafe {
            self.data.write(what.as_ptr());
            self.length.write(what.len());
        }
    }
}

fn scope_of(number: u32) -> Result<Scope> {
    match number {
        FCGIPM_PARAMS_ENVIRONMENT => Ok(Scope::Environment),
        FCGIPM_PARAMS_WELL_FORMED => Ok(Scope::WellFormed),
        FCGIPM_PARAMS_ALL => Ok(Scope::All),
        other => Err(Error::new(
            Code::Argument,
            format!("argument scope: {other} is not in the range 0..2"),
        )),
    }
}
