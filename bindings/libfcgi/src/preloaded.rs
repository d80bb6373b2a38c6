//! The end of LD_PRELOAD once it has done its work.
//!
//! `fcgipm run` puts this library in front of LD_PRELOAD. What the program starts, CGI scripts above all,
//! would load it for nothing, so it takes itself out again and leaves what the operator had there. But a
//! shell or env(1) that only executes the program has to hand it on: it is taken out at load by a program
//! that is linked with libfcgi, and with the first call by one that loads a module on libfcgi later.

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

static LEFT: AtomicBool = AtomicBool::new(false);

extern "C" fn at_load() {
    // SAFETY: the program has one thread yet.
    unsafe {
        if is_worker() && program_is_linked_with_libfcgi() {
            leave();
        }
    }
}

/// With the first call of the program, unless another thread might be reading the environment. The variable
/// that names the manager is still there.
pub(crate) fn before_adoption() {
    // SAFETY: nobody changes the environment beside a first call.
    if LEFT.load(Ordering::Relaxed) || !unsafe { is_worker() } {
        return;
    }
    let threads = std::fs::read_dir("/proc/self/task").map(Iterator::count);
    if threads.is_ok_and(|count| count == 1) {
        // SAFETY: there is no other thread.
        unsafe { leave() };
    }
}

unsafe fn is_worker() -> bool {
    let Ok(name) = std::ffi::CString::new(WORKER_VARIABLE) else {
        return false;
    };
    !libc::getenv(name.as_ptr()).is_null()
}

/// Takes this library out of LD_PRELOAD, if it comes first there, which is where `fcgipm run` puts it.
unsafe fn leave() {
    LEFT.store(true, Ordering::Relaxed);
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
    let mut answer = false;
    libc::dl_iterate_phdr(Some(look), (&raw mut answer).cast());
    answer
}

/// The first object is the program itself; the others are not looked at.
unsafe extern "C" fn look(info: *mut libc::dl_phdr_info, _: usize, answer: *mut c_void) -> c_int {
    let info = &*info;
    let base = info.dlpi_addr as usize;
    let headers = std::slice::from_raw_parts(info.dlpi_phdr, usize::from(info.dlpi_phnum));
    if let Some(header) = headers
        .iter()
        .find(|header| header.p_type == libc::PT_DYNAMIC)
    {
        // Pairs of a tag and a value, up to DT_NULL.
        let entries = (base + header.p_vaddr as usize) as *const [usize; 2];
        *answer.cast::<bool>() = needs_libfcgi(entries, base);
    }
    1
}

unsafe fn needs_libfcgi(entries: *const [usize; 2], base: usize) -> bool {
    let entries = (0..)
        .map(|at| *entries.add(at))
        .take_while(|entry| entry[0] != DT_NULL);
    let mut strings = ptr::null::<c_char>();
    for [_, value] in entries.clone().filter(|entry| entry[0] == DT_STRTAB) {
        // Most loaders have made an address of it.
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
