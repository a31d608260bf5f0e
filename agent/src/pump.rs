//! Carries one process from its start to its end: sends its output, feeds its input, obeys the
//! host's orders, and leaves nothing running.
//!
//! The end is that of the main process, not that of its output: a daemon that holds standard output
//! open delays nothing. After the end, the processes that are left are killed, then what is in the
//! pipes already is read, and nothing else.

use crate::control::{Orders, ProcessInput, UNBOUNDED};
use crate::kept_processes::{KILL_WAIT, KeptProcesses};
use crate::kmsg::KernelLog;
use crate::process_tree::{ProcessTree, name_of};
use crate::reaper::Exit;
use crate::reply::Reply;
use crate::sys;
use crate::wire::{Ended, Kind, PAYLOAD_MAX};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::mpsc::TryRecvError;
use std::time::{Duration, Instant};

/// How long cancelled processes may take between TERM and KILL.
const CANCEL_GRACE: Duration = Duration::from_secs(2);
/// How often to look at cancelled processes whose main process has ended.
const GRACE_TICK: Duration = Duration::from_millis(10);
/// How many bytes are read from each pipe after the end, at most: the largest size that a pipe can
/// be given without privileges.
const DRAIN_MAX: usize = 1 << 20;
/// How many records of the kernel's log are read at a time, at most.
const KERNEL_RECORDS: usize = 64;
/// How many records of the kernel's log are read after the end, at most.
const KERNEL_DRAIN_MAX: usize = 4096;
/// How many leftover processes are named, at most.
const NAMED_MAX: usize = 20;
/// The end of a process that not even KILL could end.
const GIVEN_UP: Ended = Ended { exit: 137, signal: Some(9), left: 0 };
/// The end of a process that was cancelled and left running.
const LEFT_ALIVE: Ended = Ended { exit: 143, signal: Some(15), left: 0 };
/// The byte that ^D sends.
const END_OF_INPUT: u8 = 4;

/// A process that has just been started.
pub(crate) struct Running {
    pub(crate) processes: ProcessTree,
    pub(crate) end: Exit,
    /// The agent's ends of its outputs, and what each of them is.
    pub(crate) outputs: Vec<(Kind, OwnedFd)>,
    /// The agent's end of its input.
    pub(crate) input: Option<OwnedFd>,
    /// Whether input and output are a terminal.
    pub(crate) terminal: bool,
    /// The kernel's log, if the host wants to know what the kernel complains of meanwhile.
    pub(crate) kernel: Option<KernelLog>,
    pub(crate) at_end: AtEnd,
}

/// What becomes of the processes that still run at the end.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum AtEnd {
    /// They are killed.
    Kill,
    /// They stay alive, with their pipes open. A `CANCEL` is an end, too.
    Keep,
    /// They stay alive, but a `CANCEL` kills them.
    Adopt,
}

impl Running {
    /// Ends it, without an outcome.
    pub(crate) fn end(self) {
        drop(KeptProcesses::new(self.processes, Vec::new()));
    }
}

/// How a process ended, and what had to be killed after it.
pub(crate) struct Outcome {
    pub(crate) ended: Ended,
    /// Process id and name of each killed process, of [`NAMED_MAX`] at most.
    pub(crate) left: Vec<String>,
    /// The process tree, empty, to be cleared away when there is time. `None` if it was kept.
    pub(crate) processes: Option<ProcessTree>,
    /// The processes, if they were to stay alive.
    pub(crate) kept: Option<KeptProcesses>,
}

impl Outcome {
    /// Names the processes that had to be killed, one a line. Text mode only has their number, in
    /// the last line.
    pub(crate) fn name_left(&self, reply: &mut Reply) -> io::Result<()> {
        if reply.is_framed() {
            for process in &self.left {
                reply.line(&format!("LEFT {process}"))?;
            }
        }
        Ok(())
    }
}

struct Pump<'a> {
    run: Running,
    orders: Option<Orders>,
    reply: &'a mut Reply,
    /// The input that the process has not taken yet.
    pending: Vec<u8>,
    buffer: Vec<u8>,
    stage: Stage,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Running,
    /// Cancelled, but its processes stay alive.
    LeftAlive,
    Cancelled {
        kill_at: Instant,
    },
    Killed {
        give_up_at: Instant,
    },
}

/// Which descriptors of a round were ready.
struct Ready {
    end: bool,
    orders: bool,
    input: bool,
    kernel: bool,
    outputs: Vec<bool>,
}

/// Runs `run` to its end.
pub(crate) fn pump(run: Running, orders: Orders, reply: &mut Reply) -> Outcome {
    let fds = run.outputs.iter().map(|(_, fd)| fd).chain(&run.input);
    for fd in fds {
        // This changes the agent's ends only. The process has other open files, also where the two
        // are the sides of a terminal.
        _ = fcntl(fd, FcntlArg::F_SETFL(OFlag::O_NONBLOCK));
    }
    let buffer = vec![0; PAYLOAD_MAX];
    let stage = Stage::Running;
    Pump { run, orders: Some(orders), reply, pending: Vec::new(), buffer, stage }.run()
}

impl Pump<'_> {
    fn run(mut self) -> Outcome {
        loop {
            let ready = self.wait();
            for at in (0..ready.outputs.len()).rev().filter(|&at| ready.outputs[at]) {
                if self.forward(at).is_none() {
                    self.run.outputs.remove(at);
                }
            }
            if ready.kernel {
                self.send_complaints(KERNEL_RECORDS);
            }
            if ready.orders {
                self.obey();
            }
            if ready.input {
                self.feed();
            }
            if ready.end && !self.is_held() && self.is_over() {
                return self.finish(true);
            }
            match self.stage {
                Stage::LeftAlive => return self.finish(false),
                Stage::Cancelled { kill_at } if Instant::now() >= kill_at => self.kill(),
                Stage::Killed { give_up_at } if Instant::now() >= give_up_at => {
                    return self.finish(false);
                }
                _ => {}
            }
        }
    }

    /// Waits for something to do, at most until the stage changes.
    fn wait(&self) -> Ready {
        let input = self.run.input.as_ref().filter(|_| !self.pending.is_empty());
        let orders = self.orders.as_ref().map(|orders| orders.wake.as_fd());
        let held = self.is_held();
        let mut fds = Vec::new();
        if !held {
            fds.push(PollFd::new(self.run.end.as_fd(), PollFlags::POLLIN));
        }
        fds.extend(orders.map(|fd| PollFd::new(fd, PollFlags::POLLIN)));
        fds.extend(input.map(|fd| PollFd::new(fd.as_fd(), PollFlags::POLLOUT)));
        let kernel = self.run.kernel.as_ref().filter(|_| !held).map(AsFd::as_fd);
        fds.extend(kernel.map(|fd| PollFd::new(fd, PollFlags::POLLIN)));
        let stalled = held || self.credit() <= 0;
        let outputs = self.run.outputs.iter().filter(|_| !stalled);
        fds.extend(outputs.map(|(_, fd)| PollFd::new(fd.as_fd(), PollFlags::POLLIN)));
        let timeout = match self.stage {
            Stage::Running | Stage::LeftAlive => PollTimeout::NONE,
            Stage::Cancelled { kill_at: at } | Stage::Killed { give_up_at: at } => {
                PollTimeout::try_from(at.saturating_duration_since(Instant::now()))
                    .unwrap_or(PollTimeout::ZERO)
            }
        };
        // Interrupted or timed out: nothing is ready, and the caller looks at the clock.
        let any = poll(&mut fds, timeout).is_ok();
        let mut ready = fds.iter().map(|fd| any && fd.any().unwrap_or(true));
        Ready {
            end: !held && ready.next().unwrap_or(false),
            orders: orders.is_some() && ready.next().unwrap_or(false),
            input: input.is_some() && ready.next().unwrap_or(false),
            kernel: kernel.is_some() && ready.next().unwrap_or(false),
            outputs: ready.collect(),
        }
    }

    /// Whether the host has a fork that it has not answered. The machine is frozen meanwhile, so
    /// nothing of the test may be on the way to the host: neither output nor its end.
    fn is_held(&self) -> bool {
        self.stage == Stage::Running
            && self.orders.as_ref().is_some_and(|orders| orders.forks.is_open())
    }

    /// Passes on the next fork that was asked for, after all that was printed before it.
    fn pass_on_fork(&mut self) {
        let orders = self.orders.as_ref().filter(|_| self.stage == Stage::Running);
        if let Some((id, names)) = orders.and_then(|orders| orders.forks.take_next()) {
            self.drain();
            if self.reply.fork(id, &names).is_err() {
                self.kill();
            }
        }
    }

    /// How many bytes may be printed; without bound once the host is gone.
    fn credit(&self) -> i64 {
        self.orders.as_ref().map_or(UNBOUNDED, |orders| orders.credit.left())
    }

    /// Tells a host that counts credit how many bytes of input are used.
    fn report_used_input(&self, bytes: usize) {
        if bytes > 0 && self.credit() != UNBOUNDED {
            // A host that is gone shows in the output, or in the last line.
            _ = self.reply.frame(Kind::Credit, &(bytes as u32).to_le_bytes());
        }
    }

    /// Sends the next bytes of output `at`; `None` at its end.
    fn forward(&mut self, at: usize) -> Option<usize> {
        let (kind, fd) = &self.run.outputs[at];
        let count = match nix::unistd::read(fd, &mut self.buffer) {
            Ok(0) => return None,
            Ok(count) => count,
            Err(Errno::EAGAIN | Errno::EINTR) => return Some(0),
            // `EIO`: no process has the terminal open any more.
            Err(_) => return None,
        };
        if self.reply.output(*kind, &self.buffer[..count]).is_err() {
            self.kill();
        }
        if let Some(orders) = &self.orders {
            orders.credit.take(count);
        }
        Some(count)
    }

    fn send_complaints(&mut self, records: usize) {
        let kernel = self.run.kernel.as_mut();
        for line in kernel.map(|kernel| kernel.lines(records)).unwrap_or_default() {
            // A host that is gone shows in the output, or in the last line.
            _ = self.reply.line(&line);
        }
    }

    fn obey(&mut self) {
        let Some(orders) = &mut self.orders else { return };
        let mut bytes = [0; 64];
        match orders.wake.read(&mut bytes) {
            Ok(0) | Err(_) => {
                self.orders = None;
                self.kill();
            }
            Ok(count) if bytes[..count].contains(&b'C') => {
                if self.run.at_end == AtEnd::Keep {
                    self.stage = Stage::LeftAlive;
                } else if self.stage == Stage::Running {
                    self.run.processes.signal(Signal::SIGTERM);
                    self.stage = Stage::Cancelled { kill_at: Instant::now() + CANCEL_GRACE };
                }
                self.feed();
            }
            Ok(_) => self.feed(),
        }
        self.pass_on_fork();
    }

    /// Writes as much input as the process takes.
    fn feed(&mut self) {
        loop {
            if self.pending.is_empty() && !self.next_input() {
                return;
            }
            let Some(fd) = &self.run.input else {
                self.report_used_input(self.pending.len());
                self.pending.clear();
                continue;
            };
            match nix::unistd::write(fd, &self.pending) {
                Ok(count) => {
                    self.pending.drain(..count);
                    self.report_used_input(count);
                }
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => return,
                Err(_) => self.run.input = None,
            }
        }
    }

    /// Takes the next piece of input, and returns whether there was one.
    fn next_input(&mut self) -> bool {
        let Some(orders) = &self.orders else { return false };
        match orders.input.try_recv() {
            Ok(ProcessInput::Bytes(bytes)) if !bytes.is_empty() => self.pending = bytes,
            // On a terminal, the end of input is a keystroke: the file also carries the output.
            Ok(ProcessInput::Bytes(_)) if self.run.terminal => self.pending = vec![END_OF_INPUT],
            Ok(ProcessInput::Bytes(_)) => self.run.input = None,
            Ok(ProcessInput::Window(rows, columns)) => {
                if let Some(terminal) = self.terminal() {
                    sys::set_window(terminal, rows, columns);
                }
            }
            Err(TryRecvError::Empty | TryRecvError::Disconnected) => return false,
        }
        true
    }

    fn terminal(&self) -> Option<BorrowedFd<'_>> {
        self.run.input.as_ref().filter(|_| self.run.terminal).map(AsFd::as_fd)
    }

    fn kill(&mut self) {
        if !matches!(self.stage, Stage::Killed { .. }) {
            self.run.processes.kill();
            self.stage = Stage::Killed { give_up_at: Instant::now() + KILL_WAIT };
        }
    }

    /// Whether to finish, now that the main process has ended: cancelled processes have their
    /// grace first.
    fn is_over(&self) -> bool {
        if matches!(self.stage, Stage::Cancelled { .. }) && self.run.processes.is_populated() {
            std::thread::sleep(GRACE_TICK);
            return false;
        }
        true
    }

    /// Kills what is left, reads what is in the pipes, and takes the exit status if it has ended.
    fn finish(mut self, has_ended: bool) -> Outcome {
        if self.run.at_end != AtEnd::Kill && !matches!(self.stage, Stage::Killed { .. }) {
            return self.keep(has_ended);
        }
        // Processes that die of a KILL to all of them were not left behind.
        let killed = matches!(self.stage, Stage::Killed { .. });
        let empty = !self.run.processes.is_populated();
        let mut left = if killed || empty { Vec::new() } else { self.run.processes.pids() };
        // A process that is gone has no name.
        let named = left.iter().take(NAMED_MAX).map(|&pid| format!("{pid} {}", name_of(pid)));
        let named = named.collect();
        if !empty && !self.run.processes.end(Instant::now() + KILL_WAIT) {
            left = self.run.processes.pids();
        }
        self.drain();
        let ended = if has_ended { self.run.end.wait() } else { GIVEN_UP };
        let ended = Ended { left: left.len() as u32, ..ended };
        Outcome { ended, left: named, processes: Some(self.run.processes), kept: None }
    }

    /// Leaves all processes alive. None is named as left behind: they are there on purpose.
    fn keep(mut self, has_ended: bool) -> Outcome {
        self.drain();
        let Running { processes, end, outputs, .. } = self.run;
        let ended = if has_ended { end.wait() } else { LEFT_ALIVE };
        let outputs = outputs.into_iter().map(|(_, fd)| fd).collect();
        let kept = Some(KeptProcesses::new(processes, outputs));
        Outcome { ended, left: Vec::new(), processes: None, kept }
    }

    /// Reads what is in the pipes already.
    fn drain(&mut self) {
        for at in 0..self.run.outputs.len() {
            let mut drained = 0;
            while let Some(count @ 1..) = self.forward(at)
                && drained < DRAIN_MAX
            {
                drained += count;
            }
        }
        self.send_complaints(KERNEL_DRAIN_MAX);
    }
}
