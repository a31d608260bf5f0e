//! The only unsafe code of this crate: local time, and dying of a signal.

use nix::libc;
use nix::sys::signal::{SigHandler, Signal, raise, signal};

/// The local time of day as `[HH:MM:SS]`.
pub(super) fn clock() -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let now = now.map_or(0, |d| d.as_secs()) as libc::time_t;
    let mut parts = std::mem::MaybeUninit::<libc::tm>::zeroed();
    // SAFETY: both pointers are valid for the call; `localtime_r` fills `parts` or leaves it
    // zeroed, and all-zero is a valid `tm`.
    let parts = unsafe {
        libc::localtime_r(&raw const now, parts.as_mut_ptr());
        parts.assume_init()
    };
    format!("[{:02}:{:02}:{:02}]", parts.tm_hour, parts.tm_min, parts.tm_sec)
}

/// Ends this process by SIGINT, so that the shell that started it sees why it ended.
pub(super) fn die_of_interrupt() -> ! {
    // SAFETY: the default action runs no handler, so no code of ours can run in one.
    let _ = unsafe { signal(Signal::SIGINT, SigHandler::SigDfl) };
    let _ = raise(Signal::SIGINT);
    std::process::exit(130)
}
