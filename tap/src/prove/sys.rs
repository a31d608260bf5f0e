//! The only unsafe code of this crate, local time and dying of a signal; and how each system waits
//! for the end of a child.

use nix::libc;
use nix::sys::signal::{SigHandler, Signal, raise, signal};
use std::process::Child;

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

/// Waits until the child has ended, but does not reap it: until it is reaped, its process id
/// belongs to no other process, so killing it stays safe.
#[cfg(not(target_os = "macos"))]
pub(super) fn await_end(child: &Child) {
    use nix::sys::wait::{Id, WaitPidFlag, waitid};
    let pid = nix::unistd::Pid::from_raw(child.id().cast_signed());
    let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT;
    while waitid(Id::Pid(pid), flags) == Err(nix::errno::Errno::EINTR) {}
}

/// The same on macOS, where nix has no `waitid`. A child that has ended already cannot be watched
/// any more.
#[cfg(target_os = "macos")]
pub(super) fn await_end(child: &Child) {
    use nix::sys::event::{EvFlags, EventFilter, FilterFlag, KEvent, Kqueue};
    let Ok(queue) = Kqueue::new() else { return };
    let (add, what) = (EvFlags::EV_ADD | EvFlags::EV_ONESHOT, FilterFlag::NOTE_EXIT);
    let end = KEvent::new(child.id() as usize, EventFilter::EVFILT_PROC, add, what, 0, 0);
    let mut seen = [end];
    while queue.kevent(&[end], &mut seen, None) == Err(nix::errno::Errno::EINTR) {}
}
