//! The host's end of the agent's port: it connects, switches to frames, and passes every frame on
//! to a channel.
//!
//! One thread reads. It ends when its peer closes; its channel then disconnects, and that is how
//! the loss of a guest is noticed. Reads have no timeouts: waiting, with deadlines, happens on the
//! channel.

use crate::host::clock;
use agent::wire::{self, Command, Ended, Frame, Kind, Request};
use crossbeam::channel::{Receiver, Sender, bounded, select};
use std::convert::Infallible;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How many frames, each of up to 64 KiB, may wait for the worker. After that the guest's writes
/// block, which bounds memory.
const INBOX_FRAMES: usize = 32;
/// How long a write to the guest may block before the guest counts as lost.
const WRITE_LIMIT: Duration = Duration::from_secs(30);
/// How much junk before the first `HELLO` is ignored, in bytes.
const JUNK_MAX: usize = 64 * 1024;

/// The writing end of a connection. Any thread may use it: frames of several threads never
/// interleave.
#[derive(Clone, Debug)]
pub struct Writer(Arc<Mutex<UnixStream>>);

impl Writer {
    /// Sends one frame.
    ///
    /// # Errors
    /// The stream has ended, or the guest does not read.
    pub fn send(&self, kind: Kind, id: u32, payload: &[u8]) -> io::Result<()> {
        let mut stream = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        wire::write_frame(&mut *stream, kind, id, payload)
    }
}

/// A connected agent that speaks frames.
#[derive(Debug)]
pub struct Guest {
    stream: UnixStream,
    writer: Writer,
    inbox: Receiver<Frame>,
    stop: Receiver<Infallible>,
    reader: Option<JoinHandle<()>>,
    last_id: u32,
    /// Whether frames of other requests are kept while an answer is waited for.
    keeps: bool,
    /// Those frames.
    kept: Vec<Frame>,
    /// The beginning of a frame of which no more came.
    torn: Arc<Mutex<Vec<u8>>>,
}

/// A conversation with an agent that was frozen in the middle of it.
#[derive(Clone, Debug, Default)]
pub struct Conversation {
    /// The id of the last request.
    pub last_id: u32,
    /// What the agent said that nobody has heard yet.
    pub unheard: Vec<Frame>,
    /// The beginning of the frame that the agent was saying.
    pub torn: Vec<u8>,
}

impl Guest {
    /// Waits for the agent's `HELLO` and switches to frames. All waiting here and in [`Guest::ask`]
    /// ends when `stop` closes. Deadlines are times of [`clock::now`].
    ///
    /// # Errors
    /// `TimedOut` at the deadline, `UnexpectedEof` when the peer closes, `InvalidData` when the
    /// peer is no agent, `Interrupted` when stopped.
    pub fn connect(
        stream: UnixStream,
        deadline: Instant,
        stop: &Receiver<Infallible>,
    ) -> io::Result<Self> {
        let mut guest = Self::new(stream, stop, Vec::new(), read_greeting)?;
        guest.expect(wire::HELLO, deadline)?;
        guest.stream.write_all(b"FRAMES\n")?;
        guest.expect(wire::OK, deadline)?;
        Ok(guest)
    }

    /// Continues `conversation` with the agent of a copy, which takes this host for the one that it
    /// had. What is sent before the agent wakes is the first thing that it finds. If anything was
    /// being said, frames of all requests are kept for [`Guest::take_kept`] while an answer is
    /// waited for.
    ///
    /// # Errors
    /// An error of the stream, or no more threads.
    pub fn go_on(
        stream: UnixStream,
        conversation: Conversation,
        stop: &Receiver<Infallible>,
    ) -> io::Result<Self> {
        let Conversation { last_id, unheard, torn } = conversation;
        let mut guest = Self::new(stream, stop, torn, read_frames)?;
        guest.keeps = last_id > 0; // nobody has asked a template for anything
        (guest.last_id, guest.kept) = (last_id, unheard);
        Ok(guest)
    }

    /// Asks for one sign of life, so that the agent has heard all that was sent before, and keeps
    /// what it says meanwhile.
    ///
    /// # Errors
    /// As [`Guest::ask`].
    pub fn hush(&mut self, deadline: Instant) -> io::Result<()> {
        self.keeps = true;
        self.ask(Command::Ping, deadline).map(|_| ())
    }

    /// The conversation up to the end of the stream, which must be near: the machine is gone.
    pub fn conclude(&mut self) -> Conversation {
        let mut unheard = std::mem::take(&mut self.kept);
        unheard.extend(self.inbox.iter());
        if let Some(reader) = self.reader.take() {
            // A reader that panicked has read nothing torn.
            let _ = reader.join();
        }
        let torn = std::mem::take(&mut *self.torn.lock().unwrap_or_else(PoisonError::into_inner));
        Conversation { last_id: self.last_id, unheard, torn }
    }

    /// The frames that came while an answer was waited for.
    pub fn take_kept(&mut self) -> Vec<Frame> {
        std::mem::take(&mut self.kept)
    }

    fn new(
        stream: UnixStream,
        stop: &Receiver<Infallible>,
        torn: Vec<u8>,
        read: fn(Input, &Sender<Frame>) -> Vec<u8>,
    ) -> io::Result<Self> {
        stream.set_write_timeout(Some(WRITE_LIMIT))?;
        let (frames, inbox) = bounded(INBOX_FRAMES);
        let input = io::Cursor::new(torn).chain(stream.try_clone()?);
        let reader = std::thread::Builder::new().name("agent".into());
        let torn = Arc::new(Mutex::new(Vec::new()));
        let rest = Arc::clone(&torn);
        let work = move || {
            let read = read(input, &frames);
            *rest.lock().unwrap_or_else(PoisonError::into_inner) = read;
        };
        let reader = Some(reader.spawn(work)?);
        let writer = Writer(Arc::new(Mutex::new(stream.try_clone()?)));
        let (stop, kept) = (stop.clone(), Vec::new());
        Ok(Self { stream, writer, inbox, stop, reader, last_id: 0, keeps: false, kept, torn })
    }

    /// Every frame from the agent, in order; disconnected once the guest is lost.
    pub fn inbox(&self) -> &Receiver<Frame> {
        &self.inbox
    }

    /// Sends a request and returns its id.
    ///
    /// # Errors
    /// The stream has ended, or the guest does not read.
    pub fn send(&mut self, request: &Request) -> io::Result<u32> {
        self.last_id = self.last_id.wrapping_add(1).max(1);
        self.writer.send(Kind::Command, self.last_id, &request.encode())?;
        Ok(self.last_id)
    }

    /// Sends a request that has one reply line and returns that line. Frames of other requests that
    /// arrive in between are dropped, so use this only when nothing else runs.
    ///
    /// # Errors
    /// `Other` with the agent's reason when it answers `ERR`; else as [`Guest::connect`].
    pub fn ask(&mut self, command: Command, deadline: Instant) -> io::Result<String> {
        let id = self.send(&Request::new(command))?;
        self.answer(id, deadline)
    }

    /// Waits for the one reply line to the request with this id. Frames of other requests are
    /// dropped, as in [`Guest::ask`].
    ///
    /// # Errors
    /// As [`Guest::ask`].
    pub fn answer(&mut self, id: u32, deadline: Instant) -> io::Result<String> {
        loop {
            let frame = self.receive(deadline)?;
            if frame.id == id && frame.kind == Kind::Reply {
                let line = String::from_utf8_lossy(&frame.payload).into_owned();
                return match line.strip_prefix(wire::ERR) {
                    Some(why) => Err(io::Error::other(why.to_owned())),
                    None => Ok(line),
                };
            }
            if self.keeps {
                self.kept.push(frame);
            }
        }
    }

    /// Runs a command whose output does not matter, and returns how it ended.
    ///
    /// # Errors
    /// As [`Guest::ask`].
    pub fn exec(&mut self, line: &str, deadline: Instant) -> io::Result<Ended> {
        let id = self.send(&Request::new(Command::Exec(line.into())))?;
        loop {
            if let Some(ended) = Ended::parse(&self.answer(id, deadline)?) {
                return Ok(ended);
            }
        }
    }

    /// A handle for writing, for a thread that forwards a person's input.
    pub fn writer(&self) -> Writer {
        self.writer.clone()
    }

    fn expect(&mut self, line: &str, deadline: Instant) -> io::Result<()> {
        let frame = self.receive(deadline)?;
        if frame.payload == line.as_bytes() {
            return Ok(());
        }
        let got = frame.payload.escape_ascii();
        Err(io::Error::new(io::ErrorKind::InvalidData, format!("expected `{line}`, got `{got}`")))
    }

    fn receive(&mut self, deadline: Instant) -> io::Result<Frame> {
        let left = deadline.saturating_duration_since(clock::now());
        let late = || io::Error::new(io::ErrorKind::TimedOut, "the agent did not answer in time");
        // A peer that sends all the time keeps the inbox ready, and `select!` would never take its
        // default branch.
        if left.is_zero() {
            return Err(late());
        }
        select! {
            recv(self.inbox) -> frame => frame.map_err(|_| io::ErrorKind::UnexpectedEof.into()),
            recv(self.stop) -> _ => Err(io::ErrorKind::Interrupted.into()),
            default(left) => Err(late()),
        }
    }
}

impl Drop for Guest {
    /// Closes the stream, which ends the reader. The inbox is dropped, so that the reader is not
    /// stuck in a full one.
    fn drop(&mut self) {
        let _ = self.stream.shutdown(std::net::Shutdown::Both);
        self.inbox = crossbeam::channel::never();
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}

/// What an agent says, after what it had begun to say before.
type Input = io::Chain<io::Cursor<Vec<u8>>, UnixStream>;

/// Reads two lines of text (`HELLO`, then the answer to `FRAMES`), each passed on as a reply, and
/// then frames until the end.
fn read_greeting(mut input: Input, frames: &Sender<Frame>) -> Vec<u8> {
    let reply = |payload| Frame { kind: Kind::Reply, id: 0, payload };
    let Some(hello) = read_line_where(&mut input, |line| line == wire::HELLO.as_bytes()) else {
        return Vec::new();
    };
    if frames.send(reply(hello)).is_err() {
        return Vec::new();
    }
    // A port that was opened twice in quick succession may hold a second HELLO.
    let Some(ok) = read_line_where(&mut input, |line| line != wire::HELLO.as_bytes()) else {
        return Vec::new();
    };
    if frames.send(reply(ok)).is_ok() { read_frames(input, frames) } else { Vec::new() }
}

/// Reads frames until the end, and returns the beginning of the one that was not complete.
fn read_frames(input: Input, frames: &Sender<Frame>) -> Vec<u8> {
    let from = io::BufReader::with_capacity(wire::PAYLOAD_MAX, input);
    let mut input = Remembering { from, bytes: Vec::new() };
    while let Ok(Some(frame)) = wire::read_frame(&mut input) {
        input.bytes.clear();
        if frames.send(frame).is_err() {
            break;
        }
    }
    input.bytes
}

/// Remembers what was read of the current frame.
struct Remembering<R> {
    from: R,
    bytes: Vec<u8>,
}

impl<R: Read> Read for Remembering<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.from.read(into)?;
        self.bytes.extend_from_slice(&into[..count]);
        Ok(count)
    }
}

/// The first line that `wanted` accepts, without its line end; `None` at the end of the stream or
/// after too much junk. It reads byte by byte, because what follows the line is not text.
fn read_line_where(input: &mut Input, wanted: impl Fn(&[u8]) -> bool) -> Option<Vec<u8>> {
    let mut line = Vec::new();
    for _ in 0..JUNK_MAX {
        let mut byte = [0];
        input.read_exact(&mut byte).ok()?;
        if byte[0] != b'\n' {
            line.push(byte[0]);
            continue;
        }
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        if wanted(&line) {
            return Some(line);
        }
        line.clear();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crossbeam::channel::never;
    use std::io::{BufRead, BufReader};

    fn connect(stream: UnixStream, deadline: Instant) -> io::Result<Guest> {
        Guest::connect(stream, deadline, &never())
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(10)
    }

    /// An agent that says `greeting`, accepts `FRAMES`, and answers one request with `reply`.
    fn scripted(greeting: &'static str, reply: &'static str) -> UnixStream {
        let (ours, theirs) = UnixStream::pair().unwrap();
        std::thread::spawn(move || {
            let mut out = theirs.try_clone().unwrap();
            let mut input = BufReader::new(theirs);
            out.write_all(greeting.as_bytes()).unwrap();
            let mut line = String::new();
            input.read_line(&mut line).unwrap();
            assert_eq!(line, "FRAMES\n");
            out.write_all(b"OK\n").unwrap();
            let frame = wire::read_frame(&mut input).unwrap().unwrap();
            wire::write_frame(&mut out, Kind::Stdout, 99, b"of another").unwrap();
            wire::write_frame(&mut out, Kind::Reply, frame.id, reply.as_bytes()).unwrap();
        });
        ours
    }

    #[test]
    fn a_request_gets_its_own_answer() {
        let mut guest = connect(scripted("HELLO AGENT_v1\n", "PONG"), soon()).unwrap();
        assert_eq!(guest.ask(Command::Ping, soon()).unwrap(), "PONG");
    }

    #[test]
    fn a_copy_is_asked_at_once_and_one_that_starts_over_is_refused() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let agent = std::thread::spawn(move || {
            let mut out = theirs.try_clone().unwrap();
            let frame = wire::read_frame(&mut BufReader::new(theirs)).unwrap().unwrap();
            assert_eq!(Request::decode(&frame.payload).unwrap().command, Command::Ping);
            wire::write_frame(&mut out, Kind::Reply, frame.id, b"PONG").unwrap();
        });
        let resume = |stream| Guest::go_on(stream, Conversation::default(), &never());
        let ping = |stream| resume(stream)?.ask(Command::Ping, soon());
        assert_eq!(ping(ours).unwrap(), "PONG");
        agent.join().unwrap();
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        theirs.write_all(b"HELLO AGENT_v1\n").unwrap();
        assert!(ping(ours).is_err());
    }

    #[test]
    fn boot_noise_and_a_second_hello_are_ignored() {
        let stream = scripted("garbage\r\n\0\nHELLO AGENT_v1\r\nHELLO AGENT_v1\n", "ERR no");
        let mut guest = connect(stream, soon()).unwrap();
        assert_eq!(guest.ask(Command::Ping, soon()).unwrap_err().to_string(), "no");
    }

    #[test]
    fn a_peer_that_closes_is_told_from_one_that_stays_silent() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let error = connect(ours, Instant::now() + Duration::from_millis(5)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        drop(theirs);
        let (ours, theirs) = UnixStream::pair().unwrap();
        drop(theirs);
        assert_eq!(connect(ours, soon()).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn a_flood_without_the_answer_ends_at_the_deadline() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let flood = std::thread::spawn(move || {
            theirs.write_all(b"HELLO AGENT_v1\nOK\n").unwrap();
            while wire::write_frame(&mut theirs, Kind::Reply, 99, b"x").is_ok() {}
        });
        let mut guest = connect(ours, soon()).unwrap();
        let error = guest.ask(Command::Ping, Instant::now() + Duration::from_millis(20));
        assert_eq!(error.unwrap_err().kind(), io::ErrorKind::TimedOut);
        drop(guest);
        flood.join().unwrap();
    }

    #[test]
    fn no_mutation_of_what_an_agent_says_panics_or_hangs() {
        let mut good = b"HELLO AGENT_v1\nOK\n".to_vec();
        for (kind, id, payload) in [
            (Kind::Reply, 1, &b"TAP_START x_test.sh"[..]),
            (Kind::Stdout, 1, b"1..1\nok 1\n"),
            (Kind::File, 1, b"a/b"),
            (Kind::Data, 1, &[0; 300]),
            (Kind::Reply, 1, b"WARN BUG: x"),
            (Kind::Reply, 1, b"TAP_END x_test.sh exit=0 left=2"),
            (Kind::Reply, 2, b"PONG"),
        ] {
            wire::write_frame(&mut good, kind, id, payload).unwrap();
        }
        let mut answers = 0;
        for seed in 1..=400 {
            let (ours, mut theirs) = UnixStream::pair().unwrap();
            theirs.write_all(&crate::mutate::mutation(&good, seed)).unwrap();
            theirs.shutdown(std::net::Shutdown::Write).unwrap();
            // Nothing more comes: a client that still waits at the deadline has missed the end.
            let deadline = soon();
            if let Ok(mut guest) = connect(ours, deadline) {
                let ran = guest.exec(":", deadline).is_ok();
                answers += u32::from(ran && guest.ask(Command::Ping, deadline).is_ok());
            }
            assert!(Instant::now() < deadline, "seed {seed}");
        }
        assert!((1..400).contains(&answers), "{answers}: the mutations are too mild or too wild");
    }

    #[test]
    fn dropping_a_guest_whose_inbox_is_full_does_not_hang() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let writer = std::thread::spawn(move || {
            let mut theirs = theirs;
            theirs.write_all(b"HELLO AGENT_v1\nOK\n").unwrap();
            while wire::write_frame(&mut theirs, Kind::Stdout, 1, &[b'x'; 1000]).is_ok() {}
        });
        let guest = connect(ours, soon()).unwrap();
        drop(guest);
        writer.join().unwrap();
    }
}
