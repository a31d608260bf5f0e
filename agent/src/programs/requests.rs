//! How a program that a test calls reaches the agent: where it lies, its socket, and the frames
//! that go back to it.
//!
//! Nothing is run or understood here, and the network under test has no part in this.

use crate::reply::error_line;
use crate::threads::Threads;
use crate::wire::{self, Kind};
use nix::sys::socket::{MsgFlags, send};
use std::fs;
use std::io::{self, ErrorKind, Write};
use std::net::Shutdown;
use std::os::fd::AsRawFd;
use std::os::unix::fs::symlink;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

/// Where sockets lie in a machine, and the folder with the programs.
pub(crate) const HOME: &str = "/run/orca";
/// How many requests of one kind may be open at a time.
pub(super) const REQUESTS_MAX: usize = 64;

/// The folder with the programs in `home`.
pub(crate) fn programs_in(home: &Path) -> PathBuf {
    home.join("bin")
}

/// Makes this program one that is called `name`, in `home`.
///
/// # Errors
/// There is no place for it.
pub(super) fn link_program(home: &Path, name: &str) -> io::Result<()> {
    let folder = programs_in(home);
    fs::create_dir_all(&folder)?;
    let place = folder.join(name);
    remove(&place)?;
    symlink(this_program(), place)
}

/// The path of the program that this process runs, as long as this process lives.
pub(super) fn this_program() -> String {
    format!("/proc/{}/exe", std::process::id())
}

/// Listens at `socket` from now on. `admit` gets each connection, on one thread.
///
/// # Errors
/// There is no place for the socket, or no thread.
pub(super) fn listen(
    threads: &Threads,
    socket: &Path,
    admit: impl Fn(UnixStream) + Send + 'static,
) -> io::Result<()> {
    remove(socket)?;
    let listener = UnixListener::bind(socket)?;
    threads.run(move || listener.incoming().flatten().for_each(admit))
}

fn remove(place: &Path) -> io::Result<()> {
    match fs::remove_file(place) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

/// Refuses a program's request.
pub(super) fn refuse(program: &UnixStream, why: &str) {
    // A program that is gone need not know.
    _ = answer(program, Kind::Reply, error_line(why).as_bytes());
}

/// Sends a frame to a program, as far as there is room for it. This never waits.
///
/// # Errors
/// There was no room, or the program is gone.
pub(super) fn answer(program: &UnixStream, kind: Kind, payload: &[u8]) -> io::Result<()> {
    wire::write_frame(&mut AtOnce(program), kind, 0, payload)
}

/// Ends the connection, which wakes its readers at both ends.
pub(super) fn hang_up(program: &UnixStream) {
    _ = program.shutdown(Shutdown::Both);
}

/// Writes as much as there is room for, and fails instead of waiting for more.
struct AtOnce<'a>(&'a UnixStream);

impl Write for AtOnce<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
        send(self.0.as_raw_fd(), bytes, flags).map_err(Into::into)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_knows_where_the_programs_are() {
        assert_eq!(programs_in(Path::new(HOME)), Path::new(wire::PROGRAMS_DIR));
    }
}
