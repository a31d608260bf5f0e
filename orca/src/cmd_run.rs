//! `orca run`: one machine for a person: a shell, one command, or the serial console.

use crate::boot;
use crate::cancel::{self, Cancel, Canceller, Level};
use crate::config::Config;
use crate::error::{Error, Result};
use crate::machine::Machine;
use crate::machine::Shape;
use crate::machine::maker::VmMaker;
use crate::machine::vm::Vm;
use crate::report::plain;
use crate::session::{self, End};
use crate::setup;
use crate::trouble::Trouble;
use crate::{exit, signals};
use crossbeam::channel::{Receiver, bounded, select};
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

/// Boots a machine, does what was asked in it, and returns the exit status of that.
///
/// # Errors
/// Whatever keeps a machine from being made.
pub fn run(config: &Config) -> Result<u8> {
    if let Some(word) = config.raw.words.first() {
        let error = Error::new(format!("unexpected argument `{}`", word.to_string_lossy()));
        return Err(error.hint("a command to run in the machine stands behind `--`"));
    }
    boot::only_one(config)?;
    let mut config = config.clone();
    if config.raw.console {
        let words = "orca.share=overlay orca.console=shell loglevel=7";
        let append = config.raw.append.get_or_insert_default();
        *append = format!("{words} {append}").trim_end().to_owned();
    }
    let lab = setup::vms(&config)?;
    if config.raw.print_command {
        plain::out(format!("{}\n", lab.maker.command_line()).as_bytes());
        return Ok(exit::GOOD);
    }
    for warning in &lab.warnings {
        plain::err(format!("orca: {warning}\n").as_bytes());
    }
    let signals = signals::listen()?;
    let (canceller, cancel) = cancel::channel();
    let ended = if config.raw.console {
        session::console(&lab.maker, &signals)
    } else {
        in_machine(&config, &lab.maker, canceller, &cancel, &signals)
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
    maker: &VmMaker,
    canceller: Canceller,
    cancel: &Cancel,
    signals: &Receiver<i32>,
) -> Result<End, Trouble> {
    let shape = Shape { memory_mib: config.memory_mib, cpus: config.cpus, kernel: 0 };
    let mut vm = match boot(maker, shape, canceller, cancel, signals) {
        Ok(vm) => vm,
        Err((_, Some(signal))) => return Ok(End::Signal(signal)),
        Err((trouble, None)) => return Err(trouble),
    };
    let ended = match &config.raw.rest {
        Some(words) if !words.is_empty() => {
            session::command(vm.guest(), words, environment(config), signals)
        }
        _ => session::shell(vm.guest(), environment(config), signals),
    };
    match ended {
        Ok(ended) => {
            Box::new(vm).stop();
            Ok(ended)
        }
        Err(detail) => {
            let kind = crate::trouble::Kind::Lost;
            Err(vm.trouble(crate::machine::drive::Fault { kind, detail }))
        }
    }
}

/// Boots on a thread of its own, so that a signal can end the wait.
fn boot(
    maker: &VmMaker,
    shape: Shape,
    mut canceller: Canceller,
    cancel: &Cancel,
    signals: &Receiver<i32>,
) -> Result<Vm, (Trouble, Option<i32>)> {
    let (done, booted) = bounded(1);
    let mut interrupted = None;
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let tell = |text: String| plain::err(format!("orca: {text}\n").as_bytes());
            // The receiver waits for exactly this.
            let _ = done.send(maker.boot(shape, cancel, &tell));
        });
        loop {
            select! {
                recv(booted) -> result => match result {
                    Ok(result) => return result.map_err(|trouble| (trouble, interrupted)),
                    Err(_) => std::process::abort(), // the thread has no way to end without a result
                },
                recv(signals) -> signal => {
                    interrupted = interrupted.or(signal.ok());
                    canceller.raise(Level::Kill);
                }
            }
        }
    })
}

fn environment(config: &Config) -> Vec<(Vec<u8>, Vec<u8>)> {
    let own =
        |(name, value): &(String, OsString)| (name.as_bytes().to_vec(), value.clone().into_vec());
    let mut env: Vec<_> = config.raw.env.iter().map(own).collect();
    if let Some(term) = std::env::var_os("TERM") {
        env.push((b"TERM".to_vec(), term.into_vec()));
    }
    env
}
