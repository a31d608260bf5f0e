//! Serves one host after the other: takes its commands and sends the replies, first as text, after
//! `FRAMES` as frames.

use crate::agent::Agent;
use crate::cmdline::CommandLine;
use crate::connection::{Input, Line, Out, Wake};
use crate::control::{self, Control, ProcessInput};
use crate::exec;
use crate::port::{Port, greeting};
use crate::reply::Reply;
use crate::resume::{mount_at_boot, resume, settle};
use crate::wire::{self, BYE, Command, Frame, Kind, OK, PONG, Request};
use std::collections::HashMap;
use std::convert::Infallible;
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

/// How many requests run at once, at most.
const RUNNING_MAX: usize = 64;
/// How often to look whether the host is gone, while input waits for a process that does not read.
const STALL_TICK: std::time::Duration = std::time::Duration::from_millis(20);

/// Why a session has ended.
#[derive(Debug, PartialEq, Eq)]
enum Over {
    /// The host said `EXIT`.
    Exit,
    /// The host is gone.
    Gone,
}

/// Serves one host after the other, until one says `EXIT` or a source that is not a device ends.
pub(crate) fn serve(agent: &Arc<Agent>, mut port: Port) -> io::Result<()> {
    // Under another init, a host at the port is the first sign that this is a guest at all.
    let mut unmounted = agent.owns_machine && !agent.launcher.is_pid_1;
    while let Some((input, out)) = port.connect()? {
        if std::mem::take(&mut unmounted)
            && let Err(why) = mount_at_boot(agent, &CommandLine::of_this_boot())
        {
            // There is nowhere else to say it.
            _ = writeln!(io::stderr(), "agent: share: {why}");
        }
        if session(agent, input, out) == Over::Exit {
            break;
        }
    }
    agent.end();
    Ok(())
}

/// Serves one host, which has been greeted, until it leaves. Then it ends all that the host
/// started.
fn session(agent: &Arc<Agent>, input: Input, out: Arc<Out>) -> Over {
    let over = talk(agent, input, out);
    agent.node_requests.close();
    agent.end_remains();
    over
}

fn talk(agent: &Arc<Agent>, input: Input, out: Arc<Out>) -> Over {
    let mut session = Session { agent, input, out: out.clone() };
    loop {
        match session.text() {
            Next::Over(over) => return over,
            Next::Frames => {}
        }
        match session.frames() {
            Stop::Exit(_) => return Over::Exit,
            Stop::Gone => return Over::Gone,
            // Bytes that are not a frame are not a command either. Both ends start over.
            Stop::Garbage => session.input.forget(),
        }
        if out.send(greeting().as_bytes()).is_err() {
            return Over::Gone;
        }
    }
}

struct Session<'a> {
    agent: &'a Arc<Agent>,
    input: Input,
    out: Arc<Out>,
}

/// What comes after text mode.
enum Next {
    Frames,
    Over(Over),
}

/// Why frames have ended.
enum Stop {
    /// The request with this id was `EXIT`.
    Exit(u32),
    Gone,
    Garbage,
}

impl Session<'_> {
    /// Text mode: one command after the other.
    fn text(&mut self) -> Next {
        loop {
            let command = match self.input.line() {
                Line::End => return Next::Over(Over::Gone),
                Line::TooLong => Err(format!("line over {} bytes", wire::LINE_MAX)),
                Line::Whole(line) => Command::parse(&line),
            };
            let mut reply = Reply::text(self.out.clone());
            let said = match command {
                Ok(Command::Frames) => {
                    return match reply.line(OK) {
                        Ok(()) => Next::Frames,
                        Err(_) => Next::Over(Over::Gone),
                    };
                }
                Ok(Command::Exit) => {
                    // The session is over, with or without it.
                    _ = reply.line(BYE);
                    return Next::Over(Over::Exit);
                }
                Ok(Command::Cancel(_)) => reply.error("CANCEL needs FRAMES"),
                Ok(Command::Shell) => self.run_text(Command::Shell, Reply::raw(self.out.clone())),
                Ok(command @ (Command::Exec(_) | Command::Test(_))) => {
                    self.run_text(command, reply)
                }
                Ok(command) => self.answer(&command, &mut reply),
                Err(why) => reply.error(&why),
            };
            if said.is_err() {
                return Next::Over(Over::Gone);
            }
        }
    }

    /// Answers a command that runs no process.
    fn answer(&self, command: &Command, reply: &mut Reply) -> io::Result<()> {
        match command {
            Command::Ping => reply.line(PONG),
            Command::Settle | Command::Resume(_) => {
                let done = match command {
                    Command::Resume(what) => resume(self.agent, what),
                    _ => settle(self.agent),
                };
                match done {
                    Ok(()) => reply.line(OK),
                    Err(why) => reply.error(&why),
                }
            }
            other => reply.error(&format!("{other:?} has no place here")),
        }
    }

    /// Runs `command` and watches for the host to leave. A shell gets everything that the host
    /// sends.
    fn run_text(&mut self, command: Command, mut reply: Reply) -> io::Result<()> {
        let mut typing = command == Command::Shell;
        let (control, orders) = match control::control() {
            Ok(ends) => ends,
            Err(e) => return reply.error(&e.to_string()),
        };
        let (running, done) = io::pipe()?;
        let (sender, result) = channel();
        let agent = self.agent.clone();
        self.agent.threads.run(move || {
            let last = exec::run(&agent, &Request::new(command), orders, &mut reply);
            // The receiver is gone only if its thread has panicked.
            _ = sender.send((last, reply));
            drop(done);
        })?;
        loop {
            match self.input.wait(running.as_fd(), typing) {
                Wake::Other => break,
                Wake::Gone => {
                    drop(control);
                    _ = result.recv();
                    return Err(ErrorKind::BrokenPipe.into());
                }
                Wake::Input => match self.input.take() {
                    Ok(bytes) => {
                        typing = !bytes.is_empty();
                        self.offer(&control, ProcessInput::Bytes(bytes));
                    }
                    Err(_) => typing = false,
                },
            }
        }
        // This thread sends the last line, so that it does not take what the host sends after that
        // for the shell's input.
        match result.recv() {
            Ok((Ok(finished), mut reply)) => reply.line(&finished.clear_away()),
            _ => Err(ErrorKind::BrokenPipe.into()),
        }
    }

    /// Frames: requests side by side, until the host leaves or sends something other than a frame.
    fn frames(&mut self) -> Stop {
        let running = RunningRequests::default();
        let (working, idle) = channel::<Infallible>();
        let stop = loop {
            // One byte is enough to tell. A host in text mode may send no more than a short line.
            if self.input.peek().is_some_and(|kind| Kind::from_byte(kind).is_none()) {
                break Stop::Garbage;
            }
            let frame = match wire::read_frame(&mut self.input) {
                Ok(Some(frame)) => frame,
                Err(e) if e.kind() == ErrorKind::InvalidData => break Stop::Garbage,
                Ok(None) | Err(_) => break Stop::Gone,
            };
            if let Err(stop) = self.frame(frame, &running, &working) {
                break stop;
            }
        };
        running.lock().clear();
        drop(working);
        // Returns when the last request has dropped its sender.
        _ = idle.recv();
        self.agent.end_remains(); // before BYE, after which a host may end this process
        if let Stop::Exit(id) = stop {
            self.agent.end();
            // The session is over, with or without it.
            _ = Reply::frames(self.out.clone(), id).line(BYE);
        }
        stop
    }

    /// Obeys one frame. A request that runs a process gets a thread of its own, which holds
    /// `working` meanwhile.
    fn frame(
        &mut self,
        frame: Frame,
        running: &RunningRequests,
        working: &Sender<Infallible>,
    ) -> Result<(), Stop> {
        match frame.kind {
            Kind::Command => {}
            Kind::Stdin => {
                self.hand_over(running, frame.id, ProcessInput::Bytes(frame.payload));
                return Ok(());
            }
            Kind::Window => {
                if let [r0, r1, c0, c1] = frame.payload[..] {
                    let window = (u16::from_le_bytes([r0, r1]), u16::from_le_bytes([c0, c1]));
                    self.hand_over(running, frame.id, ProcessInput::Window(window.0, window.1));
                }
                return Ok(());
            }
            Kind::Credit => {
                if let (Ok(more), Some(control)) =
                    (frame.payload[..].try_into(), running.lock().get(&frame.id))
                {
                    control.give_credit(u32::from_le_bytes(more));
                }
                return Ok(());
            }
            Kind::Ask => {
                self.agent.node_requests.answer(frame.id, &frame.payload);
                return Ok(());
            }
            Kind::Fork => {
                self.agent.fork_requests.answer(frame.id, &frame.payload);
                return Ok(());
            }
            // Only the agent sends the others.
            _ => return Err(Stop::Garbage),
        }
        let mut reply = Reply::frames(self.out.clone(), frame.id);
        let said = match Request::decode(&frame.payload) {
            Err(why) => reply.error(&why),
            Ok(Request { command: Command::Exit, .. }) => return Err(Stop::Exit(frame.id)),
            Ok(Request { command: Command::Frames, .. }) => reply.line(OK),
            Ok(Request { command: Command::Cancel(id), .. }) => match running.lock().get(&id) {
                Some(control) => {
                    control.cancel();
                    reply.line(OK)
                }
                None => reply.error(&format!("no request {id} is running")),
            },
            Ok(Request {
                command: command @ (Command::Ping | Command::Settle | Command::Resume(_)),
                ..
            }) => self.answer(&command, &mut reply),
            Ok(request) => {
                self.start(frame.id, request, reply, running, working.clone());
                return Ok(());
            }
        };
        said.map_err(|_| Stop::Gone)
    }

    /// Runs `request` on a thread, or refuses it.
    fn start(
        &self,
        id: u32,
        request: Request,
        mut reply: Reply,
        running: &RunningRequests,
        working: Sender<Infallible>,
    ) {
        let mut requests = running.lock();
        let refused = if requests.contains_key(&id) {
            Some(format!("request {id} is running already"))
        } else if requests.len() >= RUNNING_MAX {
            Some(format!("{RUNNING_MAX} requests are running already"))
        } else {
            None
        };
        let is_test = matches!(request.command, Command::Test(_));
        let started = match refused {
            Some(why) => Err(io::Error::other(why)),
            None if is_test => self.open_programs(&request).and_then(|()| control::control()),
            None => control::control(),
        };
        let (control, orders) = match started {
            Ok(ends) => ends,
            Err(e) => {
                drop(requests);
                // The next read shows whether the host is gone.
                _ = reply.error(&e.to_string());
                return;
            }
        };
        let control = Arc::new(control);
        let may_fork = is_test.then(|| self.agent.fork_requests.begin(&control));
        requests.insert(id, control);
        drop(requests);
        let (agent, registered) = (self.agent.clone(), running.clone());
        let out = self.out.clone();
        let begun = self.agent.threads.run(move || {
            let last = exec::run(&agent, &request, orders, &mut reply);
            drop(may_fork);
            // Before the last line: after it, the host may use the id again.
            registered.lock().remove(&id);
            // In a machine, the last line comes first: the host may end the machine after it, and
            // then nothing needs to be cleared away. An error means that the host is gone, which
            // the session sees for itself.
            _ = last.and_then(|finished| match agent.owns_machine {
                true => reply.line(&finished.last_line),
                false => reply.line(&finished.clear_away()),
            });
            drop(working);
        });
        if let Err(e) = begun {
            running.lock().remove(&id);
            _ = Reply::frames(out, id).error(&e.to_string());
        }
    }

    /// Makes the programs work that the test of `request` may call.
    fn open_programs(&self, request: &Request) -> io::Result<()> {
        let agent = self.agent;
        // Without `orca-fork`, a test that needs it says so, and others do not miss it.
        _ = agent.fork_requests.open(&agent.threads, agent.owns_machine);
        let reaches_nodes = request.env.iter().any(|(name, _)| name == wire::NODES.as_bytes());
        if reaches_nodes && agent.owns_machine {
            agent.node_requests.open(&agent.threads, &self.out)?;
        }
        Ok(())
    }

    /// Hands `input` to request `id`, if it is running.
    fn hand_over(&self, running: &RunningRequests, id: u32, input: ProcessInput) {
        let control = running.lock().get(&id).cloned();
        if let Some(control) = control {
            self.offer(&control, input);
        }
    }

    /// Hands over `input`, and waits while too much input waits already. That holds up all other
    /// commands, too, `CANCEL` among them. This notices when the host leaves.
    fn offer(&self, control: &Control, mut input: ProcessInput) {
        while let Some(back) = control.offer(input) {
            if self.input.gone() {
                return;
            }
            thread::sleep(STALL_TICK);
            input = back;
        }
    }
}

/// The requests that are running, by their ids.
#[derive(Clone, Default)]
struct RunningRequests(Arc<Mutex<HashMap<u32, Arc<Control>>>>);

impl RunningRequests {
    fn lock(&self) -> MutexGuard<'_, HashMap<u32, Arc<Control>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
