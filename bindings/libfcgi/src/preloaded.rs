//! Removes this library from LD_PRELOAD once it is loaded.
//!
//! `fcgipm run` puts this library first in LD_PRELOAD. Programs that the program starts, above all
//! CGI scripts, would load it for nothing. So it removes itself again, and keeps what the operator
//! had there. But a shell or env(1) that only executes the program has to pass it on. So in a
//! program that is linked with libfcgi it is removed at load; in one that loads a module with
//! libfcgi later, with the first call.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};

use fcgipm::options::WORKER_VARIABLE;

const LD_PRELOAD: &CStr = c"LD_PRELOAD";
const OWN_NAME: &[u8] = b"libfcgi.so";

const DT_NULL: usize = 0;
const DT_NEEDED: usize = 1;
const DT_STRTAB: usize = 5;

/// Called by the loader, before the program's own code.
#[used]
#[unsafe(link_section = ".init_array")]
static AT_LOAD: extern "C" fn() = at_load;

static REMOVED: AtomicBool = AtomicBool::new(false);

extern "C" fn at_load() {
    // SAFETY: the program still has one thread.
    unsafe {
        if is_worker() && program_is_linked_with_libfcgi() {
            remove();
        }
    }
}

/// Called with the program's first call, before the variable that names the manager is removed.
/// Does nothing if another thread might be reading the environment.
pub(crate) fn before_adoption() {
    // SAFETY: no other thread changes the environment during the first call.
    if REMOVED.load(Ordering::Relaxed) || !unsafe { is_worker() } {
        return;
    }
    let threads = std::fs::read_dir("/proc/self/task").map(Iterator::count);
    if threads.is_ok_and(|count| count == 1) {
        // SAFETY: there is no other thread.
        unsafe { remove() };
    }
}

unsafe fn is_worker() -> bool {
    let Ok(name) = std::ffi::CString::new(WORKER_VARIABLE) else {
        return false;
    };
    !libc::getenv(name.as_ptr()).is_null()
}

/// Removes this library from LD_PRELOAD if it comes first there, where `fcgipm run` puts it.
unsafe fn remove() {
    REMOVED.store(true, Ordering::Relaxed);
    let list = libc::getenv(LD_PRELOAD.as_ptr());
    let mut found = MaybeUninit::<libc::Dl_info>::zeroed();
    if list.is_null() || libc::dladdr(at_load as *const c_void, found.as_mut_ptr()) == 0 {
        return;
    }
    let own = found.assume_init().dli_fname;
    if own.is_null() {
        return;
    }
    let (list, own) = (
        CStr::from_ptr(list).to_bytes(),
        CStr::from_ptr(own).to_bytes(),
    );
    match list.strip_prefix(own) {
        Some([]) => {
            libc::unsetenv(LD_PRELOAD.as_ptr());
        }
        Some([b':', before @ ..]) => {
            if let Ok(before) = std::ffi::CString::new(before) {
                libc::setenv(LD_PRELOAD.as_ptr(), before.as_ptr(), 1);
            }
        }
        Some(_) | None => {}
    }
}

unsafe fn program_is_linked_with_libfcgi() -> bool {
    let mut result = false;
    libc::dl_iterate_phdr(Some(check_program), (&raw mut result).cast());
    result
}

/// The first object is the program itself; returning 1 ends the iteration.
unsafe extern "C" fn check_program(
    info: *mut libc::dl_phdr_info,
    _: usize,
    result: *mut c_void,
) -> c_int {
    let info = &*info;
    let base = info.dlpi_addr as usize;
    let headers = std::slice::from_raw_parts(info.dlpi_phdr, usize::from(info.dlpi_phnum));
    if let Some(header) = headers
        .iter()
        .find(|header| header.p_type == libc::PT_DYNAMIC)
    {
        // Pairs of a tag and a value, up to DT_NULL.
        let entries = (base + header.p_vaddr as usize) as *const [usize; 2];
        *result.cast::<bool>() = needs_libfcgi(entries, base);
    }
    1
}

unsafe fn needs_libfcgi(entries: *const [usize; 2], base: usize) -> bool {
    let entries = (0..)
        .map(|at| *entries.add(at))
        .take_while(|entry| entry[0] != DT_NULL);
    let mut strings = ptr::null::<c_char>();
    for [_, value] in entries.clone().filter(|entry| entry[0] == DT_STRTAB) {
        // Most loaders have relocated it to an address.
        let address = if value < base { base + value } else { value };
        strings = address as *const c_char;
    }
    let mut needed = entries.filter(|entry| entry[0] == DT_NEEDED);
    !strings.is_null()
        && needed.any(|[_, at]| {
            CStr::from_ptr(strings.add(at))
                .to_bytes()
                .starts_with(OWN_NAME)
        })
}
