//! `orca test`: discover, plan, run, report.

use crate::cancel;
use crate::cli::raw::Format;
use crate::clock;
use crate::conductor::{self, Conductor, Ended, Limits, State};
use crate::config::Config;
use crate::discover::discover;
use crate::error::{Error, Result, plain};
use crate::event::{Event, Start};
use crate::exit;
use crate::host;
use crate::machine::stock::Stock;
use crate::machine::{Maker, Order, Shape};
use crate::plan::{Defaults, Plan, Planned};
use crate::pod::{Job, Pod, Policy};
use crate::report::Reporter;
use crate::report::human::{Human, Volume};
use crate::report::json::Json;
use crate::report::junit::Junit;
use crate::report::paint::Paint;
use crate::report::plain;
use crate::report::saved::{Fault, Saved};
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
    let workers = config.jobs.min(tests.len());
    let local = config.raw.local == Some(true);
    host::open_files(workers, if local { host::Kind::Local } else { host::Kind::Virtual })?;
    clock::keep();
    let lab = setup::lab(config)?;
    if !local {
        host::room_for_disks(lab.run_dir.path(), workers)?;
    }
    let defaults = Defaults {
        timeout: config.timeout,
        factor: lab.factor,
        retries: config.raw.retries.unwrap_or(0),
        memory_mib: config.memory_mib,
        cpus: config.cpus,
    };
    let plan = Plan::new(&config.root, tests, defaults)?;
    check_socket(config, workers)?;
    let (reporters, faults) = reporters(config)?;
    let ended = conduct(config, &plan, &lab, workers, reporters)?;
    drop(lab);
    let faults: Vec<&Error> = faults.iter().filter_map(|fault| fault.get()).collect();
    faults.iter().for_each(|error| plain::error("orca", error));
    match (ended.signal, exit::status(&ended.tally)) {
        (Some(signal), _) => signals::die_of(signal),
        (None, exit::GOOD) if !faults.is_empty() => Ok(exit::USAGE), // whoever wanted the report has none
        (None, status) => Ok(status),
    }
}

fn conduct(
    config: &Config,
    plan: &Plan,
    lab: &Lab<Arc<dyn Maker>>,
    workers: usize,
    mut reporters: Vec<Box<dyn Reporter>>,
) -> Result<Ended> {
    let signals = signals::listen()?;
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
    };
    for warning in &lab.warnings {
        let event = Event::Warning(warning.clone());
        reporters.iter_mut().for_each(|reporter| reporter.event(&event, &Default::default()));
    }
    let conductor =
        Conductor { jobs, pod, canceller, cancel, signals: &signals, reporters: &mut reporters };
    Ok(conductor::run(conductor, state, start))
}

/// Reporters, and what may come to be wrong with those that write files.
type Reports = (Vec<Box<dyn Reporter>>, Vec<Fault>);

/// The reports that were asked for.
fn reporters(config: &Config) -> Result<Reports> {
    let mut found: Vec<Box<dyn Reporter>> = Vec::new();
    let mut faults = Vec::new();
    match config.raw.format.unwrap_or_default() {
        Format::Human => {
            found.push(Box::new(Human::new(Paint { on: config.colors() }, volume(config))));
        }
        Format::Json => found.push(Box::new(Json::new(plain::Out))),
    }
    if let Some(path) = &config.raw.json {
        let (file, fault) = Saved::create(path)?;
        found.push(Box::new(Json::new(file)));
        faults.push(fault);
    }
    if let Some(path) = &config.raw.junit {
        let (file, fault) = Saved::create(path)?;
        found.push(Box::new(Junit::new(file).map_err(|e| Error::io("write", path, &e))?));
        faults.push(fault);
    }
    Ok((found, faults))
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

fn volume(config: &Config) -> Volume {
    match (config.raw.quiet, config.raw.verbose) {
        (true, _) => Volume::Quiet,
        (false, 0) => Volume::Normal,
        (false, 1) => Volume::Verbose,
        (false, _) => Volume::Everything,
    }
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
