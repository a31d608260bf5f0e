//! `orca doctor`: a line for each finding of [`super::checks`], and, if nothing is bad, a machine
//! that is booted as a last check.

use super::checks::{self, Finding, Health};
use crate::cli::config::Config;
use crate::cli::raw::Raw;
use crate::error::{Error, Result};
use crate::events::exit;
use crate::guest::client::Guest;
use crate::machine::Machine;
use crate::report::paint::safe;
use crate::report::plain;
use crate::{cancel, setup};
use agent::wire::{Command, Ended, Kind, Request};
use crossbeam::channel::RecvTimeoutError;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// How long the agent may take to say its version.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);

/// Examines the host and prints what it found. `complaint` is what is wrong with the settings, if
/// they cannot be used.
pub fn run(raw: &Raw, complaint: Option<&Error>, version: &str) -> u8 {
    let found = checks::examine(raw, complaint);
    for finding in &found {
        show(finding);
    }
    let mut bad = found.iter().filter(|finding| finding.state == Health::Bad).count();
    if bad == 0 && !raw.local {
        let tried = match boot(raw, version) {
            Ok(finding) => finding,
            Err(error) => Finding::bad("machine", &error),
        };
        bad += usize::from(tried.state == Health::Bad);
        show(&tried);
    }
    let text = match bad {
        0 => "\ntests can run here\n".to_owned(),
        1 => "\none thing keeps tests from running here\n".to_owned(),
        bad => format!("\n{bad} things keep tests from running here\n"),
    };
    plain::out(text.as_bytes());
    if bad == 0 { exit::GOOD } else { exit::USAGE }
}

fn show(finding: &Finding) {
    let word = match finding.state {
        Health::Good => "ok  ",
        Health::Fair => "note",
        Health::Bad => "BAD ",
    };
    let mut text = format!("{word} {:14} {}\n", finding.what, safe(&finding.text));
    if let Some(advice) = &finding.advice {
        text.push_str(&format!("{:20}-> {}\n", "", safe(advice)));
    }
    plain::out(text.as_bytes());
}

/// The last check: boots a machine, with the project mounted, and asks its agent for its version.
fn boot(raw: &Raw, version: &str) -> Result<Finding> {
    let config = Config::new(raw.clone())?;
    let lab = setup::vms(&config)?;
    let (_canceller, cancel) = cancel::channel();
    let warnings = Mutex::new(Vec::new());
    let warn = |text| warnings.lock().map(|mut all| all.push(text)).unwrap_or_default();
    let began = Instant::now();
    let mut vm = lab.maker.boot(config.shape, &cancel, &warn).map_err(|trouble| {
        Error::new(format!("{trouble}")).hint(format!("see the logs in {}", lab.log_dir.display()))
    })?;
    let took = began.elapsed().as_secs_f64();
    let agent = ask_version(vm.guest())?;
    Box::new(vm).stop();
    drop(lab);
    let text = format!("ready in {took:.1} s, its agent is {agent}");
    let warnings = warnings.into_inner().unwrap_or_default();
    Ok(match warnings.first() {
        _ if agent != version => {
            let advice = "build the image again with scripts/build-image.sh";
            Finding::fair("machine", format!("{text}, this orca is {version}"), advice)
        }
        Some(why) => Finding::fair("machine", text, why),
        None => Finding::good("machine", text),
    })
}

/// The version that the guest's process 1 prints.
fn ask_version(guest: &mut Guest) -> Result<String> {
    let gone = |why: &str| Error::new(format!("the agent did not print its version: {why}"));
    let line = Command::Exec(b"exec /proc/1/exe --version".to_vec());
    let id = guest.send(&Request::new(line)).map_err(|e| gone(&crate::error::plain(&e)))?;
    let deadline = Instant::now() + ANSWER_LIMIT;
    let mut said = Vec::new();
    loop {
        let frame = match guest.inbox().recv_deadline(deadline) {
            Ok(frame) => frame,
            Err(RecvTimeoutError::Timeout) => return Err(gone("it took too long")),
            Err(RecvTimeoutError::Disconnected) => return Err(gone("it is gone")),
        };
        match frame.kind {
            Kind::Stdout if said.len() < 100 => said.extend(frame.payload),
            Kind::Reply if frame.id == id && is_end(&frame.payload) => {
                let said = String::from_utf8_lossy(&said);
                return Ok(said.trim().trim_start_matches("agent ").to_owned());
            }
            _ => {}
        }
    }
}

fn is_end(reply: &[u8]) -> bool {
    Ended::parse(&String::from_utf8_lossy(reply)).is_some()
}
