//! The crate's only `unsafe`: a child that dies with this process, and the size of a terminal. Also
//! the facts that Linux and macOS provide in different ways, and waiting for a descriptor.

use crate::arch::Accel;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Command;

/// Waits until `fd` can be read, or is at its end. Returns false, without waiting any longer, when
/// the other end of `stop` is closed or the system cannot wait.
pub fn readable(fd: &impl AsFd, stop: &UnixStream) -> bool {
    loop {
        let mut fds = [fd.as_fd(), stop.as_fd()].map(|fd| PollFd::new(fd, PollFlags::POLLIN));
        match poll(&mut fds, PollTimeout::NONE) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(_) => return false,
        }
        let [ready, stopped] = fds.map(|fd| fd.any().unwrap_or(true));
        if ready || stopped {
            return !stopped;
        }
    }
}

/// Makes the kernel kill the child when the thread that spawns it ends. That is why
/// [`crate::host::spawner`] spawns from a thread that never does.
#[cfg(target_os = "linux")]
pub fn die_with_parent(command: &mut Command) {
    use std::os::unix::process::CommandExt;
    let parent = nix::unistd::getpid();
    let hook = move || {
        nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL)?;
        if nix::unistd::getppid() == parent {
            return Ok(());
        }
        // The parent died before `prctl`, so the kernel would never kill this child.
        Err(std::io::ErrorKind::BrokenPipe.into())
    };
    // SAFETY: the hook runs between fork and exec and makes two system calls, prctl and getppid,
    // both async-signal-safe; it allocates nothing and takes no lock.
    unsafe { command.pre_exec(hook) };
}

/// On other systems the next run ends a child that outlives this process, see
/// [`crate::host::rundir`].
#[cfg(not(target_os = "linux"))]
pub fn die_with_parent(_command: &mut Command) {}

nix::ioctl_read_bad!(tiocgwinsz, nix::libc::TIOCGWINSZ, nix::libc::winsize);

/// Columns and rows of the terminal behind `fd`; `None` if it is not a terminal.
pub fn window_size(fd: &impl AsFd) -> Option<(u16, u16)> {
    let mut size = nix::libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the descriptor is open for the length of the call and `size` is a valid `winsize` to
    // write to.
    unsafe { tiocgwinsz(fd.as_fd().as_raw_fd(), &raw mut size) }.ok()?;
    (size.ws_col > 0 && size.ws_row > 0).then_some((size.ws_col, size.ws_row))
}

/// An identifier of this boot of the host; `None` if the host gives none.
pub fn boot_id() -> Option<String> {
    if cfg!(target_os = "macos") {
        return sysctl("kern.bootsessionuuid");
    }
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()
}

/// Memory that is free for machines, in MiB; `None` if the host does not say. macOS does not: half
/// of all its memory is a guess that leaves enough for the rest.
pub fn available_mib() -> Option<u64> {
    if cfg!(target_os = "macos") {
        return sysctl("hw.memsize")?.parse::<u64>().ok().map(|bytes| bytes >> 21);
    }
    let info = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = info.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib / 1024)
}

/// Whether this is Linux. Only there the agent runs, and only there QEMU has a sandbox (seccomp).
pub const IS_LINUX: bool = cfg!(target_os = "linux");

/// The hypervisor of this host's system, whether or not it works.
pub fn hypervisor() -> Accel {
    if cfg!(target_os = "macos") { Accel::Hvf } else { Accel::Kvm }
}

/// A path under which a child of the same user opens exactly `file`, whatever has become of its
/// name.
#[cfg(not(target_os = "macos"))]
pub fn path_of(file: &File) -> PathBuf {
    format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd()).into()
}

/// macOS has no `/proc`: the path that the file has now; empty for a file that was removed.
#[cfg(target_os = "macos")]
pub fn path_of(file: &File) -> PathBuf {
    let mut path = PathBuf::new();
    // Opening an empty path fails with "no such file", which is what happened.
    let _ = nix::fcntl::fcntl(file, nix::fcntl::FcntlArg::F_GETPATH(&mut path));
    path
}

fn sysctl(name: &str) -> Option<String> {
    let output = Command::new("/usr/sbin/sysctl").args(["-n", name]).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
