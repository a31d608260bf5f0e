//! The requests of a test to its other nodes: from the program `on`, through a socket in the guest,
//! to the host, which runs them.
//!
//! Each `on` gets an id. Its frames go to the host with that id, and the host's answers come back
//! to it.

use super::requests::{self, HOME, REQUESTS_MAX, hang_up};
use crate::connection::Out;
use crate::threads::Threads;
use crate::wire::{self, Kind};
use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::SndBufForce;
use std::collections::HashMap;
use std::io::{self, ErrorKind};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Where `on` connects.
pub(crate) const SOCKET: &str = "/run/orca/on.sock";
/// How many bytes may wait for an `on` to read them: its credit, and what two pipes of the largest
/// size hold when a command ends.
const ROOM: usize = 4 << 20;

/// The requests of all programs `on` in this guest. Clones share them.
#[derive(Clone, Default)]
pub(crate) struct NodeRequests(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// The connection to the host; `None` while there is no host.
    out: Option<Arc<Out>>,
    listens: bool,
    last_id: u32,
    /// The connection to each `on`, by id.
    open: HashMap<u32, UnixStream>,
}

impl NodeRequests {
    /// Makes `on` work, with its requests going to the host at `out`.
    ///
    /// # Errors
    /// The guest has no place for the program or its socket.
    pub(crate) fn open(&self, threads: &Threads, out: &Arc<Out>) -> io::Result<()> {
        let mut state = self.lock();
        state.out = Some(out.clone());
        if state.listens {
            return Ok(());
        }
        requests::link_program(Path::new(HOME), "on")?;
        let (these, own_threads) = (self.clone(), threads.clone());
        requests::listen(threads, Path::new(SOCKET), move |stream| {
            // An `on` that cannot be served sees its connection end.
            _ = these.admit(stream, &own_threads);
        })?;
        state.listens = true;
        Ok(())
    }

    /// Ends every `on`: the host is gone.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.out = None;
        state.open.drain().for_each(|(_, to)| hang_up(&to));
    }

    /// Hands an answer to the `on` with this id, unless it is gone. This never waits: credit is
    /// less than the connection has room for, and an `on` that gives more credit than that is hung
    /// up on.
    pub(crate) fn answer(&self, id: u32, payload: &[u8]) {
        if let (Some((kind, payload)), Some(to)) =
            (wire::unwrap(payload), self.lock().open.get(&id))
            && requests::answer(to, kind, payload).is_err()
        {
            hang_up(to);
        }
    }

    fn admit(&self, stream: UnixStream, threads: &Threads) -> io::Result<()> {
        let mut state = self.lock();
        let refused = match &state.out {
            None => Some("no test is running".to_owned()),
            Some(_) if state.open.len() >= REQUESTS_MAX => {
                Some(format!("{REQUESTS_MAX} commands are running on other nodes already"))
            }
            Some(_) => None,
        };
        let Some(out) = state.out.clone().filter(|_| refused.is_none()) else {
            requests::refuse(&stream, &refused.unwrap_or_default());
            return Ok(());
        };
        state.last_id = state.last_id.wrapping_add(1);
        let id = state.last_id;
        setsockopt(&stream, SndBufForce, &ROOM)?;
        state.open.insert(id, stream.try_clone()?);
        drop(state);
        let these = self.clone();
        threads.run(move || {
            // After an error, `on` is as gone as after its end.
            _ = pass_on(stream, id, &out);
            these.lock().open.remove(&id);
            // A host that is gone, too, need not know.
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
