//! What a test on several nodes asks of the others: a socket in the guest, for the program `on`, and behind it the host.
//!
//! Nothing is run or understood here. Each `on` gets an id, its frames go to the host under that, and what the host answers comes
//! back. The network under test has no part in it.

use crate::connection::Out;
use crate::reply::error_line;
use crate::threads::Threads;
use crate::wire::{self, Kind};
use nix::sys::socket::sockopt::SndBufForce;
use nix::sys::socket::{MsgFlags, send, setsockopt};
use std::collections::HashMap;
use std::fs;
use std::io::{self, ErrorKind, Write};
use std::net::Shutdown;
use std::os::fd::AsRawFd;
use std::os::unix::fs::symlink;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Where `on` connects.
pub(crate) const SOCKET: &str = "/run/orca/on.sock";
/// The folder that has `on` in it.
pub(crate) const PROGRAMS: &str = "/run/orca/bin";
/// The most that run at a time.
const REQUESTS_MAX: usize = 64;
/// What may wait for an `on` to read it, in bytes: its credit, and what two pipes of the largest kind hold when a command ends.
const ROOM: usize = 4 << 20;

/// See the module.
#[derive(Clone, Default)]
pub(crate) struct NodeRequests(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// The host; none between two.
    out: Option<Arc<Out>>,
    listens: bool,
    last: u32,
    /// By id, the connection to each `on`.
    open: HashMap<u32, UnixStream>,
}

impl NodeRequests {
    /// Makes `on` work, for the host at `out`.
    ///
    /// # Errors
    /// The guest has no place for the program or its socket.
    pub(crate) fn open(&self, crew: &Threads, out: &Arc<Out>) -> io::Result<()> {
        let mut state = self.lock();
        state.out = Some(out.clone());
        if state.listens {
            return Ok(());
        }
        fs::create_dir_all(PROGRAMS)?;
        let this = format!("/proc/{}/exe", std::process::id());
        for (place, made) in [(Path::new(PROGRAMS).join("on"), true), (SOCKET.into(), false)] {
            match fs::remove_file(&place) {
                Err(e) if e.kind() != ErrorKind::NotFound => return Err(e),
                _ if made => symlink(&this, place)?,
                _ => {}
            }
        }
        let listener = UnixListener::bind(SOCKET)?;
        let (asks, hands) = (self.clone(), crew.clone());
        crew.run(move || asks.listen(&listener, &hands))?;
        state.listens = true;
        Ok(())
    }

    /// Ends every `on`: the host is gone.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.out = None;
        state.open.drain().for_each(|(_, to)| hang_up(&to));
    }

    /// Hands an answer to the `on` with this id; one that is gone needs none. This never waits: credit is less than its
    /// connection has room for, and an `on` that gives more than it has is hung up on.
    pub(crate) fn answer(&self, id: u32, payload: &[u8]) {
        if let (Some((kind, payload)), Some(to)) =
            (wire::unwrap(payload), self.lock().open.get(&id))
            && wire::write_frame(&mut AtOnce(to), kind, 0, payload).is_err()
        {
            hang_up(to);
        }
    }

    fn listen(&self, listener: &UnixListener, crew: &Threads) {
        for stream in listener.incoming().flatten() {
            // One that cannot be served sees its connection end.
            _ = self.admit(stream, crew);
        }
    }

    fn admit(&self, mut stream: UnixStream, crew: &Threads) -> io::Result<()> {
        let mut state = self.lock();
        let refused = match &state.out {
            None => Some("no test is running".to_owned()),
            Some(_) if state.open.len() >= REQUESTS_MAX => {
                Some(format!("{REQUESTS_MAX} commands are running on other nodes already"))
            }
            Some(_) => None,
        };
        let Some(out) = state.out.clone().filter(|_| refused.is_none()) else {
            let why = error_line(&refused.unwrap_or_default());
            return wire::write_frame(&mut stream, Kind::Reply, 0, why.as_bytes());
        };
        state.last = state.last.wrapping_add(1);
        let id = state.last;
        setsockopt(&stream, SndBufForce, &ROOM)?;
        state.open.insert(id, stream.try_clone()?);
        drop(state);
        let asks = self.clone();
        crew.run(move || {
            // Whatever ended it, it is gone.
            _ = pass_on(stream, id, &out);
            asks.lock().open.remove(&id);
            // A host that is gone as well needs not be told.
            _ = out.frame(Kind::Ask, id, &wire::wrap(Kind::Command, b""));
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn pass_on(mut from: UnixStream, id: u32, out: &Out) -> io::Result<()> {
    while let Some(frame) = wire::read_frame(&mut from)? {
        let passes = matches!(frame.kind, Kind::Command | Kind::Stdin | Kind::Credit);
        if !passes || frame.payload.len() > wire::WRAPPED_MAX {
            return Err(ErrorKind::InvalidData.into());
        }
        out.frame(Kind::Ask, id, &wire::wrap(frame.kind, &frame.payload))?;
    }
    Ok(())
}

/// Wakes whoever reads from it, here and there.
fn hang_up(stream: &UnixStream) {
    _ = stream.shutdown(Shutdown::Both);
}

/// Writes what there is room for now, and fails where there is none.
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
