//! Lets several callers use one guest: a socket in the run's private folder, behind which every
//! caller seems to have an agent to itself.
//!
//! The agent's port takes one host, and that is orca. So orca passes frames on: the request ids of
//! a caller get the caller's number in their upper half, and the answers are sorted by it. A caller
//! cannot end the machine, and the commands that it leaves running are cancelled. The socket is
//! served only while the orca that holds the machine lives.

use super::client::Writer;
use crate::host::{rundir, sys};
use agent::wire::{self, Command, Frame, Kind, Request};
use crossbeam::channel::{Receiver, Sender, bounded, select};
use std::collections::HashMap;
use std::convert::Infallible;
use std::fs;
use std::io::{self, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// How long a caller may leave what it is sent unread before it is disconnected.
const READ_LIMIT: Duration = Duration::from_secs(10);
/// The bits of an id that are the caller's own.
const OWN_BITS: u32 = 16;
/// The most callers at a time.
const CALLERS_MAX: usize = 32;
/// The most commands, tests and shells that one caller may start.
const REQUESTS_MAX: usize = 4096;

/// An open mux. Dropping it disconnects every caller and removes the socket.
#[derive(Debug)]
pub struct Mux {
    path: PathBuf,
    callers: Callers,
    stop: Option<(Sender<Infallible>, UnixStream)>,
    threads: Vec<JoinHandle<()>>,
}

/// The connected callers, by number.
type Callers = Arc<Mutex<HashMap<u32, UnixStream>>>;

impl Mux {
    /// Opens a mux at `path` for the guest with this `inbox` and this `writer`. Nothing else may
    /// read from the inbox.
    ///
    /// # Errors
    /// The path cannot be a socket, or the host gives no thread.
    pub fn open(path: &Path, inbox: Receiver<Frame>, writer: Writer) -> io::Result<Self> {
        let listener = UnixListener::bind(path)?;
        let callers = Callers::default();
        let (stop, stopped) = bounded(0);
        let (hang_up, hung_up) = UnixStream::pair()?;
        let mut mux = Self {
            path: path.to_owned(),
            callers: Arc::clone(&callers),
            stop: Some((stop, hang_up)),
            threads: Vec::new(),
        };
        let routed = Arc::clone(&callers);
        mux.start("mux-router", move || route(&inbox, &stopped, &routed))?;
        mux.start("mux-listener", move || admit(&listener, &hung_up, &callers, &writer))?;
        Ok(mux)
    }

    /// Opens a mux for the machine called `name` in `run_dir`, where `orca shell` finds it; `about`
    /// is its line in the list of `orca shell`.
    ///
    /// # Errors
    /// As [`Mux::open`], or the folder cannot be written to.
    pub fn open_in(
        run_dir: &Path,
        name: &str,
        about: &str,
        inbox: Receiver<Frame>,
        writer: Writer,
    ) -> io::Result<Self> {
        let path = run_dir.join(format!("{name}.{}", rundir::SHELL_SOCKET));
        fs::write(path.with_extension("about"), about)?;
        Self::open(&path, inbox, writer)
    }

    /// The socket where callers connect.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn start(&mut self, name: &str, body: impl FnOnce() + Send + 'static) -> io::Result<()> {
        self.threads.push(std::thread::Builder::new().name(name.into()).spawn(body)?);
        Ok(())
    }
}

impl Drop for Mux {
    fn drop(&mut self) {
        self.stop = None; // ends both threads; the listener's joins the callers'
        hang_up(&self.callers);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
        // If it stays, it is in a folder that is removed with the run.
        let _ = std::fs::remove_file(&self.path);
    }
}

fn lock(callers: &Callers) -> MutexGuard<'_, HashMap<u32, UnixStream>> {
    callers.lock().unwrap_or_else(PoisonError::into_inner)
}

fn hang_up(callers: &Callers) {
    for (_, stream) in lock(callers).drain() {
        // The caller may be gone already.
        let _ = stream.shutdown(std::net::Shutdown::Both);
    }
}

/// Sorts the guest's frames by caller. Ends with the guest or with the mux.
fn route(inbox: &Receiver<Frame>, stopped: &Receiver<Infallible>, callers: &Callers) {
    loop {
        let frame = select! {
            recv(inbox) -> frame => frame,
            recv(stopped) -> _ => return,
        };
        let Ok(frame) = frame else {
            return hang_up(callers);
        };
        let (number, own) = (frame.id >> OWN_BITS, frame.id & ((1 << OWN_BITS) - 1));
        let stream = lock(callers).get(&number).and_then(|stream| stream.try_clone().ok());
        if let Some(mut stream) = stream
            && wire::write_frame(&mut stream, frame.kind, own, &frame.payload).is_err()
        {
            let _ = stream.shutdown(std::net::Shutdown::Both);
        }
    }
}

/// Accepts callers until the mux closes, and waits for the last to leave.
fn admit(listener: &UnixListener, hung_up: &UnixStream, callers: &Callers, writer: &Writer) {
    let mut threads: Vec<JoinHandle<()>> = Vec::new();
    for number in 1.. {
        if !sys::readable(listener, hung_up) || number >> OWN_BITS != 0 {
            break;
        }
        threads.retain(|thread| !thread.is_finished());
        let Ok((stream, _)) = listener.accept() else { continue };
        if threads.len() >= CALLERS_MAX {
            continue; // dropping the stream disconnects the caller
        }
        let (callers, writer) = (Arc::clone(callers), writer.clone());
        let serve = move || {
            // The end is the same for a caller that breaks the rules and for one that leaves.
            let _ = converse(stream, number, &callers, &writer);
            lock(&callers).remove(&number);
        };
        threads.extend(std::thread::Builder::new().name(format!("caller-{number}")).spawn(serve));
    }
    hang_up(callers);
    threads.into_iter().for_each(|thread| drop(thread.join()));
}

/// Serves one caller, from its connecting to its leaving.
fn converse(
    mut stream: UnixStream,
    number: u32,
    callers: &Callers,
    writer: &Writer,
) -> io::Result<()> {
    stream.set_write_timeout(Some(READ_LIMIT))?;
    stream.write_all(format!("{}\n", wire::HELLO).as_bytes())?;
    let mut line = [0; 7];
    stream.read_exact(&mut line)?;
    if &line != b"FRAMES\n" {
        return stream.write_all(b"ERR only FRAMES here\n");
    }
    stream.write_all(format!("{}\n", wire::OK).as_bytes())?;
    lock(callers).insert(number, stream.try_clone()?);
    let mut started = Vec::new();
    let ended = pass_on(BufReader::new(stream), number, writer, &mut started);
    for id in started {
        // A command that has ended is answered with an error, which nobody reads.
        let cancel = Request::new(Command::Cancel(id)).encode();
        writer.send(Kind::Command, CANCELS | number << OWN_BITS, &cancel)?;
    }
    ended
}

/// The lower half of the id of cancels. No request of a caller has it, so answers to it come to
/// nothing.
const CANCELS: u32 = (1 << OWN_BITS) - 1;

fn pass_on(
    mut input: impl Read,
    number: u32,
    writer: &Writer,
    started: &mut Vec<u32>,
) -> io::Result<()> {
    let full_id = |own: u32| number << OWN_BITS | own & CANCELS;
    while let Some(frame) = wire::read_frame(&mut input)? {
        let id = full_id(frame.id);
        if frame.kind != Kind::Command {
            writer.send(frame.kind, id, &frame.payload)?;
            continue;
        }
        let Ok(mut request) = Request::decode(&frame.payload) else { return Ok(()) };
        match &mut request.command {
            Command::Exit | Command::Resume(_) => return Ok(()), // the machine is not the caller's
            Command::Cancel(own) => *own = full_id(*own),
            Command::Exec(_) | Command::Test(_) | Command::Shell => {
                if started.len() >= REQUESTS_MAX {
                    return Ok(());
                }
                started.push(id);
            }
            _ => {}
        }
        writer.send(Kind::Command, id, &request.encode())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guest::client::Guest;
    use crossbeam::channel::never;
    use std::io::BufRead;
    use std::time::Instant;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(20)
    }

    /// An agent that answers `EXEC` with the end line at once, never ends a `SHELL`, and reports
    /// each cancel.
    fn agent(cancelled: Sender<u32>) -> UnixStream {
        let (ours, theirs) = UnixStream::pair().unwrap();
        std::thread::spawn(move || {
            let mut out = theirs.try_clone().unwrap();
            let mut input = BufReader::new(theirs);
            out.write_all(b"HELLO AGENT_v1\n").unwrap();
            input.read_line(&mut String::new()).unwrap();
            out.write_all(b"OK\n").unwrap();
            while let Ok(Some(frame)) = wire::read_frame(&mut input) {
                let reply = match Request::decode(&frame.payload).unwrap().command {
                    Command::Exec(_) => wire::Ended::default().exec_line(),
                    Command::Cancel(id) => {
                        let _ = cancelled.send(id);
                        continue;
                    }
                    _ => continue,
                };
                wire::write_frame(&mut out, Kind::Reply, frame.id, reply.as_bytes()).unwrap();
            }
        });
        ours
    }

    #[test]
    fn callers_get_their_own_answers_and_what_they_leave_is_cancelled() {
        let dir = nix::unistd::mkdtemp(&std::env::temp_dir().join("orca-mux-XXXXXX")).unwrap();
        let (cancelled, cancels) = bounded(8);
        let guest = Guest::connect(agent(cancelled), soon(), &never()).unwrap();
        let path = dir.join("vm1.shell");
        let mux = Mux::open(&path, guest.inbox().clone(), guest.writer()).unwrap();
        let call =
            || Guest::connect(UnixStream::connect(&path).unwrap(), soon(), &never()).unwrap();
        let (mut one, mut two) = (call(), call());
        for _ in 0..3 {
            assert_eq!(one.exec("x", soon()).unwrap().exit, 0);
            assert_eq!(two.exec("x", soon()).unwrap().exit, 0);
        }
        one.send(&Request::new(Command::Shell)).unwrap();
        drop(one);
        let all: Vec<u32> = (0..4).map(|_| cancels.recv().unwrap()).collect();
        assert!(all.iter().all(|id| id >> OWN_BITS == all[0] >> OWN_BITS), "{all:?}");
        two.send(&Request::new(Command::Exit)).unwrap();
        assert!(two.inbox().recv().is_err(), "a caller may not send EXIT");
        let mut three = call();
        assert_eq!(three.exec("x", soon()).unwrap().exit, 0);
        drop(mux);
        assert!(three.inbox().recv().is_err());
        assert!(!path.exists());
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
