//! Drives one test on a connected guest: the deadlines, the heartbeat, the cut.
//!
//! It is the same for every machine with an agent. A guest that stops answering while a test is
//! silent is found by `PING`, which the agent answers whatever the test does.

use super::cases::{Answer, Answers};
use super::fork::Paused;
use super::interface::{Cut, Order, Ran, Sink};
use crate::cancel::{Cancel, Level};
use crate::events::trouble::Kind;
use crate::guest::client::Guest;
use crate::host::clock;
use agent::wire::{self, Command, Ended, Frame, Request};
use crossbeam::channel::{Receiver, never, select};
use std::convert::Infallible;
use std::io;
use std::time::{Duration, Instant};

/// How long the guest may be silent before it gets a `PING`.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// How long a machine may take to answer a `PING` after its kernel said that it panics. Most have
/// ended long before.
const PANIC_GRACE: Duration = Duration::from_millis(1500);

/// How long a guest may take to answer, whatever the test is.
#[derive(Clone, Copy, Debug)]
pub struct GuestTimeouts {
    /// How long a guest may leave a `PING` unanswered.
    pub ping: Duration,
    /// How long a cut test may take to end, the agent's grace period and its KILL included.
    pub cut: Duration,
}

/// Why a test has no end marker.
#[derive(Debug, PartialEq, Eq)]
pub struct Fault {
    /// What kind of trouble it is.
    pub kind: Kind,
    /// The detail, a lowercase fragment.
    pub detail: String,
}

impl Fault {
    pub(super) fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into() }
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::new(Kind::Lost, format!("cannot write to the agent: {}", crate::error::plain(&error)))
    }
}

/// What happens on another node while a test runs.
#[derive(Debug)]
pub enum NodeEvent {
    /// The node with this name printed these bytes.
    Printed(String, Vec<u8>),
    /// A node is lost, or does not answer.
    Lost(Fault),
}

/// What the console and other nodes may report while a test runs.
#[derive(Clone, Debug)]
pub struct ExternalEvents {
    /// Closes when there is reason to think that the kernel is dead.
    pub panicked: Receiver<Infallible>,
    /// The events of other nodes.
    pub node_events: Receiver<NodeEvent>,
}

impl ExternalEvents {
    /// The events of a machine alone: it has no other nodes.
    pub fn of_one(panicked: Receiver<Infallible>) -> Self {
        Self { panicked, node_events: never() }
    }
}

/// Where a test was left.
#[derive(Debug)]
pub(super) enum Left {
    /// At its end.
    Ended(Ran),
    /// At a fork into the cases with these names.
    Forking(Paused, Vec<String>),
}

/// Runs one test and feeds `sink` until the test's end marker, or until it forks. A test that is
/// `paused` goes on as the case that `order` names.
///
/// # Errors
/// A [`Fault`] when there will be no end marker.
pub(super) fn drive(
    guest: &mut Guest,
    (order, paused): (&Order, Option<Paused>),
    timeouts: GuestTimeouts,
    cancel: &Cancel,
    events: ExternalEvents,
    sink: &mut dyn Sink,
) -> Result<Left, Fault> {
    let ExternalEvents { mut panicked, mut node_events } = events;
    let mut running = RunningTest::begin(guest, order, paused, timeouts)?;
    for frame in guest.take_kept() {
        if let Some(left) = running.take(guest, &frame, sink)? {
            return Ok(left);
        }
    }
    let mut cut_asked = cancel.on(Level::Cut).clone();
    loop {
        // The clock is checked first: a flood keeps the inbox ready, and `select!` would never take
        // its default branch.
        if clock::now() >= running.wake() {
            running.tick(guest)?;
        }
        let wake = running.wake();
        let inbox = guest.inbox().clone();
        select! {
            recv(inbox) -> frame => {
                let frame = frame
                    .map_err(|_| Fault::new(Kind::Lost, "the connection to the agent ended"))?;
                if let Some(left) = running.take(guest, &frame, sink)? {
                    return Ok(left);
                }
            }
            recv(cut_asked) -> _ => {
                cut_asked = never();
                running.cut(guest, Cut::Cancelled)?;
            }
            recv(panicked) -> _ => {
                panicked = never();
                running.doubt(guest);
            }
            recv(node_events) -> event => match event {
                Ok(NodeEvent::Printed(node, bytes)) => sink.node(&node, &bytes),
                Ok(NodeEvent::Lost(fault)) => return Err(fault),
                Err(_) => node_events = never(),
            },
            recv(cancel.on(Level::Kill)) -> _ => {
                return Err(Fault::new(Kind::Killed, "the run was told to end at once"));
            }
            default(wake.saturating_duration_since(clock::now())) => running.tick(guest)?,
        }
    }
}

/// Whether a guest is alive. One that has been silent is sent a `PING`, and is given up if it does
/// not answer in time. Whoever has the guest's connection sends the `PING`.
pub(super) struct Heartbeat {
    /// How long a `PING` may stay unanswered.
    limit: Duration,
    /// When the guest last said anything.
    heard: Instant,
    /// When the unanswered `PING` was sent.
    pinged: Option<Instant>,
    /// How long that `PING` may stay unanswered.
    patience: Duration,
}

impl Heartbeat {
    /// That of a guest that has said something now, and may take `limit` to answer a `PING`.
    pub(super) fn new(limit: Duration) -> Self {
        Self { limit, heard: clock::now(), pinged: None, patience: limit }
    }

    /// The guest has said something at `now`.
    pub(super) fn hear(&mut self, now: Instant) {
        self.heard = now;
        self.pinged = None;
        self.patience = self.limit;
    }

    /// The machine looks dead: it is sent a `PING` now, and is not given long for the answer.
    pub(super) fn doubt(&mut self) {
        self.patience = PANIC_GRACE.min(self.limit);
        self.pinged = Some(clock::now());
    }

    /// When a `PING` is due, or has gone unanswered for too long.
    pub(super) fn wake(&self) -> Instant {
        self.pinged.map_or(self.heard + HEARTBEAT, |at| at + self.patience)
    }

    /// # Errors
    /// A `PING` has gone unanswered for too long.
    pub(super) fn check(&self, now: Instant) -> Result<(), Fault> {
        if self.pinged.is_some() && now >= self.wake() {
            let detail = format!("no answer to PING in {:.0} s", self.patience.as_secs_f64());
            return Err(Fault::new(Kind::Hung, detail));
        }
        Ok(())
    }

    /// Whether a `PING` is due. If so, it counts as sent.
    pub(super) fn is_due(&mut self, now: Instant) -> bool {
        let is_due = self.pinged.is_none() && now >= self.wake();
        if is_due {
            self.pinged = Some(now);
        }
        is_due
    }
}

/// A test that is running.
struct RunningTest<'a> {
    id: u32,
    answers: Answers<'a>,
    /// When it began, as if it had never been frozen.
    began: Instant,
    cut: Option<Cut>,
    /// When the test times out.
    end_by: Instant,
    silence: Option<Duration>,
    /// When the test last printed.
    spoke: Instant,
    heartbeat: Heartbeat,
    /// When orca gives up on a cut test.
    cut_by: Option<Instant>,
    timeouts: GuestTimeouts,
}

impl<'a> RunningTest<'a> {
    /// Starts the test, or lets it go on as a case.
    fn begin(
        guest: &mut Guest,
        order: &'a Order,
        paused: Option<Paused>,
        timeouts: GuestTimeouts,
    ) -> Result<Self, Fault> {
        let mut answers = Answers::new(order);
        let id = match paused {
            Some(Paused { request, fork, .. }) => {
                let name = wire::wrap(wire::Kind::Data, answers.first().as_bytes());
                guest.writer().send(wire::Kind::Fork, fork, &name)?;
                request
            }
            None => {
                let command = Command::Test(order.path.clone());
                guest.send(&Request { command, env: order.env.clone() })?
            }
        };
        let now = clock::now();
        let elapsed = paused.map_or(Duration::ZERO, |paused| paused.elapsed);
        let began = now.checked_sub(elapsed).unwrap_or(now);
        Ok(Self {
            id,
            answers,
            began,
            cut: None,
            end_by: began + order.timeout,
            silence: order.silence,
            spoke: now,
            heartbeat: Heartbeat::new(timeouts.ping),
            cut_by: None,
            timeouts,
        })
    }

    /// When `tick` next has something to do.
    fn wake(&self) -> Instant {
        let end = match self.cut_by {
            Some(at) => at,
            None => self.silence.map_or(self.end_by, |s| self.end_by.min(self.spoke + s)),
        };
        self.heartbeat.wake().min(end)
    }

    fn tick(&mut self, guest: &mut Guest) -> Result<(), Fault> {
        let now = clock::now();
        if self.cut_by.is_some_and(|at| now >= at) {
            let detail = "the test was told to end and neither it nor the agent did";
            return Err(Fault::new(Kind::Hung, detail));
        }
        self.heartbeat.check(now)?;
        if self.cut.is_none() && now >= self.end_by {
            self.cut(guest, Cut::Timeout)?;
        } else if self.cut.is_none() && self.silence.is_some_and(|s| now >= self.spoke + s) {
            self.cut(guest, Cut::Silence)?;
        } else if self.heartbeat.is_due(now) {
            guest.send(&Request::new(Command::Ping))?;
        }
        Ok(())
    }

    /// Sends a `PING` to a machine that looks dead, and does not wait long for the answer.
    fn doubt(&mut self, guest: &mut Guest) {
        self.heartbeat.doubt();
        // The loss of the machine shows in the inbox.
        let _ = guest.send(&Request::new(Command::Ping));
    }

    fn cut(&mut self, guest: &mut Guest, why: Cut) -> Result<(), Fault> {
        if self.cut.is_none() {
            self.cut = Some(why);
            self.cut_by = Some(clock::now() + self.timeouts.cut);
            guest.send(&Request::new(Command::Cancel(self.id)))?;
        }
        Ok(())
    }

    /// Handles one frame. Returns where the test was left if the frame was its end marker, or asked
    /// for a fork.
    fn take(
        &mut self,
        guest: &mut Guest,
        frame: &Frame,
        sink: &mut dyn Sink,
    ) -> Result<Option<Left>, Fault> {
        let now = clock::now();
        self.heartbeat.hear(now);
        if frame.kind == wire::Kind::Fork {
            return self.fork(guest, frame);
        }
        if frame.kind == wire::Kind::Ask && sink.ask(frame) {
            return Ok(None);
        }
        if frame.id != self.id && frame.kind != wire::Kind::Ask {
            return Ok(None); // a PONG, or the OK to CANCEL
        }
        match frame.kind {
            wire::Kind::Stdout | wire::Kind::Stderr => {
                self.spoke = now;
                if frame.kind == wire::Kind::Stdout {
                    sink.stdout(&frame.payload);
                } else {
                    sink.stderr(&frame.payload);
                }
            }
            wire::Kind::File => sink.file(&frame.payload),
            wire::Kind::Data => sink.data(&frame.payload),
            wire::Kind::Reply => {
                let ended = self.reply(&frame.payload, sink)?;
                let missing = self.answers.missing();
                let ran = |ended| Left::Ended(Ran { ended, cut: self.cut, missing, forked: None });
                return Ok(ended.map(ran));
            }
            wire::Kind::Command
            | wire::Kind::Stdin
            | wire::Kind::Window
            | wire::Kind::Credit
            | wire::Kind::Ask
            | wire::Kind::Fork => {
                let detail = format!("the agent sent a frame of kind {:?}", frame.kind);
                return Err(Fault::new(Kind::Refused, detail));
            }
        }
        Ok(None)
    }

    /// Answers a request for a fork. A test that is being cut gets no answer.
    fn fork(&mut self, guest: &Guest, frame: &Frame) -> Result<Option<Left>, Fault> {
        if self.cut.is_some() {
            return Ok(None);
        }
        let answer = match self.answers.answer(&frame.payload) {
            Answer::Fork(names) => {
                let elapsed = clock::now().saturating_duration_since(self.began);
                let paused = Paused { request: self.id, fork: frame.id, elapsed };
                return Ok(Some(Left::Forking(paused, names)));
            }
            Answer::Case(name) => wire::wrap(wire::Kind::Data, name.as_bytes()),
            Answer::Refused(why) => {
                wire::wrap(wire::Kind::Reply, format!("{}{why}", wire::ERR).as_bytes())
            }
        };
        guest.writer().send(wire::Kind::Fork, frame.id, &answer)?;
        Ok(None)
    }

    fn reply(&self, payload: &[u8], sink: &mut dyn Sink) -> Result<Option<Ended>, Fault> {
        let line = String::from_utf8_lossy(payload);
        if let Some(why) = line.strip_prefix(wire::ERR) {
            return Err(Fault::new(Kind::Refused, why));
        }
        if line.starts_with("TAP_END ") {
            let bad = || Fault::new(Kind::Refused, format!("unreadable end marker `{line}`"));
            return Ended::parse(&line).map(Some).ok_or_else(bad);
        }
        if let Some(said) = line.strip_prefix(wire::WARN) {
            sink.kernel(said, true);
        } else if let Some(said) = line.strip_prefix(wire::KERNEL) {
            sink.kernel(said, false);
        } else if !line.starts_with("TAP_START ") {
            sink.note(&line);
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cancel;
    use std::io::{BufRead, BufReader, Write};
    use std::os::unix::net::UnixStream;

    /// Discards slowly, as a parser of very short lines does.
    struct Slow;

    impl Sink for Slow {
        fn stdout(&mut self, _: &[u8]) {
            std::thread::sleep(Duration::from_millis(1)); // stands for the work, waits for nothing
        }
        fn stderr(&mut self, _: &[u8]) {}
        fn note(&mut self, _: &str) {}
        fn kernel(&mut self, _: &str, _: bool) {}
        fn file(&mut self, _: &[u8]) {}
        fn data(&mut self, _: &[u8]) {}
    }

    /// The agent's side of a connection, up to the first order.
    fn shake_hands(host: UnixStream) -> (BufReader<UnixStream>, UnixStream) {
        let mut out = host.try_clone().unwrap();
        let mut input = BufReader::new(host);
        out.write_all(b"HELLO AGENT_v1\n").unwrap();
        input.read_line(&mut String::new()).unwrap();
        out.write_all(b"OK\n").unwrap();
        (input, out)
    }

    #[test]
    fn a_flood_does_not_hold_off_the_timeout() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let agent = std::thread::spawn(move || {
            let (mut input, mut out) = shake_hands(theirs);
            let id = wire::read_frame(&mut input).unwrap().unwrap().id;
            while wire::write_frame(&mut out, wire::Kind::Stdout, id, b"\n").is_ok() {}
        });
        let far = Instant::now() + Duration::from_secs(60);
        let mut guest = Guest::connect(ours, far, &never()).unwrap();
        let order = Order { timeout: Duration::from_millis(50), ..Order::default() };
        let timeouts =
            GuestTimeouts { ping: Duration::from_secs(60), cut: Duration::from_millis(50) };
        let (_canceller, cancel) = cancel::channel();
        // The agent never ends the test, so the cut's own deadline has to come through as well.
        let fault = drive(
            &mut guest,
            (&order, None),
            timeouts,
            &cancel,
            ExternalEvents::of_one(never()),
            &mut Slow,
        )
        .unwrap_err();
        assert_eq!(fault.kind, Kind::Hung, "{}", fault.detail);
        drop(guest);
        agent.join().unwrap();
    }

    #[test]
    fn a_false_panic_does_not_end_the_test() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let agent = std::thread::spawn(move || {
            let (mut input, mut out) = shake_hands(theirs);
            let test = wire::read_frame(&mut input).unwrap().unwrap();
            let ping = wire::read_frame(&mut input).unwrap().unwrap();
            assert_eq!(ping.payload, b"PING");
            for (id, line) in [(ping.id, "PONG"), (test.id, "TAP_END x exit=0")] {
                wire::write_frame(&mut out, wire::Kind::Reply, id, line.as_bytes()).unwrap();
            }
        });
        let far = Duration::from_secs(60);
        let mut guest = Guest::connect(ours, Instant::now() + far, &never()).unwrap();
        let order = Order { timeout: far, ..Order::default() };
        let (_canceller, cancel) = cancel::channel();
        let panicked = crossbeam::channel::bounded(0).1;
        let timeouts = GuestTimeouts { ping: far, cut: far };
        let ran = drive(
            &mut guest,
            (&order, None),
            timeouts,
            &cancel,
            ExternalEvents::of_one(panicked),
            &mut Slow,
        )
        .unwrap();
        assert!(matches!(ran, Left::Ended(Ran { ended, .. }) if ended == Ended::default()));
        drop(guest);
        agent.join().unwrap();
    }
}
