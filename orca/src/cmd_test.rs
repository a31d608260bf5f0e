//! `orca test`: discover, plan, run, report.

use crate::cancel;
use crate::cli::command::Command;
use crate::conductor::{self, Conductor, Ended, Limits, State};
use crate::config::Config;
use crate::discover::discover;
use crate::error::{Error, Result, plain};
use crate::event::Start;
use crate::exit;
use crate::machine::stock::Stock;
use crate::machine::{Maker, Order, Shape};
use crate::plan::{Defaults, Plan, Planned};
use crate::pod::{Job, Pod, Policy};
use crate::quote::shown_word;
use crate::report::plain;
use crate::reports;
use crate::setup::{self, Lab};
use crate::signals;
use crossbeam::channel::unbounded;
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;
use std::sync::Arc;

/// Runs the tests that `config` names and returns the exit status.
///
/// # Errors
/// Whatever keeps a run from beginning.
pub fn run(config: &Config) -> Result<u8> {
    let tests = discover(&config.root, &config.paths())?;
    if tests.is_empty() {
        let error = Error::new(format!("no tests in `{}`", config.root.display()));
        plain::error("orca", &error.hint("a test is called t/…/NAME_test.sh"));
        return Ok(exit::NOTHING);
    }
    let lab = setup::lab(config)?;
    let defaults = Defaults {
        timeout: config.timeout,
        factor: lab.factor,
        retries: config.raw.retries.unwrap_or(0),
        memory_mib: config.memory_mib,
        cpus: config.cpus,
    };
    let plan = Plan::new(&config.root, tests, defaults)?;
    let workers = config.jobs.min(plan.tests.len());
    check_socket(config, workers)?;
    let ended = conduct(config, &plan, &lab, workers)?;
    drop(lab);
    match ended.signal {
        Some(signal) => signals::die_of(signal),
        None => Ok(exit::status(&ended.tally)),
    }
}

fn conduct(
    config: &Config,
    plan: &Plan,
    lab: &Lab<Arc<dyn Maker>>,
    workers: usize,
) -> Result<Ended> {
    let mut reporters = reports::open(config)?;
    let (signals, attention) = (signals::listen()?, signals::attend()?);
    let (canceller, cancel) = cancel::channel();
    let (jobs, queue) = unbounded();
    let policy = if config.raw.reuse { Policy::Reuse } else { Policy::Pristine };
    let maker: Arc<dyn Maker> = match policy {
        Policy::Reuse => Arc::clone(&lab.maker),
        Policy::Pristine => {
            let usual = Shape { memory_mib: config.memory_mib, cpus: config.cpus };
            let demand = plan.tests.iter().filter(|planned| shape(planned) == usual).count();
            Arc::new(Stock::new(Arc::clone(&lab.maker), usual, workers, demand, &cancel))
        }
    };
    let pod = Pod::start(workers, &maker, policy, &queue, &cancel)
        .map_err(|e| Error::new(format!("cannot start the workers: {}", plain(&e))))?;
    drop((queue, maker));
    let limits = Limits { fail_fast: config.raw.fail_fast };
    let state = State::new(make_jobs(config, plan, lab), limits, workers);
    let start = Start {
        tests: plan.tests.iter().map(|planned| planned.test.display()).collect(),
        expected: vec![None; plan.tests.len()],
        seed: None,
        workers,
        machine: lab.description.clone(),
        log_dir: lab.log_dir.clone(),
        again: plan.tests.iter().map(|planned| again(config, planned)).collect(),
        merged: 0,
    };
    let conductor = Conductor {
        jobs,
        pod,
        canceller,
        cancel,
        signals: &signals,
        attention: &attention,
        warnings: lab.warnings.clone(),
        reporters: &mut reporters,
    };
    Ok(conductor::run(conductor, state, start))
}

/// The command that runs just that test again, with the same options where they matter to it.
fn again(config: &Config, planned: &Planned) -> String {
    let name = Command::Test.row().name;
    let program = std::env::args_os().take_while(|word| word != name);
    let options = config.raw.again.iter().cloned();
    let words =
        program.chain([name.into()]).chain(options).chain([planned.test.path.clone().into()]);
    words.map(|word| shown_word(word.as_bytes())).collect::<Vec<_>>().join(" ")
}

fn make_jobs(config: &Config, plan: &Plan, lab: &Lab<Arc<dyn Maker>>) -> Vec<Job> {
    let own = |name: &str, value: OsString| (name.as_bytes().to_vec(), value.into_vec());
    let mut env: Vec<(Vec<u8>, Vec<u8>)> =
        config.raw.env.iter().map(|(name, value)| own(name, value.clone())).collect();
    env.push(own("ORCA_TIMEOUT_FACTOR", lab.factor.to_string().into()));
    let job = |(test, planned): (usize, &Planned)| Job {
        test,
        path: planned.test.display(),
        round: 1,
        attempt: 1,
        retries: planned.retries,
        quarantined: None,
        order: Order {
            shape: shape(planned),
            path: planned.test.path.as_os_str().as_bytes().to_vec(),
            env: env.clone(),
            timeout: planned.timeout,
            silence: config.silence.map(|silence| silence.mul_f64(lab.factor)),
        },
        dir: lab.log_dir.join(&planned.test.path),
    };
    plan.tests.iter().enumerate().map(job).collect()
}

fn shape(planned: &Planned) -> Shape {
    Shape { memory_mib: planned.memory_mib, cpus: planned.cpus }
}

/// Machines that share a socket path would end each other.
fn check_socket(config: &Config, workers: usize) -> Result<()> {
    let Some(socket) = &config.raw.socket else { return Ok(()) };
    if workers > 1 && !socket.contains("{id}") {
        let error =
            Error::new("--socket needs `{id}` in its path where there are several machines");
        return Err(error.hint("say -j1, or for example --socket /run/me/vm{id}.sock"));
    }
    let longest = socket.replace("{id}", "99999");
    if Path::new(&longest).as_os_str().len() > 107 {
        return Err(Error::new(format!(
            "--socket: `{socket}` is longer than the 107 bytes of a socket's path"
        )));
    }
    Ok(())
}
