//! `orca run`: one machine for a person, with a shell, one command, or the serial console.

use crate::cancel::{self, Cancel, Canceller};
use crate::cli::config::Config;
use crate::conductor::interactive::{self, End, Env};
use crate::error::{Error, Result};
use crate::events::exit;
use crate::events::trouble::Trouble;
use crate::guest::mux::Mux;
use crate::host::{clock, limits, signals};
use crate::machine::Machine;
use crate::machine::maker::VmMaker;
use crate::machine::vm::Vm;
use crate::report::plain;
use crate::select::discover::{Test, discover};
use crate::select::header::Header;
use crate::setup::{self, Lab, boot_files};
use crate::text::quote::shell_word;
use agent::wire::{SHEBANG_MAX, interpreter};
use crossbeam::channel::Receiver;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

/// The folder in the machine where a test that is run by hand leaves its artifacts.
const ARTIFACTS: &str = "/tmp/artifacts";
/// How long the machine may take to make that folder.
const PREPARE_LIMIT: Duration = Duration::from_secs(20);

/// Boots a machine, gives a shell or runs a command in it, and returns the exit status of that.
///
/// # Errors
/// What keeps a machine from being made.
pub fn run(config: &Config) -> Result<u8> {
    boot_files::only_one(config)?;
    let mut config = config.clone();
    if config.raw.console {
        let words = "orca.share=overlay orca.console=shell loglevel=7";
        let append = config.raw.append.get_or_insert_default();
        *append = format!("{words} {append}").trim_end().to_owned();
    }
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
    let boot = || lab.maker.boot(config.shape, cancel, &warn);
    let mut vm = match interactive::interruptible(canceller, signals, boot) {
        (Ok(vm), _) => vm,
        (Err(_), Some(signal)) => return Ok(End::Signal(signal)),
        (Err(trouble), None) => return Err(trouble),
    };
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
        plain::err(format!("orca: to run the test: {}\n", test.line).as_bytes());
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

/// A test that a person runs by hand.
struct ByHand {
    test: Test,
    header: Header,
    /// The command line that runs it.
    line: String,
}

impl ByHand {
    /// Finds the test at `path`, and puts the machine that its header asks for into `config`.
    fn prepare(path: &Path, config: &mut Config) -> Result<Self> {
        let found = discover(&config.root, &[path.to_owned()])?;
        let [test] = &found[..] else {
            let error = Error::new(format!("`{}` names {} tests", path.display(), found.len()));
            return Err(error.hint("--test takes one test"));
        };
        if config.raw.rest.is_some() {
            return Err(Error::new("--test gives a shell, and takes no command")
                .hint("leave out --test, or what comes after `--`"));
        }
        let file = config.root.join(&test.path);
        let header = Header::read(&config.root, test)?;
        if !header.nodes.is_empty() {
            let error = Error::new(format!("`{}` has several nodes", test.display()));
            return Err(error.hint("run it with `orca test`; --keep keeps its first node"));
        }
        config.shape = header.shape(config.shape);
        let word = shell_word(test.path.as_os_str().as_bytes());
        let line = if is_program(&file) { format!("./{word}") } else { format!("sh {word}") };
        Ok(Self { test: test.clone(), header, line })
    }

    /// Refuses a test that `orca test` would skip on machines that have no more than `has`.
    fn check(&self, has: &[&str]) -> Result<()> {
        let Some(why) = self.header.lacks(has) else { return Ok(()) };
        let error = Error::new(format!("`{}` {why}", self.test.display()));
        Err(error.hint("`orca test` skips it; `orca run` without --test gives a machine"))
    }

    fn environment(&self, factor: f64) -> Env {
        let own = |name: &str, value: &[u8]| (name.as_bytes().to_vec(), value.to_vec());
        vec![
            own("ORCA_TEST", self.test.path.as_os_str().as_bytes()),
            own("ORCA_TIMEOUT_FACTOR", factor.to_string().as_bytes()),
            own("ORCA_ARTIFACTS", ARTIFACTS.as_bytes()),
            own("ORCA_KEEP", b"1"),
        ]
    }
}

/// Whether the agent would run `file` itself, and not `/bin/sh`: it is executable and begins with
/// `#!`.
fn is_program(file: &Path) -> bool {
    let executable = fs::metadata(file).is_ok_and(|meta| meta.permissions().mode() & 0o111 != 0);
    let start = || -> io::Result<Vec<u8>> {
        let mut start = Vec::new();
        File::open(file)?.take(SHEBANG_MAX as u64).read_to_end(&mut start).map(|_| start)
    };
    executable && start().is_ok_and(|start| interpreter(&start).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_executable_and_says_what_runs_it() {
        let dir = nix::unistd::mkdtemp(&std::env::temp_dir().join("orca-run-XXXXXX")).unwrap();
        let path = dir.join("x");
        let check = |text: &str, mode: u32, expected: bool| {
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(is_program(&path), expected, "{text:?} {mode:o}");
        };
        check("#!/bin/sh\n", 0o755, true);
        check("#!", 0o700, true);
        check("#!/bin/sh\n", 0o644, false);
        check("echo\n", 0o755, false);
        check("#", 0o755, false);
        check("", 0o755, false);
        assert!(!is_program(&dir.join("none")));
        fs::remove_dir_all(&dir).unwrap();
    }
}
