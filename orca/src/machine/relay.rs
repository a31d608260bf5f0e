//! Between the nodes of a test: what `on` asks in the first one's guest is run by the agent of another, and goes back and forth here.
//!
//! It has nothing to do with the wires: those are under test. Nothing is held here either: how much may be on the way is between
//! `on` and the agent that runs its command, which count it out to each other.

use super::drive::{Aside, Fault, HEARTBEAT, PANIC_GRACE};
use super::interface::Sink;
use crate::events::trouble::Kind;
use crate::guest::client::Writer;
use crate::host::clock;
use agent::wire::{self, Command, Ended, Frame, Request};
use crossbeam::channel::{Receiver, Sender, never, select};
use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The most commands that run on other nodes at a time.
const ASKS_MAX: usize = 256;
/// The id of a `PING`, which no command has.
const PING: u32 = u32::MAX;
/// The first id of a command: those below are of requests that the machine had when it was made.
const FIRST_ID: u32 = 1 << 20;

/// A node that commands can be run on.
pub(super) struct End {
    pub(super) name: String,
    /// What its commands have in their environment.
    pub(super) env: Vec<(Vec<u8>, Vec<u8>)>,
    pub(super) inbox: Receiver<Frame>,
    pub(super) writer: Writer,
    /// Closes when there is reason to think that its kernel is dead.
    pub(super) panicked: Receiver<Infallible>,
    /// How long it may leave a `PING` unanswered.
    pub(super) hung: Duration,
}

/// What runs where.
pub(super) struct Desk {
    ends: Vec<End>,
    /// To the first node.
    back: Writer,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    last: u32,
    /// By the id of who asked: on which node it runs, under which id.
    asks: HashMap<u32, (usize, u32)>,
}

impl Desk {
    /// A desk at which nothing runs yet.
    pub(super) fn new(ends: Vec<End>, back: Writer) -> Self {
        let state = State { last: FIRST_ID, ..State::default() };
        Self { ends, back, state: Mutex::new(state) }
    }

    /// The nodes.
    pub(super) fn ends(&self) -> &[End] {
        &self.ends
    }

    /// Ends what still runs: there is no test any more to see it.
    pub(super) fn cancel_all(&self) {
        let asks = std::mem::take(&mut self.lock().asks);
        asks.into_values().for_each(|(at, id)| self.cancel(at, id));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends to a node. One that is lost is found so by whoever attends to it.
    fn send(&self, at: usize, kind: wire::Kind, id: u32, payload: &[u8]) {
        let _ = self.ends[at].writer.send(kind, id, payload);
    }

    fn cancel(&self, at: usize, id: u32) {
        let cancel = Request::new(Command::Cancel(id)).encode();
        self.send(at, wire::Kind::Command, PING - 1, &cancel);
    }

    /// Sends to the `on` that asked. The loss of the first node is seen by whoever drives the test.
    fn answer(&self, ask: u32, kind: wire::Kind, payload: &[u8]) {
        for piece in payload.chunks(wire::WRAPPED_MAX) {
            let _ = self.back.send(wire::Kind::Ask, ask, &wire::wrap(kind, piece));
        }
    }

    fn refuse(&self, ask: u32, why: &str) {
        self.answer(ask, wire::Kind::Reply, format!("{}{why}", wire::ERR).as_bytes());
    }

    /// Begins what `order` says; returns the node and the command line if it could.
    fn begin(&self, ask: u32, order: &[u8]) -> Option<(usize, Vec<u8>)> {
        let zero = order.iter().position(|&b| b == 0)?;
        let (node, line) = (&order[..zero], &order[zero + 1..]);
        let Some(at) = self.ends.iter().position(|end| end.name.as_bytes() == node) else {
            let names: Vec<&str> = self.ends.iter().map(|end| &end.name[..]).collect();
            self.refuse(
                ask,
                &format!("there is no such node; the others are {}", names.join(", ")),
            );
            return None;
        };
        let mut state = self.lock();
        if state.asks.len() >= ASKS_MAX || state.asks.contains_key(&ask) {
            drop(state);
            self.refuse(ask, "too many commands are running on other nodes");
            return None;
        }
        state.last += 1;
        let id = state.last;
        state.asks.insert(ask, (at, id));
        drop(state);
        let request =
            Request { command: Command::Exec(line.to_vec()), env: self.ends[at].env.clone() };
        let request = request.encode();
        if request.len() > wire::PAYLOAD_MAX {
            self.lock().asks.remove(&ask);
            self.refuse(ask, "the command is too long");
            return None;
        }
        self.send(at, wire::Kind::Command, id, &request);
        self.send(at, wire::Kind::Credit, id, &wire::WINDOW.to_le_bytes());
        Some((at, line.to_vec()))
    }
}

/// A test's sink that knows what other nodes are for.
pub(super) struct Asking<'a> {
    pub(super) sink: &'a mut dyn Sink,
    pub(super) desk: &'a Desk,
}

impl Sink for Asking<'_> {
    fn stdout(&mut self, bytes: &[u8]) {
        self.sink.stdout(bytes);
    }

    fn stderr(&mut self, bytes: &[u8]) {
        self.sink.stderr(bytes);
    }

    fn note(&mut self, line: &str) {
        self.sink.note(line);
    }

    fn kernel(&mut self, line: &str, begins: bool) {
        self.sink.kernel(line, begins);
    }

    fn file(&mut self, path: &[u8]) {
        self.sink.file(path);
    }

    fn data(&mut self, bytes: &[u8]) {
        self.sink.data(bytes);
    }

    fn node(&mut self, name: &str, bytes: &[u8]) {
        self.sink.node(name, bytes);
    }

    fn ask(&mut self, frame: &Frame) -> bool {
        let Some((kind, payload)) = wire::unwrap(&frame.payload) else { return false };
        match kind {
            wire::Kind::Command if payload.is_empty() => {
                let gone = self.desk.lock().asks.remove(&frame.id);
                if let Some((at, id)) = gone {
                    self.desk.cancel(at, id);
                }
            }
            wire::Kind::Command => {
                if let Some((at, line)) = self.desk.begin(frame.id, payload) {
                    let line = [b"$ ", &line[..], b"\n"].concat();
                    self.sink.node(&self.desk.ends[at].name, &line);
                }
            }
            wire::Kind::Stdin | wire::Kind::Credit => {
                let running = self.desk.lock().asks.get(&frame.id).copied();
                if let Some((at, id)) = running {
                    self.desk.send(at, kind, id, payload);
                }
            }
            _ => return false,
        }
        true
    }
}

/// Carries back what node `at` says, until `stopped`.
///
/// # Errors
/// The node is lost, or does not answer.
pub(super) fn attend(
    desk: &Desk,
    at: usize,
    tell: &Sender<Aside>,
    stopped: &Receiver<Infallible>,
) -> Result<(), Fault> {
    let end = &desk.ends[at];
    let mut panicked = end.panicked.clone();
    let ping = Request::new(Command::Ping).encode();
    let (mut heard, mut pinged, mut patience) = (clock::now(), None::<Instant>, end.hung);
    loop {
        let wake = pinged.map_or(heard + HEARTBEAT, |at| at + patience);
        select! {
            recv(end.inbox) -> frame => {
                let lost = |_| Fault::new(Kind::Lost, "the connection to the agent ended");
                let frame = frame.map_err(lost)?;
                (heard, pinged, patience) = (clock::now(), None, end.hung);
                pass_back(desk, at, frame, tell);
            }
            recv(panicked) -> _ => {
                panicked = never();
                (pinged, patience) = (Some(clock::now()), PANIC_GRACE.min(end.hung));
                desk.send(at, wire::Kind::Command, PING, &ping);
            }
            recv(stopped) -> _ => return Ok(()),
            default(wake.saturating_duration_since(clock::now())) => {
                if pinged.is_some() {
                    let why = format!("no answer to PING in {:.0} s", patience.as_secs_f64());
                    return Err(Fault::new(Kind::Hung, why));
                }
                pinged = Some(clock::now());
                desk.send(at, wire::Kind::Command, PING, &ping);
            }
        }
    }
}

fn pass_back(desk: &Desk, at: usize, frame: Frame, tell: &Sender<Aside>) {
    let mut state = desk.lock();
    let asked = state.asks.iter().find(|(_, running)| **running == (at, frame.id));
    let Some(ask) = asked.map(|(ask, _)| *ask) else { return }; // a PONG, or of one that is gone
    let mut ended = false;
    if frame.kind == wire::Kind::Reply {
        let line = String::from_utf8_lossy(&frame.payload);
        ended = line.starts_with(wire::ERR) || Ended::parse(&line).is_some();
    }
    if ended {
        state.asks.remove(&ask);
    }
    drop(state);
    let printed = matches!(frame.kind, wire::Kind::Stdout | wire::Kind::Stderr);
    if printed || matches!(frame.kind, wire::Kind::Reply | wire::Kind::Credit) {
        desk.answer(ask, frame.kind, &frame.payload);
    }
    if printed {
        // Who does not listen has ended the test already.
        let _ = tell.send(Aside::Printed(desk.ends[at].name.clone(), frame.payload));
    }
}
