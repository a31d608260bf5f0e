//! `orca test`: discover, plan, run, report.

use crate::cancel;
use crate::cli::command::Command;
use crate::cli::config::Config;
use crate::cli::raw::{Artifacts, Format};
use crate::conductor::keeper::{Keeper, Wish};
use crate::conductor::{self, Conductor, Ended, Limits, ScheduledJob, State};
use crate::error::{Error, Result, plain};
use crate::events::attempt::Kernel;
use crate::events::event::Start;
use crate::events::exit;
use crate::host::{clock, limits, logdir, signals, tty};
use crate::machine::prefetch::Prefetcher;
use crate::machine::{Maker, Order};
use crate::pod::{After, Job, Pod, Policy};
use crate::report::journal::JournalReporter;
use crate::report::open::{self, Reporters};
use crate::report::{Reporter, plain};
use crate::select::choose::{Chosen, choose};
use crate::select::history::{History, Journal};
use crate::select::plan::{Defaults, Plan, Planned};
use crate::setup::{self, Lab};
use crate::shape::Shape;
use crate::text::day::Day;
use crate::text::quote;
use crossbeam::channel::unbounded;
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// Runs the tests that `config` names and returns the exit status.
///
/// # Errors
/// Whatever keeps a run from beginning.
pub fn run(config: &Config) -> Result<u8> {
    let wish = wish(config)?;
    let path = config.history_path();
    let (history, damage) = History::load(&path);
    if config.raw.history.is_some() && history.is_foreign() {
        let error = Error::new(format!("`{}` is not a history of tests", path.display()));
        return Err(error.hint("name one that orca made, or a new file, with --history"));
    }
    let tests = match choose(config, &history)? {
        Chosen::Tests(chosen) => {
            let tests = chosen.into_iter().map(|candidate| candidate.with_header(&config.root));
            tests.collect::<Result<Vec<_>>>()?
        }
        Chosen::Nothing(why) => {
            plain::error("orca", &why);
            return Ok(exit::NOTHING);
        }
    };
    let local = config.raw.local == Some(true);
    let kind = if local { limits::MachineKind::Local } else { limits::MachineKind::Virtual };
    limits::open_files(config.jobs.min(tests.len()), kind)?;
    clock::keep();
    let lab = setup::lab(config)?;
    let defaults = Defaults {
        timeout: config.timeout,
        factor: lab.factor,
        retries: config.raw.retries.unwrap_or(0),
        shape: config.shape,
        has: &lab.has,
        today: Day::of(SystemTime::now()),
        hunting: config.raw.until_fail,
    };
    let seed = config.raw.shuffle.map(|seed| seed.unwrap_or_else(fresh_seed));
    let mut plan = Plan::new(tests, &defaults, &history, seed);
    plan.warnings.extend(damage);
    let workers = config.jobs.min(at_once(config, &plan).saturating_mul(lab.kernels.len().max(1)));
    if !local {
        limits::room_for_disks(lab.run_dir.path(), workers)?;
    }
    check_socket(config, workers)?;
    let Reporters { all, faults } = open::open(config, Some(&lab.log_dir))?;
    let ended = conduct(config, &plan, &lab, &history, (workers, seed, wish), all)?;
    drop(lab);
    let status = open::settle(&faults, exit::status(&ended.tally));
    match ended.signal {
        Some(signal) => signals::die_of(signal),
        None => Ok(status),
    }
}

/// Short enough to be typed.
fn fresh_seed() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::from(now.subsec_micros())
}

/// How often every test is run; `None` without an end.
fn rounds(config: &Config) -> Option<u32> {
    match config.raw.repeat {
        None if config.raw.until_fail => None,
        repeat => Some(repeat.unwrap_or(1)),
    }
}

/// So many of those, in all rounds together.
fn in_rounds(config: &Config, tests: usize) -> usize {
    match rounds(config) {
        Some(rounds) => tests.saturating_mul(rounds as usize),
        None if tests > 0 => usize::MAX,
        None => 0,
    }
}

/// How many tests there are to run at the same time.
fn at_once(config: &Config, plan: &Plan) -> usize {
    let runs = || plan.tests.iter().filter(|planned| planned.skipped.is_none());
    let shared = runs().filter(|planned| !planned.exclusive).count();
    in_rounds(config, shared).max(runs().count().min(1))
}

fn conduct(
    config: &Config,
    plan: &Plan,
    lab: &Lab<Arc<dyn Maker>>,
    history: &History,
    (workers, seed, wish): (usize, Option<u64>, Option<Wish>),
    mut reporters: Vec<Box<dyn Reporter>>,
) -> Result<Ended> {
    let journal = journal(config, history).map_err(|error| format!("no history is kept: {error}"));
    let mut warnings = [lab.warnings.as_slice(), &plan.warnings].concat();
    warnings.extend(journal.as_ref().err().cloned());
    if let Ok(journal) = journal {
        reporters.insert(0, Box::new(JournalReporter(journal)));
    }
    let (signals, attention) = (signals::listen()?, signals::attend()?);
    let (canceller, cancel) = cancel::channel();
    let (jobs, queue) = unbounded();
    let policy = if config.raw.reuse { Policy::Reuse } else { Policy::Pristine };
    let maker: Arc<dyn Maker> = match policy {
        Policy::Reuse => Arc::clone(&lab.maker),
        Policy::Pristine => {
            let usual = config.shape;
            let fits = |planned: &&Planned| {
                planned.shape == usual && planned.skipped.is_none() && planned.nodes.is_empty()
            };
            let demand = in_rounds(config, plan.tests.iter().filter(fits).count());
            Arc::new(Prefetcher::new(Arc::clone(&lab.maker), usual, workers, demand, &cancel))
        }
    };
    let (failed, held) = unbounded();
    let after = After {
        failed: wish.map(|_| failed),
        artifacts: config.raw.artifacts == Some(Artifacts::All),
    };
    let env = crate::commands::run::environment(config);
    let keeper = wish.map(|wish| Keeper::new(wish, held, lab.run_dir.path(), env));
    let pod = Pod::start(workers, &maker, policy, &after, &queue, &cancel)
        .map_err(|e| Error::new(format!("cannot start the workers: {}", plain(&e))))?;
    drop((queue, maker));
    let limits = Limits {
        fail_fast: config.raw.fail_fast,
        until_fail: config.raw.until_fail,
        bail: config.raw.bail.unwrap_or(true),
    };
    let entries = entries(config, plan, lab);
    let kernels = lab.kernels.len().max(1);
    let expected: Vec<_> = plan.tests.iter().map(|planned| planned.expected).collect();
    let start = Start {
        tests: entries.iter().map(|entry| entry.job.path.clone()).collect(),
        expected: expected.repeat(kernels),
        seed,
        workers,
        machine: lab.description.clone(),
        log_dir: lab.log_dir.clone(),
        rounds: rounds(config),
        again: again(config, plan, lab),
        merged: 0,
    };
    let state = State::new(entries, rounds(config), limits, workers);
    let conductor = Conductor {
        jobs,
        pod,
        canceller,
        cancel,
        signals: &signals,
        attention: &attention,
        warnings,
        reporters: &mut reporters,
        keeper,
    };
    Ok(conductor::run(conductor, state, start))
}

/// Where the run's results go for those to come. A shard leaves the times alone: the shards after it are cut by them.
fn journal(config: &Config, history: &History) -> Result<Journal> {
    let run = format!("{}-{}", logdir::timestamp(SystemTime::now()), std::process::id());
    Journal::open(&config.history_path(), history, &run, config.raw.shard.is_none())
}

/// What is to become of the machines of failed tests.
fn wish(config: &Config) -> Result<Option<Wish>> {
    match (config.raw.shell_on_fail, config.raw.keep) {
        (true, Some(_)) => {
            let error = Error::new("--shell-on-fail and --keep do not go together");
            Err(error.hint("the one gives a shell during the run, the other after it"))
        }
        (true, None) if !tty::is_mine() => {
            let error = Error::new("--shell-on-fail needs a terminal");
            Err(error.hint("--keep keeps the machines for `orca shell` from elsewhere"))
        }
        (true, None) if config.raw.format.unwrap_or_default() != Format::Human => {
            let error = Error::new("--shell-on-fail needs --format human");
            Err(error.hint("--json FILE writes that report beside it"))
        }
        (true, None) => Ok(Some(Wish::Shell)),
        (false, keep) => Ok(keep.map(Wish::Keep)),
    }
}

/// For each test on each kernel the command that runs just that again, with the same options where they matter to it.
fn again(config: &Config, plan: &Plan, lab: &Lab<Arc<dyn Maker>>) -> Vec<String> {
    let name = Command::Test.row().name;
    let program = std::env::args_os().take_while(|word| word != name);
    let several = !lab.kernels.is_empty();
    // Of several kernels it was one.
    let is_kernel = |word: &OsString| word.as_bytes().starts_with(b"--kernel=");
    let options = config.raw.again.iter().filter(|word| !(several && is_kernel(word))).cloned();
    let words = program.chain([name.into()]).chain(options);
    let words: Vec<String> = words.map(|word| quote::shown_word(word.as_bytes())).collect();
    let line = |kernel: Option<&Kernel>, planned: &Planned| {
        let mut words = words.clone();
        if let Some(kernel) = kernel {
            words.push("--kernel".to_owned());
            words.push(quote::shown_word(kernel.path.as_os_str().as_bytes()));
        }
        words.push(quote::shell_word(quote::line(&planned.test.display()).as_bytes()));
        words.join(" ")
    };
    let lines = |kernel| plan.tests.iter().map(move |planned| line(kernel, planned));
    kernels(lab).into_iter().flat_map(lines).collect()
}

/// The kernels that every test runs on; one `None` where there are not several.
fn kernels(lab: &Lab<Arc<dyn Maker>>) -> Vec<Option<&Kernel>> {
    let several: Vec<Option<&Kernel>> = lab.kernels.iter().map(Some).collect();
    if several.is_empty() { vec![None] } else { several }
}

fn entries(config: &Config, plan: &Plan, lab: &Lab<Arc<dyn Maker>>) -> Vec<ScheduledJob> {
    let own = |name: &str, value: OsString| (name.as_bytes().to_vec(), value.into_vec());
    let mut env: Vec<(Vec<u8>, Vec<u8>)> =
        config.raw.env.iter().map(|(name, value)| own(name, value.clone())).collect();
    env.push(own("ORCA_TIMEOUT_FACTOR", lab.factor.to_string().into()));
    if config.raw.shell_on_fail || config.raw.keep.is_some() {
        env.push(own("ORCA_KEEP", "1".into())); // the agent and lib.sh clear nothing away then
    }
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
        quarantined: planned.quarantined.clone(),
        order: Order {
            shape: Shape { kernel: number, ..planned.shape },
            path: planned.test.path.as_os_str().as_bytes().to_vec(),
            env: env.clone(),
            timeout: planned.timeout,
            silence: config.silence.map(|silence| silence.mul_f64(lab.factor)),
            fail_on_warn: config.raw.fail_on_warn,
            nodes: planned.nodes.clone(),
        },
        dir: match kernel {
            Some(kernel) => lab.log_dir.join(&kernel.release).join(&planned.test.path),
            None => lab.log_dir.join(&planned.test.path),
        },
    };
    // One kernel after the other: most machines of a kernel come from one template.
    let all = kernels(lab).into_iter().enumerate().flat_map(|(number, kernel)| {
        plan.tests.iter().map(move |planned| (planned, number, kernel))
    });
    let entry = |(test, (planned, number, kernel))| ScheduledJob {
        job: Job { test, ..job(planned, number, kernel) },
        exclusive: planned.exclusive,
        skipped: planned.skipped.clone(),
    };
    all.enumerate().map(entry).collect()
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
