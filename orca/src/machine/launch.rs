//! Starts a virtual machine, the same way for every use: QEMU starts paused, every channel is
//! connected, then the guest is let go.

use super::drive::GuestTimeouts;
use super::interface::Phase;
use super::layers::ProjectDisk;
use crate::cancel::{Cancel, Level};
use crate::error::plain;
use crate::events::trouble::{ConsoleTail, Kind, Trouble};
use crate::guest::client::Guest;
use crate::image::custom_kernel::KernelFiles;
use crate::qemu::argv::{self, Memory, Slot, Spec};
use crate::qemu::console::{self, Console, Tee};
use crate::qemu::overlay::Overlays;
use crate::qemu::process::Process;
use crate::qemu::qmp::Qmp;
use agent::wire::{Command, LACKS, Request, Resume, Share};
use serde_json::Value;
use signal_hook::consts::{SIGBUS, SIGKILL};
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How long QEMU itself may take to start or to answer on QMP, whatever the guest does.
pub(super) const QEMU_LIMIT: Duration = Duration::from_secs(30);
/// How long QEMU may take to answer whether it has paused the machine.
const ASK_LIMIT: Duration = Duration::from_secs(2);
/// How much fresh entropy each guest gets, in bytes.
const SEED_BYTES: usize = 64;

/// Starts the machines of one run: everything that they have in common.
pub struct Launcher {
    /// The size, the devices and the kernel of every machine, unless its shape says otherwise.
    pub spec: Spec,
    /// The kernels they may boot; the first is in `spec` already.
    pub kernels: Vec<KernelFiles>,
    /// How the project is mounted.
    pub share: Share,
    /// The root disk, and QEMU's name for its format; `None` if they have none.
    pub root: Option<(PathBuf, String)>,
    /// Makes their root disks; `None` if they have none.
    pub overlays: Option<Overlays>,
    /// Makes their disks with the project; `None` if it is a shared folder.
    pub project: Option<ProjectDisk>,
    /// Where files without a name are made: memory and states of machines that are frozen in this
    /// run.
    pub spool: PathBuf,
    /// The private folder, for sockets: removed with the run.
    pub run_dir: PathBuf,
    /// The log folder, for consoles and QEMU's own messages: it stays after the run.
    pub log_dir: PathBuf,
    /// How long a boot may take until the agent says `HELLO`.
    pub boot_limit: Duration,
    /// How long a guest that runs a test may take to answer.
    pub timeouts: GuestTimeouts,
    /// The path of the agent's socket, with `{id}` for the machine's number; by default it is in
    /// `run_dir`.
    pub socket: Option<String>,
    /// Makes the second output of a machine's console, from the machine's name (`--debug`).
    pub tee: Option<fn(&str) -> Tee>,
    /// Whether machines wait for a debugger to let them go.
    pub gdb: bool,
}

/// What one machine has to itself before it starts.
pub(super) struct InstanceConfig<'a> {
    /// Its name, and the name of its files.
    pub(super) name: &'a str,
    /// Its number.
    pub(super) id: u32,
    /// Its size, its devices and its kernel.
    pub(super) spec: &'a Spec,
    /// Its memory.
    pub(super) memory: Memory,
    /// The file with its memory, if it has one of its own.
    pub(super) ram: Option<File>,
    /// Its root disk.
    pub(super) disk: Option<PathBuf>,
    /// Its disk with the project.
    pub(super) project: Option<PathBuf>,
    /// The sockets of the hubs that its wired cards are connected to.
    pub(super) hubs: &'a [PathBuf],
}

/// Where a machine stands among the nodes of its test. The default is a machine alone.
#[derive(Clone, Copy, Default)]
pub(super) struct Placement<'a> {
    /// The node's name and its number from 1; `None` for a machine alone.
    pub(super) name: Option<(&'a str, u8)>,
    /// The sockets of the hubs that its wired cards are connected to.
    pub(super) hubs: &'a [PathBuf],
}

impl Launcher {
    /// The files and sockets of the machine with this number.
    pub(super) fn slot(&self, id: u32, memory: Memory, disk: Option<PathBuf>) -> Slot {
        let socket = match &self.socket {
            Some(template) => PathBuf::from(template.replace("{id}", &id.to_string())),
            None => self.run_dir.join(format!("vm{id}.sock")),
        };
        let gdb = self.gdb.then(|| self.run_dir.join(format!("vm{id}.gdb")));
        Slot { socket, overlay: disk, project: None, memory, gdb, hubs: Vec::new() }
    }

    /// QEMU's command line for a cold boot of the machine with this number.
    pub(super) fn command_line(&self, id: u32) -> String {
        let disk = |kind: &str| self.run_dir.join(format!("vm{id}{kind}.qcow2"));
        let mut slot = self.slot(id, Memory::Anonymous, Some(disk("")));
        slot.project = self.project.as_ref().map(|_| disk("-project"));
        argv::display(&self.spec.program, &argv::argv(&self.spec, &slot))
    }

    /// Starts QEMU, paused or waiting for its state, and connects every channel.
    pub(super) fn start(&self, config: InstanceConfig<'_>) -> Result<Instance, Trouble> {
        let began = Instant::now();
        let mut slot = self.slot(config.id, config.memory, config.disk);
        slot.hubs = config.hubs.to_vec();
        slot.project = config.project;
        let arguments = argv::argv(config.spec, &slot);
        let stderr = self.log_dir.join(format!("{}.qemu.log", config.name));
        let program = &config.spec.program;
        let line = format!("{}\n", argv::display(program, &arguments));
        // Only people read this file; the machine starts without it too.
        let _ = std::fs::write(self.log_dir.join(format!("{}.command", config.name)), line);
        let (process, pipes) = Process::start(program, &arguments, &stderr).map_err(|e| {
            boot_failure(format!("cannot start `{}`: {}", program.display(), plain(&e)))
        })?;
        let log = self.log_dir.join(format!("{}.console.log", config.name));
        let console = Console::start(pipes.console, &log, self.tee.map(|tee| tee(config.name)))
            .map_err(|e| boot_failure(format!("cannot keep the console: {}", plain(&e))))?;
        let mut resources = Resources { process, console, ram: config.ram, slot };
        match Qmp::connect(pipes.qmp, Instant::now() + QEMU_LIMIT) {
            Ok(qmp) => {
                let name = config.name.to_owned();
                let (net, phases) = (config.spec.net, Vec::new());
                let mut instance = Instance { name, net, qmp, resources, began, phases };
                instance.reached("qemu");
                Ok(instance)
            }
            Err(error) => {
                let said = resources.end();
                let why = said.unwrap_or_else(|| plain(&error));
                Err(boot_failure(format!("QEMU did not start: {why}")))
            }
        }
    }

    /// The request that a guest gets when it is let go. `who` is the machine's name, and whether it
    /// has a network card.
    pub(super) fn resume(
        &self,
        who: (&str, bool),
        placement: Placement<'_>,
        share: Option<Share>,
    ) -> Command {
        let (name, net) = who;
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Command::Resume(Resume {
            time_ns: u64::try_from(since_epoch.as_nanos()).ok(),
            seed: random(SEED_BYTES),
            hostname: Some(placement.name.map_or(name, |(node, _)| node).to_owned()),
            machine_id: Some(agent::wire::to_hex(&random(16))),
            mac: match placement.name {
                Some((_, number)) => Some(mac(&[0, number, 0])),
                None => net.then(|| mac(&random(3))),
            },
            share,
        })
    }
}

/// The trouble of a machine that the run gave up before it was ready.
pub(super) fn killed(console: ConsoleTail) -> Trouble {
    Trouble { kind: Kind::Killed, detail: "the run was told to end".to_owned(), console }
}

/// The trouble of a boot that failed before there was a console.
pub(super) fn boot_failure(detail: String) -> Trouble {
    Trouble { kind: Kind::Boot, detail, console: ConsoleTail::default() }
}

/// The signal that QEMU died of, unless orca sent it.
fn death_of_qemu(status: ExitStatus) -> Option<String> {
    match status.signal()? {
        SIGKILL => None,
        SIGBUS => Some("it died of SIGBUS: no room for the file with its memory".to_owned()),
        signal => Some(format!("it died of signal {signal}")),
    }
}

/// The process, the console and the files of a machine. Dropping them ends the process and removes
/// the files.
pub(super) struct Resources {
    process: Process,
    pub(super) console: Console,
    /// The file with its memory, if it has one of its own.
    pub(super) ram: Option<File>,
    pub(super) slot: Slot,
}

impl Resources {
    /// Kills QEMU, reads the console to its end, and returns what QEMU said on its stderr.
    pub(super) fn end(&mut self) -> Option<String> {
        // If the process cannot be reaped, only the kernel can help.
        let status = self.process.kill().ok();
        self.console.join();
        self.process.stderr_tail().or_else(|| status.and_then(death_of_qemu))
    }

    /// Waits for QEMU to end by itself, which it does after `quit`.
    pub(super) fn wait(&mut self) {
        self.console.join();
        let _ = self.process.kill();
    }
}

impl Drop for Resources {
    fn drop(&mut self) {
        self.end();
        let private = |path: &&PathBuf| {
            !matches!(self.slot.memory, Memory::Template(_)) || *path == &self.slot.socket
        };
        let disks = [self.slot.overlay.as_ref(), self.slot.project.as_ref()];
        let files = [Some(&self.slot.socket)].into_iter().chain(disks);
        for path in files.flatten().filter(private) {
            // A file that is gone already is fine; what cannot be removed goes with the private
            // folder.
            let _ = std::fs::remove_file(path);
        }
    }
}

/// A QEMU process with its channels connected.
pub(super) struct Instance {
    pub(super) name: String,
    /// Whether it has a card for the host's network.
    pub(super) net: bool,
    pub(super) qmp: Qmp,
    pub(super) resources: Resources,
    began: Instant,
    /// The phases of its start that are done.
    pub(super) phases: Vec<Phase>,
}

impl Instance {
    /// Notes that a phase is done.
    pub(super) fn reached(&mut self, phase: &'static str) {
        self.phases.push((phase, self.began.elapsed()));
    }

    /// Lets a booting guest go and waits for its agent.
    pub(super) fn greet(&mut self, deadline: Instant, cancel: &Cancel) -> io::Result<Guest> {
        if self.resources.slot.gdb.is_none() {
            self.let_go()?;
        }
        let guest = Guest::connect(self.connect()?, deadline, cancel.on(Level::Cut))?;
        self.reached("hello");
        Ok(guest)
    }

    /// Lets a copy go. Its agent has been connected to `guest` all along; it gets a `PING` and
    /// `resume`. Both requests lie in the port before the copy wakes: the fewer times the copy has
    /// to wait, the less of its kernel it has to run.
    pub(super) fn wake(
        &mut self,
        mut guest: Guest,
        resume: Command,
        deadline: Instant,
    ) -> io::Result<Guest> {
        let ping = guest.send(&Request::new(Command::Ping))?;
        let resume = guest.send(&Request::new(resume))?;
        self.let_go()?;
        guest.answer(ping, deadline)?;
        self.reached("hello");
        guest.answer(resume, deadline)?;
        self.reached("share");
        Ok(guest)
    }

    /// Connects to the agent's port. QEMU has opened it by the time it answers on QMP.
    pub(super) fn connect(&self) -> io::Result<UnixStream> {
        UnixStream::connect(&self.resources.slot.socket)
    }

    /// Lets the machine go on: QEMU starts it stopped.
    pub(super) fn let_go(&mut self) -> io::Result<()> {
        self.qmp.execute("cont", Value::Null, Instant::now() + QEMU_LIMIT).map(|_| ())
    }

    /// Why the host keeps a silent machine from going on, if it does: QEMU pauses a machine whose
    /// disk it cannot write.
    pub(super) fn paused_by_host(&mut self) -> Option<String> {
        let status = self.qmp.execute("query-status", Value::Null, Instant::now() + ASK_LIMIT);
        (status.ok()?["status"] == "io-error").then(|| {
            let disk = self.resources.slot.overlay.as_deref().unwrap_or(Path::new("its disk"));
            format!("the host cannot write `{}`: no room on its disk?", disk.display())
        })
    }

    /// Ends a machine that did not get far enough, and says why it did not.
    pub(super) fn boot_trouble(&mut self, error: &io::Error, limit: Duration) -> Trouble {
        let timed_out = error.kind() == io::ErrorKind::TimedOut;
        let paused = if timed_out { self.paused_by_host() } else { None };
        let said = self.resources.end();
        let console = self.resources.console.tail();
        if error.kind() == io::ErrorKind::Interrupted {
            return killed(console.into());
        }
        let detail = match (error.kind(), console::death(&console), said) {
            _ if paused.is_some() => paused.unwrap_or_default(),
            (_, Some(death), _) => death.to_owned(),
            (io::ErrorKind::UnexpectedEof, None, Some(said)) => format!("QEMU ended: {said}"),
            (io::ErrorKind::UnexpectedEof, None, None) => {
                "the machine ended before its agent answered".to_owned()
            }
            (io::ErrorKind::TimedOut, ..) => format!("{} ({} s)", plain(error), limit.as_secs()),
            _ => plain(error),
        };
        let detail = match lacks(&console) {
            Some(lacks) => format!("{detail}; {lacks}"),
            None => detail,
        };
        Trouble { kind: Kind::Boot, detail, console: console::last_words(&console).into() }
    }
}

/// The agent's message on the console of a kernel that lacks a feature.
pub(super) fn lacks(console: &str) -> Option<&str> {
    console.lines().find_map(|line| line.find(LACKS).map(|at| line[at..].trim_end()))
}

/// A network address with the prefix that QEMU uses for its cards.
fn mac(random: &[u8]) -> [u8; 6] {
    let mut mac = [0x52, 0x54, 0x00, 0, 0, 0];
    mac[3..].copy_from_slice(random);
    mac
}

/// Bytes from the host's random pool. Without that pool it takes the clock's noise, which is better
/// than a pool that is identical in every copy.
fn random(len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    let read = std::fs::File::open("/dev/urandom").and_then(|mut f| f.read_exact(&mut bytes));
    if read.is_err() {
        let noise = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        for (at, byte) in bytes.iter_mut().enumerate() {
            *byte = (noise >> (at % 16 * 8)) as u8;
        }
    }
    bytes
}
