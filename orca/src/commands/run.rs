//! `orca run`: one machine for a person, with a shell, one command, or the serial console.

use super::by_hand::{ARTIFACTS, ByHand};
use crate::cancel::{self, Cancel, Canceller};
use crate::cli::config::Config;
use crate::conductor::interactive::{self, End};
use crate::error::{Error, Result};
use crate::events::exit;
use crate::events::trouble::Trouble;
use crate::guest::mux::Mux;
use crate::host::{clock, limits, signals};
use crate::machine::Machine;
use crate::machine::maker::VmMaker;
use crate::machine::vm::Vm;
use crate::report::plain;
use crate::setup::{self, Lab, boot_files};
use crate::text::quote::shell_word;
use crossbeam::channel::Receiver;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

/// How long the machine may take to make a folder.
const PREPARE_LIMIT: Duration = Duration::from_secs(20);

/// Boots a machine, gives a shell or runs a command in it, and returns the exit status of that.
///
/// # Errors
/// What keeps a machine from being made.
pub fn run(config: &Config) -> Result<u8> {
    boot_files::only_one(config)?;
    let mut config = config.clone();
    let by_hand = match config.raw.test.clone() {
        Some(path) => Some(ByHand::prepare(&path, &mut config)?),
        None => None,
    };
    limits::open_files(1, limits::MachineKind::Virtual)?;
    let lab = setup::vms(&config)?;
    if let Some(test) = &by_hand {
        test.check(&lab.has)?;
    }
    limits::room_for_disks(lab.run_dir.path(), 1)?;
    if config.raw.print_command {
        plain::out(format!("{}\n", lab.maker.command_line()).as_bytes());
        return Ok(exit::GOOD);
    }
    for warning in lab.warnings.iter().chain(&setup::leaving(&config)) {
        plain::err(format!("orca: {warning}\n").as_bytes());
    }
    let signals = signals::listen()?;
    let (canceller, cancel) = cancel::channel();
    let ended = if config.raw.console {
        interactive::console(&lab.maker, &signals)
    } else {
        if let Some(socket) = lab.maker.gdb_socket() {
            plain::err(attach(&config, &socket).as_bytes());
        }
        in_machine(&config, &lab, by_hand.as_ref(), canceller, &cancel, &signals)
    };
    drop(lab);
    match ended {
        Ok(End::Status(status)) => Ok(status),
        Ok(End::Signal(signal)) => signals::die_of(signal),
        Err(trouble) => {
            plain::err(format!("console:\n{}\n", trouble.console).as_bytes());
            plain::error("orca", &Error::new(trouble.to_string()));
            Ok(exit::TROUBLE)
        }
    }
}

fn in_machine(
    config: &Config,
    lab: &Lab<VmMaker>,
    by_hand: Option<&ByHand>,
    canceller: Canceller,
    cancel: &Cancel,
    signals: &Receiver<i32>,
) -> Result<End, Trouble> {
    let warn = |text: String| plain::err(format!("orca: {text}\n").as_bytes());
    let boot = || match by_hand {
        Some(test) => test.boot(lab, config.shape, cancel, &warn),
        None => lab.maker.boot(config.shape, cancel, &warn).map(|vm| (vm, None)),
    };
    let (mut vm, about) = match interactive::interruptible(canceller, signals, boot) {
        (Ok(booted), _) => booted,
        (Err(_), Some(signal)) => return Ok(End::Signal(signal)),
        (Err(trouble), None) => return Err(trouble),
    };
    about.into_iter().for_each(warn);
    let ended = match &config.raw.rest {
        Some(words) if !words.is_empty() => {
            interactive::command(vm.guest(), words, interactive::environment(config), signals)
        }
        _ => shell(config, lab, by_hand, &vm, signals),
    };
    match ended {
        Ok(ended) => {
            Box::new(vm).stop();
            Ok(ended)
        }
        Err(detail) => {
            let kind = crate::events::trouble::Kind::Lost;
            Err(vm.trouble(crate::machine::drive::Fault { kind, detail }))
        }
    }
}

/// A shell through a multiplexer, so that `orca shell` can give more of them.
fn shell(
    config: &Config,
    lab: &Lab<VmMaker>,
    by_hand: Option<&ByHand>,
    vm: &Vm,
    signals: &Receiver<i32>,
) -> Result<End, String> {
    let mut env = interactive::environment(config);
    let mut about = "orca run".to_owned();
    if let Some(test) = by_hand {
        env.extend(test.environment(lab.factor));
        about = format!("orca run --test {}", test.test.display());
        plain::err(format!("orca: {}\n", test.instructions()).as_bytes());
    }
    let Some((inbox, writer)) = vm.connection() else { return Err("it has no agent".to_owned()) };
    let name = vm.name().to_owned();
    let mux = Mux::open_in(lab.run_dir.path(), &name, &about, inbox, writer)
        .map_err(|e| crate::error::plain(&e))?;
    let mut guest = interactive::call(mux.path())?;
    if by_hand.is_some() {
        let made = guest.exec(&format!("mkdir -p {ARTIFACTS}"), clock::now() + PREPARE_LIMIT);
        made.map_err(|e| crate::error::plain(&e))?;
    }
    interactive::shell(&mut guest, env, signals)
}

/// The message that says how to attach a debugger.
fn attach(config: &Config, socket: &Path) -> String {
    let elf =
        config.raw.kernels.first().cloned().unwrap_or_else(|| config.image_file(&["vmlinux"]));
    let (elf, socket) =
        (shell_word(elf.as_os_str().as_bytes()), shell_word(socket.as_os_str().as_bytes()));
    format!(
        "orca: the machine waits for a debugger, in another terminal:\n  \
         gdb {elf} -ex 'target remote {socket}'\norca: `continue` there lets it boot\n"
    )
}
