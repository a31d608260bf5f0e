//! What a test on several nodes asks of the others: a socket in the guest, for the program `on`, and behind it the host.
//!
//! Nothing is run or understood here. Each `on` gets an id, its frames go to the host under that, and what the host answers comes
//! back. The network under test has no part in it.

use std::collections::HashMap;
use std::fs;
use std::io::{self, ErrorKind};
use std::net::Shutdown;
use std::os::unix::fs::symlink;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::crew::Crew;
use crate::link::Out;
use crate::reply::error_line;
use crate::wire::{self, Kind};

/// Where `on` connects.
pub(crate) const SOCKET: &str = "/run/orca/on.sock";
/// The folder that has `on` in it.
pub(crate) const PROGRAMS: &str = "/run/orca/bin";
/// The most that run at a time.
const ASKS_MAX: usize = 64;

/// See the module.
#[derive(Clone, Default)]
pub(crate) struct Asks(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// The host; none between two.
    out: Option<Arc<Out>>,
    listens: bool,
    last: u32,
    /// What waits for an `on` to read it. How much that can be is bounded by the credit that it gives.
    open: HashMap<u32, Sender<(Kind, Vec<u8>)>>,
}

impl Asks {
    /// Makes `on` work, for the host at `out`.
    ///
    /// # Errors
    /// The guest has no place for the program or its socket.
    pub(crate) fn open(&self, crew: &Crew, out: &Arc<Out>) -> io::Result<()> {
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
        state.open.clear();
    }

    /// Hands an answer to the `on` with this id. One that is gone needs none.
    pub(crate) fn answer(&self, id: u32, payload: &[u8]) {
        if let (Some((kind, payload)), Some(to)) =
            (wire::unwrap(payload), self.lock().open.get(&id))
        {
            _ = to.send((kind, payload.to_vec()));
        }
    }

    fn listen(&self, listener: &UnixListener, crew: &Crew) {
        for stream in listener.incoming().flatten() {
            // One that cannot be served sees its connection end.
            _ = self.admit(stream, crew);
        }
    }

    fn admit(&self, mut stream: UnixStream, crew: &Crew) -> io::Result<()> {
        let mut state = self.lock();
        let refused = match &state.out {
            None => Some("no test is running".to_owned()),
            Some(_) if state.open.len() >= ASKS_MAX => {
                Some(format!("{ASKS_MAX} commands are running on other nodes already"))
            }
            Some(_) => None,
        };
        let Some(out) = state.out.clone().filter(|_| refused.is_none()) else {
            let why = error_line(&refused.unwrap_or_default());
            return wire::write_frame(&mut stream, Kind::Reply, 0, why.as_bytes());
        };
        state.last = state.last.wrapping_add(1);
        let id = state.last;
        let (answers, waiting) = channel();
        state.open.insert(id, answers);
        drop(state);
        let back = stream.try_clone()?;
        let asks = self.clone();
        crew.run(move || write_answers(back, &waiting))?;
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

fn write_answers(mut to: UnixStream, answers: &Receiver<(Kind, Vec<u8>)>) {
    for (kind, payload) in answers {
        if wire::write_frame(&mut to, kind, 0, &payload).is_err() {
            break;
        }
    }
    // Wakes whoever reads from it, here and there.
    _ = to.shutdown(Shutdown::Both);
}
