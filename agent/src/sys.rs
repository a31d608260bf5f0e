//! The system calls that have no safe wrapper, and nothing else. All `unsafe` code of this crate is
//! here.

use nix::libc;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitStatus};

/// What a child does between fork and exec, besides becoming the leader of a session of its own.
#[derive(Default)]
pub(crate) struct ChildSetup {
    /// An open `cgroup.procs` that the child enters.
    pub(crate) cgroup: Option<OwnedFd>,
    /// Whether the child's standard input becomes its controlling terminal.
    pub(crate) terminal: bool,
    /// What to write to its `oom_score_adj`.
    pub(crate) oom_score: Option<&'static [u8]>,
    /// Whether it is killed when the thread that spawned it ends. Of no use in PID 1.
    pub(crate) dies_with_parent: bool,
}

/// Gives `command`'s child a session, default signal dispositions, umask 022 and what `setup` asks
/// for.
pub(crate) fn set_up_child(command: &mut Command, setup: ChildSetup) {
    let body = move || {
        // SAFETY: only async-signal-safe calls, on values captured before the fork.
        unsafe {
            libc::setsid();
            for signal in 1..=64 {
                libc::signal(signal, libc::SIG_DFL);
            }
            libc::umask(0o022);
            if setup.dies_with_parent {
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            }
            if let Some(score) = setup.oom_score {
                let path = c"/proc/self/oom_score_adj".as_ptr();
                let fd = libc::open(path, libc::O_WRONLY | libc::O_CLOEXEC);
                libc::write(fd, score.as_ptr().cast(), score.len());
                libc::close(fd);
            }
            if setup.terminal && libc::ioctl(0, libc::TIOCSCTTY, 0) < 0 {
                return Err(io::Error::last_os_error());
            }
            if let Some(procs) = &setup.cgroup
                && libc::write(procs.as_raw_fd(), c"0".as_ptr().cast(), 1) < 0
            {
                return Err(io::Error::last_os_error());
            }
        }
        Ok(())
    };
    // SAFETY: `body` neither allocates nor locks, and touches no memory that another thread could
    // be changing.
    unsafe { command.pre_exec(body) };
}

/// Returns the id of a child that has ended, without reaping it. Blocks until there is one.
///
/// # Errors
/// `ECHILD` if there is no child at all.
pub(crate) fn peek_ended_child() -> io::Result<i32> {
    // nix's `waitid` and `waitpid` fail with EINVAL for a child that a real-time signal killed.
    // SAFETY: an all-zero siginfo_t is a valid one, and the kernel fills it in.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    let flags = libc::WEXITED | libc::WNOWAIT;
    // SAFETY: `info` outlives the call.
    if unsafe { libc::waitid(libc::P_ALL, 0, &mut info, flags) } < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: waitid succeeded, so that the child fields are the ones in use.
    Ok(unsafe { info.si_pid() })
}

/// Reaps child `pid` if it has ended and nobody has reaped it yet.
pub(crate) fn reap(pid: i32) -> Option<ExitStatus> {
    let mut raw = 0;
    // SAFETY: `raw` outlives the call.
    let got = unsafe { libc::waitpid(pid, &mut raw, libc::WNOHANG) };
    (got == pid).then(|| std::os::unix::process::ExitStatusExt::from_raw(raw))
}

/// Makes all threads share one heap. By default, glibc gives each thread its own, by code that a
/// copy under emulation would run for the first time.
#[cfg(target_env = "gnu")]
pub(crate) fn one_heap() {
    // SAFETY: a plain call that sets a number.
    unsafe { libc::mallopt(libc::M_ARENA_MAX, 1) };
}

/// Does nothing: other C libraries have one heap anyway.
#[cfg(not(target_env = "gnu"))]
pub(crate) fn one_heap() {}

/// Lets SIGPIPE end this process, as it ends others. Rust's runtime ignores it, and a program that
/// this process executes would inherit that.
pub(crate) fn default_sigpipe() {
    // SAFETY: this program has no handler that it would replace.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
}

/// Takes ownership of file descriptor `fd`, if it is open.
pub(crate) fn take_fd(fd: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: plain system calls on a number.
    if unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) } < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it is open, and the command line gives it to this process.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Sets the size of the terminal at `fd`. The kernel sends SIGWINCH to its foreground processes.
pub(crate) fn set_window(fd: BorrowedFd<'_>, rows: u16, columns: u16) {
    let size = libc::winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: `size` outlives the call.
    unsafe { libc::ioctl(fd.as_raw_fd(), libc::TIOCSWINSZ, &size) };
}

fn name_interface(request: &mut libc::ifreq, name: &[u8]) {
    // The last byte stays zero.
    for (to, from) in request.ifr_name.iter_mut().take(libc::IFNAMSIZ - 1).zip(name) {
        *to = *from as libc::c_char;
    }
}

/// Sets the Ethernet address of the network interface called `name`.
pub(crate) fn set_mac(name: &[u8], mac: [u8; 6]) -> io::Result<()> {
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
    let socket = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
    // SAFETY: an all-zero ifreq is a valid one.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    name_interface(&mut request, name);
    let mut address = libc::sockaddr { sa_family: libc::ARPHRD_ETHER, sa_data: [0; 14] };
    for (to, from) in address.sa_data.iter_mut().zip(mac) {
        *to = from as libc::c_char;
    }
    request.ifr_ifru.ifru_hwaddr = address;
    // SAFETY: `request` outlives the call; the address member is what it reads.
    if unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFHWADDR as libc::Ioctl, &request) } < 0
    {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Brings the network interface `lo` up, without an `ip` program.
pub(crate) fn loopback_up() -> io::Result<()> {
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
    let socket = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
    // SAFETY: an all-zero ifreq is a valid one.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    name_interface(&mut request, b"lo");
    // SAFETY: `request` outlives both calls; the flags member is what both of them use.
    unsafe {
        if libc::ioctl(socket.as_raw_fd(), libc::SIOCGIFFLAGS as libc::Ioctl, &mut request) < 0 {
            return Err(io::Error::last_os_error());
        }
        request.ifr_ifru.ifru_flags |= libc::IFF_UP as libc::c_short;
        if libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS as libc::Ioctl, &request) < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// Feeds `seed` to the kernel's random pool, with full credit, and makes the generator reseed at
/// once. `random` is `/dev/urandom`.
pub(crate) fn add_entropy(random: BorrowedFd<'_>, seed: &[u8]) -> io::Result<()> {
    nix::ioctl_write_ptr_bad!(add, nix::request_code_write!(b'R', 3, 8), u32);
    nix::ioctl_none!(reseed, b'R', 7);
    // struct rand_pool_info: entropy in bits, size in bytes, the bytes padded to words.
    let mut info = vec![8 * seed.len() as u32, seed.len() as u32];
    info.extend(seed.chunks(4).map(|chunk| {
        let mut word = [0; 4];
        word[..chunk.len()].copy_from_slice(chunk);
        u32::from_ne_bytes(word)
    }));
    // SAFETY: `info` has the layout that the kernel reads, for at least the size it states.
    unsafe {
        add(random.as_raw_fd(), info.as_ptr())?;
        reseed(random.as_raw_fd())?;
    }
    Ok(())
}
