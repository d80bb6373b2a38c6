//! A request's parameters, as C sees them.

use super::boundary::{bytes, bytes_mut, enter};
use super::handle;
use super::request::{Served, fcgipm_request, length, with};
use crate::error::{Code, Error, Result};
use crate::server::Scope;

/// Parameters that may be exported into a process environment: no HTTP_PROXY (httpoxy), no empty
/// name, no '=' in a name, no NUL.
pub const FCGIPM_PARAMS_ENVIRONMENT: u32 = 0;
/// The above and HTTP_PROXY.
pub const FCGIPM_PARAMS_WELL_FORMED: u32 = 1;
/// Everything that the web server sent.
pub const FCGIPM_PARAMS_ALL: u32 = 2;

/// A parameter, where the library has it. The value has a NUL behind it; the name has none.
#[repr(C)]
pub struct fcgipm_param {
    /// The name's first byte.
    pub name: *const u8,
    /// The name's length.
    pub name_length: usize,
    /// The value's first byte.
    pub value: *const u8,
    /// The value's length, without the NUL.
    pub value_length: usize,
}

// Its layout is part of the ABI.
const _: () = assert!(size_of::<fcgipm_param>() == 4 * size_of::<usize>());

/// The parameters one by one, without a copy.
///
/// Sets *list to the first of *count parameters, in the order of fcgipm_request_params(). They, and
/// what they point to, belong to the library and live until the request is finished. FCGI_ROLE is
/// among them. scope is FCGIPM_PARAMS_ENVIRONMENT, FCGIPM_PARAMS_WELL_FORMED or FCGIPM_PARAMS_ALL;
/// with an error the two are set to NULL and 0. Neither pointer may be NULL.
///
/// Returns 0, FCGIPM_ESTATE when no request is being served, FCGIPM_EARGUMENT, FCGIPM_EFORKED,
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
            // Of all scopes, and once for a request: what the host was told of stays where it is. There is always
            // one, FCGI_ROLE.
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

/// The parameters in one piece.
///
/// Sets *data and *length to bytes that belong to the library and live until the request is
/// finished. For each parameter: the length of the name (32 bits, big-endian), the name, a NUL, the
/// length of the value (likewise), the value, a NUL. FCGI_ROLE is among them. scope is
/// FCGIPM_PARAMS_ENVIRONMENT, FCGIPM_PARAMS_WELL_FORMED or FCGIPM_PARAMS_ALL; with an error the two
/// are set to NULL and 0. Neither pointer may be NULL.
///
/// Returns 0, FCGIPM_ESTATE when no request is being served, FCGIPM_EARGUMENT, FCGIPM_EFORKED,
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

/// Copies the parameters into size bytes at buffer, for hosts that split strings faster than they
/// follow lengths: the names, each with a NUL behind it, one more NUL, and the values in the same
/// order, each with a NUL behind it.
///
/// held is NULL, or what the host still has of an earlier request, in that form. If it has the same
/// names in the same order, what is copied begins with a NUL instead, and then come only the
/// parameters whose value differs or is empty: a name, a NUL, the value, a NUL, for each.
///
/// Returns the number of bytes; when it is larger than size, nothing was copied. FCGIPM_ESTATE when
/// no request is being served, FCGIPM_EARGUMENT (also for FCGIPM_PARAMS_ALL, whose names and values
/// may have NUL bytes in them), FCGIPM_EFORKED, FCGIPM_EHANDLE.
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
                format!("argument scope: {FCGIPM_PARAMS_ALL} may have NUL bytes within"),
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

/// Looks a parameter up by its name, among all that the web server sent; of several with one name
/// the last counts.
///
/// Sets *value and *value_length to bytes that belong to the library, live until the request is
/// finished, and have a NUL behind them; to NULL and 0 where there is no such parameter. Neither
/// pointer may be NULL. name has name_length bytes and needs no NUL.
///
/// Returns 1 when it was found, 0 when not, FCGIPM_ESTATE, FCGIPM_EARGUMENT, FCGIPM_EFORKED,
/// FCGIPM_EHANDLE.
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

/// Two variables of the host that tell it where bytes are, or other things, and how many.
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
                "the arguments for where it is and how much: NULL",
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
            format!("argument scope: {other} is not in 0..2"),
        )),
    }
}
