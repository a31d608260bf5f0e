//! The relay between the nodes of a test: a command that `on` asks for on the first node is run by
//! the agent of another, and its input and output pass through here.
//!
//! It does not use the wires between the nodes: those are under test. It holds nothing back either:
//! `on` and the agent that runs the command tell each other how much may be on the way.

use super::drive::{Fault, Heartbeat, NodeEvent};
use super::interface::Sink;
use super::remote_commands::{RemoteCommand, RemoteCommands};
use crate::events::trouble::Kind;
use crate::guest::client::Writer;
use crate::host::clock;
use agent::wire::{self, Command, Ended, Frame, Request};
use crossbeam::channel::{Receiver, Sender, never, select};
use std::convert::Infallible;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The most commands that run on other nodes at a time.
const COMMANDS_MAX: usize = 256;
/// The id of a `PING`, which no command has.
const PING: u32 = u32::MAX;

/// A node that commands can be run on.
pub(super) struct RemoteNode {
    pub(super) name: String,
    /// The environment of its commands.
    pub(super) env: Vec<(Vec<u8>, Vec<u8>)>,
    pub(super) inbox: Receiver<Frame>,
    /// What it said before it was frozen and nobody has heard yet.
    pub(super) unheard: Vec<Frame>,
    pub(super) writer: Writer,
    /// Closes when there is reason to think that its kernel is dead.
    pub(super) panicked: Receiver<Infallible>,
    /// How long it may leave a `PING` unanswered.
    pub(super) ping: Duration,
}

/// The commands of one test that run on other nodes.
pub(super) struct CommandRelay {
    nodes: Vec<RemoteNode>,
    /// To the first node.
    back: Writer,
    commands: Mutex<RemoteCommands>,
}

impl CommandRelay {
    /// A relay in which `commands` are running.
    pub(super) fn new(nodes: Vec<RemoteNode>, back: Writer, commands: RemoteCommands) -> Self {
        Self { nodes, back, commands: Mutex::new(commands) }
    }

    /// The commands that run.
    pub(super) fn commands(&self) -> RemoteCommands {
        self.lock().clone()
    }

    /// The nodes.
    pub(super) fn nodes(&self) -> &[RemoteNode] {
        &self.nodes
    }

    /// Ends every command that still runs: the test that asked for it is over.
    pub(super) fn cancel_all(&self) {
        let running = std::mem::take(&mut self.lock().by_ask);
        running.into_values().for_each(|command| self.cancel(command));
    }

    fn lock(&self) -> MutexGuard<'_, RemoteCommands> {
        self.commands.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends to a node. Its loss is noticed by [`forward_replies`].
    fn send(&self, node: usize, kind: wire::Kind, id: u32, payload: &[u8]) {
        let _ = self.nodes[node].writer.send(kind, id, payload);
    }

    fn cancel(&self, command: RemoteCommand) {
        let cancel = Request::new(Command::Cancel(command.id)).encode();
        self.send(command.node, wire::Kind::Command, PING - 1, &cancel);
    }

    /// Sends to the `on` that asked. The loss of the first node is noticed by [`super::drive`].
    fn answer(&self, ask: u32, kind: wire::Kind, payload: &[u8]) {
        for piece in payload.chunks(wire::WRAPPED_MAX) {
            let _ = self.back.send(wire::Kind::Ask, ask, &wire::wrap(kind, piece));
        }
    }

    fn refuse(&self, ask: u32, why: &str) {
        self.answer(ask, wire::Kind::Reply, format!("{}{why}", wire::ERR).as_bytes());
    }

    /// Starts the command in `payload`: a node's name, a zero byte, and a command line. Returns the
    /// node's index and the command line; `None` if the command was refused.
    fn begin(&self, ask: u32, payload: &[u8]) -> Option<(usize, Vec<u8>)> {
        let zero = payload.iter().position(|&b| b == 0)?;
        let (name, line) = (&payload[..zero], &payload[zero + 1..]);
        let Some(node) = self.nodes.iter().position(|node| node.name.as_bytes() == name) else {
            let names: Vec<&str> = self.nodes.iter().map(|node| &node.name[..]).collect();
            let why = format!("there is no such node; the others are {}", names.join(", "));
            self.refuse(ask, &why);
            return None;
        };
        let mut commands = self.lock();
        if commands.by_ask.len() >= COMMANDS_MAX || commands.by_ask.contains_key(&ask) {
            drop(commands);
            self.refuse(ask, "too many commands are running on other nodes");
            return None;
        }
        commands.last_id += 1;
        let id = commands.last_id;
        commands.by_ask.insert(ask, RemoteCommand { node, id });
        drop(commands);
        let env = self.nodes[node].env.clone();
        let request = Request { command: Command::Exec(line.to_vec()), env }.encode();
        if request.len() > wire::PAYLOAD_MAX {
            self.lock().by_ask.remove(&ask);
            self.refuse(ask, "the command is too long");
            return None;
        }
        self.send(node, wire::Kind::Command, id, &request);
        self.send(node, wire::Kind::Credit, id, &wire::WINDOW.to_le_bytes());
        Some((node, line.to_vec()))
    }
}

/// A test's sink that also handles what the test asks of other nodes.
pub(super) struct RelaySink<'a> {
    pub(super) sink: &'a mut dyn Sink,
    pub(super) relay: &'a CommandRelay,
}

impl Sink for RelaySink<'_> {
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
                let gone = self.relay.lock().by_ask.remove(&frame.id);
                if let Some(command) = gone {
                    self.relay.cancel(command);
                }
            }
            wire::Kind::Command => {
                if let Some((node, line)) = self.relay.begin(frame.id, payload) {
                    let line = [b"$ ", &line[..], b"\n"].concat();
                    self.sink.node(&self.relay.nodes[node].name, &line);
                }
            }
            wire::Kind::Stdin | wire::Kind::Credit => {
                let command = self.relay.lock().by_ask.get(&frame.id).copied();
                if let Some(RemoteCommand { node, id }) = command {
                    self.relay.send(node, kind, id, payload);
                }
            }
            _ => return false,
        }
        true
    }
}

/// Passes on what the node with index `at` says, until `stopped` closes.
///
/// # Errors
/// The node is lost, or does not answer.
pub(super) fn forward_replies(
    relay: &CommandRelay,
    at: usize,
    node_events: &Sender<NodeEvent>,
    stopped: &Receiver<Infallible>,
) -> Result<(), Fault> {
    let node = &relay.nodes[at];
    let mut panicked = node.panicked.clone();
    let ping = Request::new(Command::Ping).encode();
    let mut heartbeat = Heartbeat::new(node.ping);
    for frame in &node.unheard {
        forward(relay, at, frame.clone(), node_events);
    }
    loop {
        select! {
            recv(node.inbox) -> frame => {
                let lost = |_| Fault::new(Kind::Lost, "the connection to the agent ended");
                let frame = frame.map_err(lost)?;
                heartbeat.hear(clock::now());
                forward(relay, at, frame, node_events);
            }
            recv(panicked) -> _ => {
                panicked = never();
                heartbeat.doubt();
                relay.send(at, wire::Kind::Command, PING, &ping);
            }
            recv(stopped) -> _ => return Ok(()),
            default(heartbeat.wake().saturating_duration_since(clock::now())) => {
                let now = clock::now();
                heartbeat.check(now)?;
                if heartbeat.is_due(now) {
                    relay.send(at, wire::Kind::Command, PING, &ping);
                }
            }
        }
    }
}

fn forward(relay: &CommandRelay, at: usize, frame: Frame, node_events: &Sender<NodeEvent>) {
    let mut commands = relay.lock();
    let command = RemoteCommand { node: at, id: frame.id };
    let asked = commands.by_ask.iter().find(|(_, running)| **running == command);
    // A PONG has no command, and neither has the answer to one that was cancelled.
    let Some(ask) = asked.map(|(ask, _)| *ask) else { return };
    let mut ended = false;
    if frame.kind == wire::Kind::Reply {
        let line = String::from_utf8_lossy(&frame.payload);
        ended = line.starts_with(wire::ERR) || Ended::parse(&line).is_some();
    }
    if ended {
        commands.by_ask.remove(&ask);
    }
    drop(commands);
    let printed = matches!(frame.kind, wire::Kind::Stdout | wire::Kind::Stderr);
    if printed || matches!(frame.kind, wire::Kind::Reply | wire::Kind::Credit) {
        relay.answer(ask, frame.kind, &frame.payload);
    }
    if printed {
        // Nobody listens any more once the test has ended.
        let name = relay.nodes[at].name.clone();
        let _ = node_events.send(NodeEvent::Printed(name, frame.payload));
    }
}
