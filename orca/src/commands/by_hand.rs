//! A test that a person runs by hand (`orca run --test`): the machine that it asks for, the set-ups
//! that run there first, and the line that runs the test.
//!
//! A set-up that does not pass is no reason to refuse the shell: people want to see why.

use crate::cancel::Cancel;
use crate::cli::config::Config;
use crate::conductor::interactive::Env;
use crate::error::{Error, Result};
use crate::events::attempt::Outcome;
use crate::events::trouble::{Kind, Trouble};
use crate::machine::maker::VmMaker;
use crate::machine::vm::Vm;
use crate::machine::{Machine, Maker, Order, SetUp};
use crate::pod;
use crate::report::plain;
use crate::select::discover::{Test, discover};
use crate::select::forks;
use crate::select::header::Header;
use crate::select::kept;
use crate::select::setups::{SetUpFile, SetUps};
use crate::setup::Lab;
use crate::shape::Shape;
use crate::text::quote::shell_word;
use agent::wire::{self, PROGRAMS_DIR, SHEBANG_MAX, interpreter};
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

/// The folder in the machine where a test that is run by hand leaves its artifacts.
pub(super) const ARTIFACTS: &str = "/tmp/artifacts";

/// A test that a person runs by hand.
pub(super) struct ByHand {
    pub(super) test: Test,
    header: Header,
    /// Its set-ups, outermost first.
    setups: Vec<SetUpFile>,
    /// The digest of each set-up that is kept between runs.
    kept: Vec<Option<u64>>,
    /// What set-ups find in their environment.
    env: Env,
    /// How long a set-up may take unless its header says so, with hardware virtualisation.
    timeout: Duration,
    /// The command line that runs the test.
    line: String,
    /// Whether it is likely to fork.
    forks: bool,
}

impl ByHand {
    /// Finds the test at `path`, and puts the machine that its header and its set-ups ask for into
    /// `config`.
    pub(super) fn prepare(path: &Path, config: &mut Config) -> Result<Self> {
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
        let setups = SetUps::read(&config.root, [test])?;
        let (kept, warnings) = kept::digests(&config.root, &setups, &config.variables());
        warnings.iter().for_each(|warning| say(warning));
        let setups = setups.all;
        let usual = setups.iter().fold(config.shape, |usual, setup| setup.header.shape(usual));
        config.shape = header.shape(usual);
        let forks = forks::mentions(&file) || !test.only.is_empty();
        let word = shell_word(test.path.as_os_str().as_bytes());
        let line = if is_program(&file) { format!("./{word}") } else { format!("sh {word}") };
        let line = if forks { format!("PATH={PROGRAMS_DIR}:$PATH {line}") } else { line };
        let (env, timeout) = (config.variables(), config.raw.timeout);
        Ok(Self { test: test.clone(), header, setups, kept, env, timeout, line, forks })
    }

    /// Refuses a test that `orca test` would skip on machines that have no more than `has`.
    pub(super) fn check(&self, has: &[&str]) -> Result<()> {
        let headers = self.setups.iter().map(|setup| (&setup.file, &setup.header));
        for (file, header) in headers.chain([(&self.test, &self.header)]) {
            if let Some(why) = header.lacks(has) {
                let error = Error::new(format!("`{}` {why}", file.display()));
                let hint = "`orca test` skips it; `orca run` without --test gives a machine";
                return Err(error.hint(hint));
            }
        }
        Ok(())
    }

    /// Boots the machine and runs the set-ups there, up to one that does not pass. The text says
    /// which have run, if there are any.
    ///
    /// # Errors
    /// The machine is in trouble.
    pub(super) fn boot(
        &self,
        lab: &Lab<VmMaker>,
        shape: Shape,
        cancel: &Cancel,
        warn: &dyn Fn(String),
    ) -> Result<(Vm, Option<String>), Trouble> {
        let done = if lab.freezes { self.recall(&lab.maker, shape) } else { 0 };
        let from = Shape { setup: done.checked_sub(1), ..shape };
        let mut vm = lab.maker.boot(from, cancel, warn)?;
        let mut names: Vec<String> =
            self.setups[..done].iter().map(|setup| setup.file.display()).collect();
        if let Some(kept) = names.last_mut() {
            kept.push_str(" (kept from an earlier run)");
        }
        for (at, setup) in self.setups.iter().enumerate().skip(done) {
            let name = setup.file.display();
            if let Some(why) = self.set_up(&mut vm, setup, lab, shape, cancel)? {
                let mut text = format!("{name} {why}; the machine is as it left it");
                for setup in &self.setups[at + 1..] {
                    text.push_str(&format!("\norca: {} did not run", setup.file.display()));
                }
                return Ok((vm, Some(text)));
            }
            names.push(name);
        }
        let text = (!names.is_empty()).then(|| format!("set up by {}", names.join(", ")));
        Ok((vm, text))
    }

    /// Runs one set-up. Returns what happened to it if it did not pass.
    fn set_up(
        &self,
        vm: &mut Vm,
        setup: &SetUpFile,
        lab: &Lab<VmMaker>,
        shape: Shape,
        cancel: &Cancel,
    ) -> Result<Option<String>, Trouble> {
        let order = self.order(setup, lab.factor, shape);
        let dir = lab.log_dir.join(&setup.file.path);
        let (outcome, reasons) = pod::set_up(vm, &order, &dir, cancel, &mut plain::err);
        match outcome {
            Outcome::Passed => Ok(None),
            Outcome::Skipped(why) => Ok(Some(format!("skips its tests ({why})"))),
            Outcome::Failed => Ok(Some(format!("did not pass: {}", reasons.join(", ")))),
            Outcome::TimedOut { .. } => Ok(Some("ran into its timeout".to_owned())),
            Outcome::Errored(trouble) => Err(trouble),
            Outcome::NotRun => {
                let (kind, detail) = (Kind::Killed, "a signal ended its set-up".to_owned());
                Err(Trouble { kind, detail, console: vm.console().into() })
            }
        }
    }

    /// Finds the innermost set-up whose machine is kept from an earlier run, and returns how many
    /// set-ups are done there.
    fn recall(&self, maker: &VmMaker, shape: Shape) -> usize {
        let recall = |&number: &usize| {
            let setup = SetUp { number, kept: self.kept[number], ..SetUp::default() };
            maker.recall(shape, &setup, &|text| plain::err(format!("orca: {text}\n").as_bytes()))
        };
        (0..self.setups.len()).rev().find(recall).map_or(0, |at| at + 1)
    }

    fn order(&self, setup: &SetUpFile, factor: f64, shape: Shape) -> Order {
        let mut env = self.env.clone();
        env.push(variable("ORCA_TIMEOUT_FACTOR", factor.to_string().as_bytes()));
        env.push(variable(wire::SETUP, b"1"));
        Order {
            shape,
            path: setup.file.path.as_os_str().as_bytes().to_vec(),
            env,
            timeout: setup.header.timeout.unwrap_or(self.timeout).mul_f64(factor),
            ..Order::default()
        }
    }

    /// The variables of the test, for the shell.
    pub(super) fn environment(&self, factor: f64) -> Env {
        let case: String = self.cases().map(|name| format!("[{name}]")).collect();
        let case = (!case.is_empty()).then(|| variable(wire::CASE, case.as_bytes()));
        let all = [
            variable("ORCA_TEST", self.test.path.as_os_str().as_bytes()),
            variable("ORCA_TIMEOUT_FACTOR", factor.to_string().as_bytes()),
            variable("ORCA_ARTIFACTS", ARTIFACTS.as_bytes()),
            variable("ORCA_KEEP", b"1"),
        ];
        all.into_iter().chain(case).collect()
    }

    /// The names of the case that was asked for.
    fn cases(&self) -> impl Iterator<Item = &String> {
        self.test.only.iter().flatten()
    }

    /// How to run the test, for the user.
    pub(super) fn instructions(&self) -> String {
        let how = match (self.cases().next(), self.forks) {
            (Some(_), _) => "nothing forks here: ORCA_CASE says which case it is",
            (None, true) => "nothing forks here: ORCA_CASE='[NAME]' before it makes it one case",
            (None, false) => return format!("to run the test: {}", self.line),
        };
        format!("to run the test: {}\norca: {how}", self.line)
    }
}

fn variable(name: &str, value: &[u8]) -> (Vec<u8>, Vec<u8>) {
    (name.as_bytes().to_vec(), value.to_vec())
}

fn say(text: &str) {
    plain::err(format!("orca: {text}\n").as_bytes());
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
