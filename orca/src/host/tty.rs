//! The user's terminal: its size, raw mode, its input as a stream that can be stopped, and single
//! keys while a run is watched.

use super::sys;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::termios::{self, LocalFlags, SetArg, Termios};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::thread::JoinHandle;

pub use sys::window_size as size;

/// Standard output, for questions about its terminal.
pub fn output() -> io::Stdout {
    io::stdout()
}

/// Whether input comes from a terminal and output goes to one.
pub fn is_mine() -> bool {
    use std::io::IsTerminal;
    io::stdin().is_terminal() && io::stdout().is_terminal()
}

/// A request of the terminal or of a signal to the reporters of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attention {
    /// The window has another size.
    Resized,
    /// The user asks for the status.
    Status,
    /// This process is about to be stopped.
    Suspend,
    /// This process was continued.
    Resumed,
    /// This process is about to die of SIGQUIT.
    Quit,
}

/// Whether this process may redraw the terminal behind `fd`: the process is in the foreground, or
/// this is not its controlling terminal.
pub fn in_foreground(fd: &impl AsFd) -> bool {
    nix::unistd::tcgetpgrp(fd).map_or(true, |group| group == nix::unistd::getpgrp())
}

/// Single keys from standard input, without echo and without waiting for a line. Keys that make
/// signals still do. They are read on the conductor's tick, without a thread. Dropping this
/// restores the terminal; so does a panic.
#[derive(Debug, Default)]
pub struct Keys {
    before: Option<Termios>,
    /// Standard input is not a terminal, or is at its end.
    closed: bool,
}

impl Keys {
    /// The keys pressed since the last call; never waits. There are none while this process is in
    /// the background, where reading would stop it.
    pub fn pressed(&mut self) -> Vec<u8> {
        let stdin = io::stdin();
        let controls = nix::unistd::tcgetpgrp(&stdin) == Ok(nix::unistd::getpgrp());
        if self.closed || !controls || !self.enter() {
            return Vec::new();
        }
        let mut fds = [PollFd::new(stdin.as_fd(), PollFlags::POLLIN)];
        if !matches!(poll(&mut fds, PollTimeout::ZERO), Ok(1..)) {
            return Vec::new();
        }
        let mut keys = vec![0; 64];
        let n = nix::unistd::read(&stdin, &mut keys).unwrap_or(0);
        self.closed = n == 0;
        keys.truncate(n);
        keys
    }

    /// Restores the terminal until the next call of [`Keys::pressed`].
    pub fn leave(&mut self) {
        if let Some(before) = self.before.take() {
            restore(&before);
        }
    }

    fn enter(&mut self) -> bool {
        if self.before.is_some() {
            return true;
        }
        let Ok(before) = termios::tcgetattr(io::stdin()) else {
            self.closed = true;
            return false;
        };
        let mut single = before.clone();
        single.local_flags.remove(LocalFlags::ICANON | LocalFlags::ECHO);
        if termios::tcsetattr(io::stdin(), SetArg::TCSANOW, &single).is_err() {
            self.closed = true;
            return false;
        }
        restore_on_panic(before.clone());
        self.before = Some(before);
        true
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        self.leave();
    }
}

/// Restores the settings. A terminal that is gone needs none.
fn restore(before: &Termios) {
    let _ = termios::tcsetattr(io::stdin(), SetArg::TCSANOW, before);
}

/// Restores the terminal on a panic, since a release build aborts without dropping anything. The
/// hook is installed once: the first settings are the user's.
fn restore_on_panic(before: Termios) {
    static INSTALLED: std::sync::Once = std::sync::Once::new();
    INSTALLED.call_once(|| {
        // `Termios` holds cells, which a hook for all threads may not hold; `libc::termios` is
        // plain data.
        let before = nix::libc::termios::from(before);
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            restore(&Termios::from(before));
            usual(panic);
        }));
    });
}

/// Raw mode of standard input. Dropping this restores the terminal.
#[derive(Debug)]
pub struct RawMode {
    before: Termios,
}

impl RawMode {
    /// Switches standard input to raw mode; `None` if it is not a terminal.
    pub fn enter() -> Option<Self> {
        let stdin = io::stdin();
        let before = termios::tcgetattr(&stdin).ok()?;
        let mut raw = before.clone();
        termios::cfmakeraw(&mut raw);
        termios::tcsetattr(&stdin, SetArg::TCSADRAIN, &raw).ok()?;
        Some(Self { before })
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        // A terminal that is gone needs no restoring.
        let _ = termios::tcsetattr(io::stdin(), SetArg::TCSADRAIN, &self.before);
    }
}

/// A thread that reads standard input. Dropping this ends the thread, even while it waits for a
/// key.
#[derive(Debug)]
pub struct Input {
    stop: Option<UnixStream>,
    thread: Option<JoinHandle<()>>,
}

impl Input {
    /// Calls `take` with each piece that is read, and with an empty one at the end. The thread ends
    /// there, or when `take` returns false.
    ///
    /// # Errors
    /// The host gives no thread or no descriptors.
    pub fn start(mut take: impl FnMut(&[u8]) -> bool + Send + 'static) -> io::Result<Self> {
        let (stop, stopped) = UnixStream::pair()?;
        let thread = std::thread::Builder::new().name("input".into()).spawn(move || {
            let stdin = io::stdin();
            let mut buffer = [0; 4096];
            while sys::readable(&stdin, &stopped) {
                // Reads the descriptor, not the buffered handle: `poll` does not see what is in a
                // buffer.
                let n = nix::unistd::read(&stdin, &mut buffer).unwrap_or(0);
                if !take(&buffer[..n]) || n == 0 {
                    return;
                }
            }
        })?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Input {
    fn drop(&mut self) {
        self.stop = None; // the other end sees it close
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
