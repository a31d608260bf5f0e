//! `orca test`: discover, plan, run, report.

use crate::cancel;
use crate::cli::raw::Format;
use crate::conductor::{self, Conductor, Ended, Limits, State};
use crate::config::Config;
use crate::discover::discover;
use crate::error::{Error, Result, plain};
use crate::event::{Event, Kernel, Start};
use crate::exit;
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
use crate::setup::{self, Lab};
use crate::signals;
use crossbeam::channel::unbounded;
use std::ffi::OsString;
use std::fs::File;
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
    let workers = config.jobs.min(plan.tests.len() * lab.kernels.len().max(1));
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
    let mut reporters = reporters(config)?;
    let signals = signals::listen()?;
    let (canceller, cancel) = cancel::channel();
    let (jobs, queue) = unbounded();
    let policy = if config.raw.reuse { Policy::Reuse } else { Policy::Pristine };
    let maker: Arc<dyn Maker> = match policy {
        Policy::Reuse => Arc::clone(&lab.maker),
        Policy::Pristine => {
            let usual = Shape { memory_mib: config.memory_mib, cpus: config.cpus, kernel: 0 };
            let demand = plan.tests.iter().filter(|planned| shape(planned, 0) == usual).count();
            Arc::new(Stock::new(Arc::clone(&lab.maker), usual, workers, demand, &cancel))
        }
    };
    let pod = Pod::start(workers, &maker, policy, &queue, &cancel)
        .map_err(|e| Error::new(format!("cannot start the workers: {}", plain(&e))))?;
    drop((queue, maker));
    let limits = Limits { fail_fast: config.raw.fail_fast };
    let jobs_to_do = make_jobs(config, plan, lab);
    let start = Start {
        tests: jobs_to_do.iter().map(|job| job.path.clone()).collect(),
        expected: vec![None; jobs_to_do.len()],
        seed: None,
        workers,
        machine: lab.description.clone(),
        log_dir: lab.log_dir.clone(),
    };
    let state = State::new(jobs_to_do, limits, workers);
    for warning in &lab.warnings {
        let event = Event::Warning(warning.clone());
        reporters.iter_mut().for_each(|reporter| reporter.event(&event, &Default::default()));
    }
    let conductor =
        Conductor { jobs, pod, canceller, cancel, signals: &signals, reporters: &mut reporters };
    Ok(conductor::run(conductor, state, start))
}

fn reporters(config: &Config) -> Result<Vec<Box<dyn Reporter>>> {
    let create = |path: &Path| {
        File::create(path).map_err(|e| Error::io("write", path, &e).hint("name a writable file"))
    };
    let mut found: Vec<Box<dyn Reporter>> = Vec::new();
    match config.raw.format.unwrap_or_default() {
        Format::Human => {
            found.push(Box::new(Human::new(Paint { on: config.colors() }, volume(config))));
        }
        Format::Json => found.push(Box::new(Json::new(plain::Out))),
    }
    if let Some(path) = &config.raw.json {
        found.push(Box::new(Json::new(create(path)?)));
    }
    if let Some(path) = &config.raw.junit {
        let report = Junit::new(create(path)?).map_err(|e| Error::io("write", path, &e))?;
        found.push(Box::new(report));
    }
    Ok(found)
}

fn make_jobs(config: &Config, plan: &Plan, lab: &Lab<Arc<dyn Maker>>) -> Vec<Job> {
    let own = |name: &str, value: OsString| (name.as_bytes().to_vec(), value.into_vec());
    let mut env: Vec<(Vec<u8>, Vec<u8>)> =
        config.raw.env.iter().map(|(name, value)| own(name, value.clone())).collect();
    env.push(own("ORCA_TIMEOUT_FACTOR", lab.factor.to_string().into()));
    let job = |planned: &Planned, number: usize, kernel: Option<&Kernel>| Job {
        test: 0,
        path: match kernel {
            Some(kernel) => kernel.name(&planned.test.display()),
            None => planned.test.display(),
        },
        kernel: kernel.cloned(),
        round: 1,
        attempt: 1,
        retries: planned.retries,
        quarantined: None,
        order: Order {
            shape: shape(planned, number),
            path: planned.test.path.as_os_str().as_bytes().to_vec(),
            env: env.clone(),
            timeout: planned.timeout,
            silence: config.silence.map(|silence| silence.mul_f64(lab.factor)),
        },
        dir: match kernel {
            Some(kernel) => lab.log_dir.join(&kernel.release).join(&planned.test.path),
            None => lab.log_dir.join(&planned.test.path),
        },
    };
    let mut kernels: Vec<Option<&Kernel>> = lab.kernels.iter().map(Some).collect();
    if kernels.is_empty() {
        kernels.push(None);
    }
    // One kernel after the other: most machines of a kernel come from one template.
    let all = kernels.into_iter().enumerate().flat_map(|(number, kernel)| {
        plan.tests.iter().map(move |planned| (planned, number, kernel))
    });
    let jobs = all.map(|(planned, number, kernel)| job(planned, number, kernel));
    jobs.enumerate().map(|(test, one)| Job { test, ..one }).collect()
}

fn shape(planned: &Planned, kernel: usize) -> Shape {
    Shape { memory_mib: planned.memory_mib, cpus: planned.cpus, kernel }
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
