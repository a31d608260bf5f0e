//! `orca test`: discover, plan, run, report.

use crate::cancel::{self, Cancel};
use crate::cli::command::Command;
use crate::cli::config::Config;
use crate::cli::raw::{Artifacts, Format};
use crate::conductor::agenda::Agenda;
use crate::conductor::keeper::{Keeper, OnFailure};
use crate::conductor::{self, Conductor, Ended, Entry, Limits, RunState, interactive};
use crate::error::{Error, Result, plain};
use crate::events::attempt::{Kernel, TestId};
use crate::events::event::Start;
use crate::events::exit;
use crate::host::rundir::SOCKET_PATH_MAX;
use crate::host::{clock, limits, logdir, signals, tty};
use crate::machine::prefetch::{Demand, Prefetcher};
use crate::machine::{Maker, Order};
use crate::pod::{After, Pod, Policy};
use crate::report::journal::JournalReporter;
use crate::report::open::{self, Reporters};
use crate::report::{Reporter, plain};
use crate::select::choose::{Chosen, choose, untimed};
use crate::select::forks;
use crate::select::history::History;
use crate::select::journal::Journal;
use crate::select::kept;
use crate::select::plan::{Defaults, Plan};
use crate::select::setups::SetUps;
use crate::setup::{self, Lab};
use crate::text::day::Day;
use crate::text::quote;
use crossbeam::channel::unbounded;
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// Runs the tests that `config` names and returns the exit status.
///
/// # Errors
/// What keeps a run from beginning.
pub fn run(config: &Config) -> Result<u8> {
    let on_failure = on_failure(config)?;
    let (history, damage) = load_history(config)?;
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
    let local = config.raw.local;
    let kind = if local { limits::MachineKind::Local } else { limits::MachineKind::Virtual };
    limits::open_files(config.jobs.min(tests.len()), kind)?;
    clock::start();
    let lab = setup::lab(config)?;
    let defaults = Defaults {
        timeout: config.raw.timeout,
        factor: lab.factor,
        retries: config.raw.retries,
        shape: config.shape,
        has: &lab.has,
        today: Day::of(SystemTime::now()),
        hunting: config.raw.until_fail,
    };
    let seed = config.raw.shuffle.map(|seed| seed.unwrap_or_else(fresh_seed));
    let setups = SetUps::read(&config.root, tests.iter().map(|(test, _)| test))?;
    let mut plan = Plan::new(tests, &setups, &defaults, &history, seed);
    plan.warnings.extend(damage);
    plan.warnings.extend(untimed(config, &history));
    plan.warnings.extend(setup::leaving(config));
    let kept = if lab.freezes {
        let (kept, warnings) = kept::digests(&config.root, &setups, &config.variables());
        plan.warnings.extend(warnings);
        kept
    } else {
        Vec::new()
    };
    let run = Run { config, history, plan, kept, lab, seed, on_failure };
    let entries = run.entries();
    let workers = run.workers(&entries);
    limits::open_files(workers, kind)?; // cases and set-ups may need more than there are tests
    if !local {
        limits::room_for_disks(run.lab.run_dir.path(), workers)?;
    }
    check_socket(config, workers)?;
    let Reporters { all, faults } = open::open(config, Some(&run.lab.log_dir))?;
    let ended = run.conduct(entries, all)?;
    drop(run);
    let status = open::settle(&faults, exit::status(&ended.tally));
    match ended.signal {
        Some(signal) => signals::die_of(signal),
        None => Ok(status),
    }
}

/// The history, and a warning if some of it is damaged.
fn load_history(config: &Config) -> Result<(History, Option<String>)> {
    let path = config.history_path();
    let (history, damage) = History::load(&path);
    if config.raw.history.is_some() && history.is_not_a_history() {
        let error = Error::new(format!("`{}` is not a history of tests", path.display()));
        return Err(error.hint("name one that orca made, or a new file, with --history"));
    }
    Ok((history, damage))
}

/// A seed that is short enough to be typed.
fn fresh_seed() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::from(now.subsec_micros())
}

/// A run that is planned and has not begun.
struct Run<'a> {
    config: &'a Config,
    history: History,
    plan: Plan,
    /// The digest of each of the plan's set-ups that is kept between runs.
    kept: Vec<Option<u64>>,
    lab: Lab<Arc<dyn Maker>>,
    /// The seed of a shuffled order.
    seed: Option<u64>,
    /// What happens to the machines of failed tests.
    on_failure: Option<OnFailure>,
}

impl Run<'_> {
    /// How often every test is run; `None`: without an end.
    fn rounds(&self) -> Option<u32> {
        match self.config.raw.repeat {
            None if self.config.raw.until_fail => None,
            repeat => Some(repeat.unwrap_or(1)),
        }
    }

    /// How often `tests` tests are run, in all rounds together.
    fn in_rounds(&self, tests: usize) -> usize {
        match self.rounds() {
            Some(rounds) => tests.saturating_mul(rounds as usize),
            None if tests > 0 => usize::MAX,
            None => 0,
        }
    }

    /// How many machines work at once: no more than there are set-ups and tests that can run at the
    /// same time.
    fn workers(&self, entries: &[Entry]) -> usize {
        let runs = || entries.iter().filter(|entry| entry.skipped.is_none());
        let setups = runs().filter(|entry| entry.is_setup()).count();
        let shared = runs().filter(|entry| !entry.exclusive && !entry.is_setup()).count();
        let at_once = self.in_rounds(shared).saturating_add(setups).max(runs().count().min(1));
        // The cases of a test that forks can run at the same time.
        let forks = || runs().any(|entry| !entry.exclusive && self.may_fork(entry));
        let jobs = self.config.jobs;
        if at_once < jobs && !forks() { at_once } else { jobs }
    }

    /// Whether the test has forked, or has the word in its text.
    fn may_fork(&self, entry: &Entry) -> bool {
        let order = &entry.job.order;
        let path = self.config.root.join(OsStr::from_bytes(&order.path));
        let known = order.shape.freezes || !order.only.is_empty();
        order.setup.is_none() && (known || forks::mentions(&path))
    }

    /// Runs the tests and tells `reporters` about it.
    fn conduct(&self, entries: Vec<Entry>, mut reporters: Vec<Box<dyn Reporter>>) -> Result<Ended> {
        let Self { config, plan, lab, on_failure, .. } = self;
        let journal = self.journal().map_err(|error| format!("no history is kept: {error}"));
        let mut warnings = [lab.warnings.as_slice(), &plan.warnings].concat();
        warnings.extend(journal.as_ref().err().cloned());
        if let Ok(journal) = journal {
            reporters.insert(0, Box::new(JournalReporter(journal)));
        }
        let (signals, attention) = (signals::listen()?, signals::attention()?);
        let (canceller, cancel) = cancel::channel();
        let (jobs, queue) = unbounded();
        let policy = if config.raw.reuse { Policy::Reuse } else { Policy::Pristine };
        let (workers, start) = (self.workers(&entries), self.start(&entries));
        let maker = self.maker(policy, &entries, &cancel);
        let (failed, held) = unbounded();
        let after = After {
            failed: on_failure.map(|_| failed),
            artifacts: config.raw.artifacts == Artifacts::All,
        };
        let env = interactive::environment(config);
        let keeper = on_failure.map(|what| Keeper::new(what, held, lab.run_dir.path(), env));
        let pod = Pod::start(workers, &maker, policy, &after, &queue, &cancel)
            .map_err(|e| Error::new(format!("cannot start the workers: {}", plain(&e))))?;
        drop((queue, maker));
        let limits = Limits {
            fail_fast: config.raw.fail_fast,
            until_fail: config.raw.until_fail,
            bail: config.raw.bail,
        };
        let state = RunState::new(entries, self.rounds(), limits, workers)
            .expecting(self.history.times_of_cases());
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

    /// Writes the run's results to the history. A shard leaves the times alone: later shards are
    /// cut by them.
    fn journal(&self) -> Result<Journal> {
        let run = format!("{}-{}", logdir::timestamp(SystemTime::now()), std::process::id());
        let times = self.config.raw.shard.is_none();
        Journal::open(&self.config.history_path(), &self.history, &run, times)
    }

    /// The maker of the machines. It makes them ahead of the workers if every test gets one of its
    /// own.
    fn maker(&self, policy: Policy, entries: &[Entry], cancel: &Cancel) -> Arc<dyn Maker> {
        let maker = Arc::clone(&self.lab.maker);
        if policy == Policy::Reuse {
            return maker;
        }
        let mut demand = Demand::new();
        let made = |entry: &&Entry| {
            entry.skipped.is_none() && !entry.is_setup() && entry.job.order.nodes.is_empty()
        };
        for entry in entries.iter().filter(made) {
            let shape = entry.job.order.shape;
            match demand.iter_mut().find(|(known, _)| *known == shape) {
                Some((_, count)) => *count += 1,
                None => demand.push((shape, 1)),
            }
        }
        demand.iter_mut().for_each(|(_, count)| *count = self.in_rounds(*count));
        Arc::new(Prefetcher::new(maker, demand, self.workers(entries), cancel))
    }

    /// What reporters are told before the first test.
    fn start(&self, entries: &[Entry]) -> Start {
        Start {
            tests: entries.iter().map(|entry| entry.job.path.clone()).collect(),
            setups: entries.iter().filter(|entry| entry.is_setup()).count(),
            expected: entries.iter().map(|entry| entry.expected).collect(),
            again: entries.iter().map(|entry| entry.again.clone()).collect(),
            seed: self.seed,
            workers: self.workers(entries),
            machine: self.lab.description.clone(),
            log_dir: self.lab.log_dir.clone(),
            rounds: self.rounds(),
            only: only(entries),
            ..Start::default()
        }
    }

    /// The command that runs a test again, without the test: with the options that change what
    /// happens to it.
    fn command(&self, kernel: Option<&Kernel>) -> String {
        let name = Command::Test.row().name;
        let program = std::env::args_os().take_while(|word| word != name);
        let several = kernel.is_some(); // and each test names its own
        let repeats = |word: &&OsString| !(several && word.as_bytes().starts_with(b"--kernel="));
        let options = self.config.raw.again.iter().filter(repeats).cloned();
        let words = program.chain([name.into()]).chain(options);
        let mut words: Vec<String> = words.map(|word| quote::shown_word(word.as_bytes())).collect();
        if let Some(kernel) = kernel {
            words.push("--kernel".to_owned());
            words.push(quote::shown_word(kernel.path.as_os_str().as_bytes()));
        }
        words.join(" ")
    }

    /// Every set-up and every test as the conductor takes it. A `TestId` is an index into this.
    fn entries(&self) -> Vec<Entry> {
        let Self { config, lab, .. } = self;
        let mut env = config.variables();
        let factor = lab.factor.to_string();
        env.push((b"ORCA_TIMEOUT_FACTOR".to_vec(), factor.into_bytes()));
        if config.raw.shell_on_fail || config.raw.keep.is_some() {
            // The agent and lib.sh clear nothing away then.
            env.push((b"ORCA_KEEP".to_vec(), b"1".to_vec()));
        }
        let commands: Vec<String> = match &lab.kernels[..] {
            [] => vec![self.command(None)],
            several => several.iter().map(|kernel| self.command(Some(kernel))).collect(),
        };
        let place = |kernel: &Kernel| lab.kernels.iter().position(|other| other == kernel);
        let agenda = Agenda {
            plan: &self.plan,
            kernels: &lab.kernels,
            freezes: lab.freezes,
            kept: &self.kept,
            usual: Order {
                env,
                silence: config.raw.silence.map(|silence| silence.mul_f64(lab.factor)),
                fail_on_warn: config.raw.fail_on_warn,
                ..Order::default()
            },
            log_dir: lab.log_dir.clone(),
            command: &|kernel| commands[kernel.and_then(place).unwrap_or_default()].clone(),
            expected: &|path| self.history.expected(path),
        };
        let mut entries = agenda.entries();
        let tests = entries.iter_mut().filter(|entry| lab.freezes && !entry.is_setup());
        for order in tests.map(|entry| &mut entry.job.order) {
            let path = config.root.join(OsStr::from_bytes(&order.path));
            order.shape.freezes = order.nodes.is_empty() && forks::mentions(&path);
        }
        entries
    }
}

/// The paths of the cases that are wanted, of each test of which not all are.
fn only(entries: &[Entry]) -> BTreeMap<TestId, Vec<String>> {
    let wanted = |entry: &Entry| {
        let cases = &entry.job.order.only;
        (!cases.is_empty()).then(|| cases.iter().map(|names| entry.path_of_case(names)).collect())
    };
    let all = entries.iter().enumerate();
    all.filter_map(|(test, entry)| Some((test, wanted(entry)?))).collect()
}

/// What happens to the machines of failed tests.
fn on_failure(config: &Config) -> Result<Option<OnFailure>> {
    match (config.raw.shell_on_fail, config.raw.keep) {
        (true, Some(_)) => {
            let error = Error::new("--shell-on-fail and --keep do not go together");
            Err(error.hint("use one: the first gives a shell during the run, the second after it"))
        }
        (true, None) if !tty::is_mine() => {
            let error = Error::new("--shell-on-fail needs a terminal");
            Err(error.hint("use --keep, and `orca shell` in another terminal"))
        }
        (true, None) if config.raw.format != Format::Human => {
            let error = Error::new("--shell-on-fail needs --format human");
            Err(error.hint("write the other report to a file, with --json FILE"))
        }
        (true, None) => Ok(Some(OnFailure::Shell)),
        (false, keep) => Ok(keep.map(OnFailure::Keep)),
    }
}

/// Refuses a socket path that several machines would share, since they would end each other.
fn check_socket(config: &Config, workers: usize) -> Result<()> {
    let Some(socket) = &config.raw.socket else { return Ok(()) };
    if workers > 1 && !socket.contains("{id}") {
        let error =
            Error::new("--socket needs `{id}` in its path where there are several machines");
        return Err(error.hint("say -j1, or for example --socket /run/me/vm{id}.sock"));
    }
    let longest = socket.replace("{id}", "99999");
    if Path::new(&longest).as_os_str().len() > SOCKET_PATH_MAX {
        return Err(Error::new(format!(
            "--socket: `{socket}` is longer than the {SOCKET_PATH_MAX} bytes of a socket's path"
        )));
    }
    Ok(())
}
