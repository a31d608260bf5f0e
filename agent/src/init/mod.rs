//! Process 1: sets up the machine, then serves hosts or becomes the image's own init.
//!
//! Nothing here may panic, exit or return. An error is a line on the console. If it makes the
//! machine useless, it also ends the machine.

mod requirements;
mod service;

use crate::agent::Agent;
use crate::cmdline::CommandLine;
use crate::console::{give_up, power_off, power_off_on_panic, say};
use crate::launch::PATH;
use crate::port::{self, Port, Source};
use crate::wire::SHARE_DIR;
use crate::{mounts, resume, root, serve, sys};
use nix::kmod::{ModuleInitFlags, finit_module};
use nix::libc::O_NOCTTY;
use signal_hook::consts::{SIGINT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::low_level::pipe;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::thread;

/// Lists the modules to load, one path a line, each after those that it depends on. The image's
/// builder writes it.
const MODULES: &str = "/modules.list";
/// The machine's name, if neither the command line nor the image has one.
const HOSTNAME: &str = "orca";

/// Runs the machine. Never returns.
pub(crate) fn main() -> ! {
    power_off_on_panic();
    mounts::early();
    let line = CommandLine::of_this_boot();
    load_modules();
    if let Err(why) = requirements::check() {
        give_up(&why);
    }
    if let Err(why) = root::enter(&line) {
        give_up(&why);
    }
    if line.value("agent_mode") != Some("true") {
        hand_over(line.value("init").unwrap_or("/sbin/init"));
    }
    match serve_machine(&line) {
        Ok(()) => power_off(),
        Err(why) => give_up(&why),
    }
}

fn load_modules() {
    let list = fs::read_to_string(MODULES).unwrap_or_default();
    for path in list.lines().map(str::trim).filter(|path| !path.is_empty()) {
        let path = Path::new("/").join(path);
        let loaded = File::open(&path).and_then(|file| {
            finit_module(file, c"", ModuleInitFlags::empty()).map_err(std::io::Error::from)
        });
        match loaded {
            Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => {
                say(&format!("cannot load `{}`: {e}", path.display()));
            }
            _ => {}
        }
    }
}

/// Becomes the image's own init.
fn hand_over(init: &str) -> ! {
    if let Err(why) = service::install(init) {
        give_up(&why);
    }
    let why = Command::new(init).env_clear().env("PATH", PATH).env("TERM", "linux").exec();
    give_up(&format!("cannot run `{init}`: {why}"))
}

fn serve_machine(line: &CommandLine) -> Result<(), String> {
    watch_signals().map_err(|e| format!("cannot watch signals: {e}"))?;
    if let Err(e) = sys::loopback_up() {
        say(&format!("cannot bring up `lo`: {e}"));
    }
    name_machine(line.value("orca.hostname"));
    let agent = Agent::new(SHARE_DIR.into(), true).map_err(|e| format!("cannot start: {e}"))?;
    let agent = Arc::new(agent);
    if let Err(why) = resume::mount_at_boot(&agent, line) {
        say(&format!("share: {why}"));
    }
    if line.value("orca.console") == Some("shell") {
        let agent = agent.clone();
        let shell = move || console_shell(&agent);
        thread::Builder::new().name("console".into()).spawn(shell).map_err(|e| e.to_string())?;
    }
    if let Err(e) = port::link_for_people() {
        say(&format!("cannot name the port in `/dev/virtio-ports`: {e}"));
    }
    let port = Port::new(Source::Guest);
    serve::serve(&agent, port).map_err(|e| format!("cannot serve: {e}"))
}

/// Powers the machine off on the signals that `poweroff`, `halt` and `reboot` send to an init.
fn watch_signals() -> std::io::Result<()> {
    let (mut receiver, sender) = UnixStream::pair()?;
    for signal in [SIGINT, SIGTERM, SIGUSR1, SIGUSR2] {
        pipe::register(signal, sender.try_clone()?)?;
    }
    let body = move || {
        if receiver.read(&mut [0]).is_ok() {
            power_off();
        }
    };
    thread::Builder::new().name("signals".into()).spawn(body).map(drop)
}

fn name_machine(asked: Option<&str>) {
    let own = fs::read_to_string("/etc/hostname").unwrap_or_default();
    let named = match (asked, own.trim()) {
        (Some(name), _) => resume::set_hostname(name),
        (None, "") => nix::unistd::sethostname(HOSTNAME).map_err(Into::into),
        (None, own) => nix::unistd::sethostname(own).map_err(Into::into),
    };
    if let Err(e) = named {
        say(&format!("cannot set the hostname: {e}"));
    }
}

/// Runs a shell on the console. The machine ends with it.
fn console_shell(agent: &Agent) {
    let started = console_device().and_then(|console| {
        let mut command = Command::new("/bin/sh");
        command.arg("-l").current_dir(agent.folder()).env("TERM", "vt220");
        command.stdin(console.try_clone()?).stdout(console.try_clone()?).stderr(console);
        agent.launcher.environment(&mut command, &[]);
        agent.launcher.spawn(&mut command, true)
    });
    match started {
        Ok((shell, _processes)) => {
            shell.end.wait();
            power_off();
        }
        Err(e) => give_up(&format!("cannot run a shell on the console: {e}")),
    }
}

/// Opens the device behind `/dev/console`, which itself cannot control a session.
fn console_device() -> std::io::Result<File> {
    let active = fs::read_to_string("/sys/class/tty/console/active").unwrap_or_default();
    let name = active.split_ascii_whitespace().next_back().unwrap_or("console");
    let path = Path::new("/dev").join(name);
    File::options().read(true).write(true).custom_flags(O_NOCTTY).open(path)
}
