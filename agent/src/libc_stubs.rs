//! Keeps a quarter of glibc out of the static agent, every byte of which is unpacked at each cold
//! boot.
//!
//! Nothing in this program formats, scans or translates text through C. But glibc's own error
//! messages could, and they pull in floating point, wide characters, character sets and a dynamic
//! loader. An archive's member is linked only if nothing else defines its symbols. So the four
//! functions through which all that is reached are defined here, and do nothing. glibc then dies
//! without a message.

use std::ffi::{c_char, c_int, c_ulong, c_void};

/// The value that glibc's own functions return on failure.
const FAILED: c_int = -1;

// SAFETY: glibc's own name and what its callers pass; the arguments are not looked at.
#[unsafe(no_mangle)]
extern "C" fn __vfprintf_internal(_: *mut c_void, _: *const c_char, _: *mut c_void) -> c_int {
    FAILED
}

// SAFETY: as above.
#[unsafe(no_mangle)]
extern "C" fn __vfwprintf_internal(_: *mut c_void, _: *const c_char, _: *mut c_void) -> c_int {
    FAILED
}

// SAFETY: glibc's own signature. The standard library, its only caller, takes an error for a thread
// without a guard page.
#[unsafe(no_mangle)]
extern "C" fn pthread_getattr_np(_: c_ulong, _: *mut c_void) -> c_int {
    FAILED
}

// SAFETY: glibc's own name and what its callers pass; an untranslated message is what it returns
// where there is no translation.
#[unsafe(no_mangle)]
extern "C" fn __dcgettext(_: *const c_char, message: *const c_char, _: c_int) -> *const c_char {
    message
}
