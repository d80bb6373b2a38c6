//! Listening sockets: FCGX_OpenSocket, and whether a descriptor is one.

use std::ffi::{c_char, c_int};
use std::mem::MaybeUninit;

use fcgipm::server::listen;

use crate::guard::{errno, guard, set_errno};
use crate::settings::{Settings, settings, warn};
use crate::{acceptors, engine};

/// Whether a descriptor is a socket without a peer, that is, a listening one. Instead of descriptor
/// 0, the operator may have chosen one, or a service manager may have passed one.
pub(crate) fn is_listening(descriptor: c_int) -> bool {
    let mut address = MaybeUninit::<libc::sockaddr_storage>::uninit();
    let mut length = size_of_val(&address) as libc::socklen_t;
    // SAFETY: space for any address, and its size.
    let result =
        unsafe { libc::getpeername(descriptor, address.as_mut_ptr().cast(), &raw mut length) };
    // As with libfcgi, errno is that of this call.
    let number = errno();
    if result != 0 && number == libc::ENOTCONN {
        return true;
    }
    let has_socket = |settings: &Settings| listen::has_socket(descriptor, &settings.options);
    let is_chosen = settings().is_ok_and(has_socket);
    set_errno(number);
    is_chosen
}

/// Opens a listening socket. As with libfcgi, programs that are started inherit it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn FCGX_OpenSocket(path: *const c_char, backlog: c_int) -> c_int {
    guard(-1, || {
        let Some(address) = (!path.is_null()).then(|| std::ffi::CStr::from_ptr(path)) else {
            set_errno(libc::EINVAL);
            return -1;
        };
        let address = address.to_string_lossy();
        let opened = settings()
            .and_then(|settings| listen::open(&address, backlog.max(0), &settings.options));
        match opened {
            Ok(descriptor) => {
                engine::forget(descriptor);
                acceptors::forget(descriptor);
                // SAFETY: integers only. If it fails, programs that are started do not inherit it.
                unsafe { libc::fcntl(descriptor, libc::F_SETFD, 0) };
                descriptor
            }
            Err(error) => {
                warn(error.message());
                set_errno(if error.errno() == 0 {
                    libc::EINVAL
                } else {
                    error.errno()
                });
                -1
            }
        }
    })
}
