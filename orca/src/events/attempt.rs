//! One attempt at one test: where it ran, how it ended, and the output that a report shows.

use super::points::Points;
use super::trouble::Trouble;
use crate::text::case;
use std::path::PathBuf;
use std::time::Duration;

/// The index of a test in the run. With several kernels, a test has an index for each of them.
pub type TestId = usize;

/// One of the kernels of a run that runs every test on several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kernel {
    /// Its release, such as `6.1.0`.
    pub release: String,
    /// The path that the user gave.
    pub path: PathBuf,
}

impl Kernel {
    /// A test's path on this kernel, for people and reports: `t/x_test.sh [6.1.0]`.
    pub fn name(&self, path: &str) -> String {
        format!("{path} [{}]", self.release)
    }
}

/// What an entry of a run is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Role {
    /// A test file.
    #[default]
    Test,
    /// The set-up of tests. It is no test: the counts of tests leave it out.
    SetUp,
    /// A case of a test that forked, by the names of its forks, outermost first.
    Case(Vec<String>),
}

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Every check passed, and the end marker says so.
    Passed,
    /// The test skipped itself, with this reason.
    Skipped(String),
    /// A check failed, or the plan or the exit status was wrong.
    Failed,
    /// It was cut for taking too long, or for printing nothing for too long.
    TimedOut {
        /// True if it printed nothing for too long, false if it ran into its timeout.
        silence: bool,
    },
    /// The machine was in trouble, so there is no verdict.
    Errored(Trouble),
    /// It never ran, or was cut because the run was cancelled.
    NotRun,
}

impl Outcome {
    /// Whether this says that the test is fine.
    pub fn is_good(&self) -> bool {
        matches!(self, Self::Passed | Self::Skipped(_))
    }

    /// One word for tables and reports.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Passed => "pass",
            Self::Skipped(_) => "skip",
            Self::Failed => "fail",
            Self::TimedOut { .. } => "timeout",
            Self::Errored(_) => "error",
            Self::NotRun => "not run",
        }
    }
}

/// Where an attempt's time went.
#[derive(Clone, Copy, Debug, Default)]
pub struct Timing {
    /// Waiting for a machine.
    pub ready: Duration,
    /// The test itself, from `TEST` to its end marker.
    pub test: Duration,
    /// From `TEST` to the first byte of the test's output, if there was any.
    pub first: Option<Duration>,
    /// Ending the machine, or making it ready for the next test.
    pub teardown: Duration,
}

/// The warnings, bugs and stalls that the guest's kernel logged while a test ran.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Complaints {
    /// The first line of each, bounded in number.
    pub titles: Vec<String>,
    /// Those lines and the ones that follow them, bounded in number.
    pub lines: Vec<String>,
    /// Whether they fail the test.
    pub fatal: bool,
}

/// One attempt at one test.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// Which test.
    pub test: TestId,
    /// Its path, relative to the project. In a run on several kernels the kernel follows it:
    /// [`Kernel::name`].
    pub path: String,
    /// The kernel it ran on, if the run has several.
    pub kernel: Option<Kernel>,
    /// From 1: which repetition of the test this is.
    pub round: u32,
    /// From 1: which attempt of this round it is.
    pub attempt: u32,
    /// Why a bad result does not count, if the test is in quarantine.
    pub quarantined: Option<String>,
    /// What it was made at.
    pub role: Role,
    /// The path of the set-up without which the test could not be started.
    pub blocked_by: Option<String>,
    /// Whether another attempt follows.
    pub retried: bool,
    /// The worker's number, from 0.
    pub worker: usize,
    /// The machine's name; `None` if it never had a machine.
    pub machine: Option<String>,
    /// How it ended.
    pub outcome: Outcome,
    /// The results in its output, as far as the output goes.
    pub suite: tap::Suite,
    /// Why it failed: faults of its output and exit status, and fatal complaints of the kernel.
    pub reasons: Vec<String>,
    /// The points in its output.
    pub points: Points,
    /// Where its time went.
    pub timing: Timing,
    /// Its folder of logs and artifacts; `None` if it never ran, or if they were removed.
    pub dir: Option<PathBuf>,
    /// The end of its standard error, bounded.
    pub stderr_tail: String,
    /// The complaints of the machine's kernel while it ran.
    pub complaints: Complaints,
    /// The text on the console while it ran, bounded. Empty if there was none, or if the
    /// [`Trouble`] has it.
    pub console: String,
    /// Notes of the agent and of the recorder: processes left behind, output cut off.
    pub notes: Vec<String>,
}

impl Attempt {
    /// Whether it is good, but only at the second attempt or later.
    pub fn is_flaky(&self) -> bool {
        self.attempt > 1 && self.outcome.is_good()
    }

    /// Whether it ran and is not good, so that a person should look at it.
    pub fn is_bad(&self) -> bool {
        !self.outcome.is_good() && self.outcome != Outcome::NotRun
    }

    /// Whether it was made at a set-up.
    pub fn is_setup(&self) -> bool {
        self.role == Role::SetUp
    }

    /// The path of the file that was run: its path without the kernel and the case.
    pub fn file(&self) -> &str {
        let kernel = self.kernel.as_ref().map(|kernel| kernel.name("")).unwrap_or_default();
        let path = self.path.strip_suffix(&kernel).unwrap_or(&self.path);
        match &self.role {
            Role::Test => path,
            Role::SetUp => path.rsplit_once(" (").map_or(path, |(file, _)| file),
            Role::Case(names) => path.strip_suffix(&case::path("", names)).unwrap_or(path),
        }
    }

    /// Whether it is bad but does not count, because the test is in quarantine.
    pub fn is_excused(&self) -> bool {
        self.quarantined.is_some() && self.is_bad()
    }

    /// One word in capitals for tables and reports: `QUARANTINED` or `FLAKY`, else the outcome's.
    pub fn word(&self) -> String {
        match &self.outcome {
            _ if self.is_excused() => "QUARANTINED".to_owned(),
            Outcome::Passed if self.is_flaky() => "FLAKY".to_owned(),
            outcome => outcome.word().to_uppercase(),
        }
    }

    /// The kernel's lines that may explain the result: its complaints if there are any, else the
    /// end of the console.
    pub fn kernel_said(&self) -> String {
        match &self.outcome {
            Outcome::Errored(trouble) => trouble.console.to_string(),
            _ if self.complaints.lines.is_empty() => self.console.clone(),
            _ => self.complaints.lines.join("\n"),
        }
    }

    /// The attempt of a test that never ran, or whose result is unknown.
    pub fn not_run(test: TestId, path: String, round: u32) -> Self {
        Self {
            test,
            path,
            kernel: None,
            round,
            attempt: 1,
            quarantined: None,
            role: Role::Test,
            blocked_by: None,
            retried: false,
            worker: 0,
            machine: None,
            outcome: Outcome::NotRun,
            suite: tap::Collector::default().finish(tap::ExitStatus::Code(-1)),
            reasons: Vec::new(),
            points: Points::default(),
            timing: Timing::default(),
            dir: None,
            stderr_tail: String::new(),
            complaints: Complaints::default(),
            console: String::new(),
            notes: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_the_path_without_what_follows_it() {
        let check = |path: &str, role: Role, kernel: Option<&str>| {
            let kernel = kernel.map(|release| Kernel { release: release.into(), path: "k".into() });
            let attempt = Attempt { role, kernel, ..Attempt::not_run(0, path.to_owned(), 1) };
            assert_eq!(attempt.file(), path.split_once("sh ").map_or(path, |_| "t/x.sh"));
        };
        let names = ["b".to_owned(), "c [1]".to_owned()].to_vec();
        check("t/x.sh", Role::Test, None);
        check("t/x.sh [6.1]", Role::Test, Some("6.1"));
        check("t/x.sh [b] [c \\x5b1\\x5d] [6.1]", Role::Case(names), Some("6.1"));
        check("t/x.sh (1024 MiB)", Role::SetUp, None);
    }
}
