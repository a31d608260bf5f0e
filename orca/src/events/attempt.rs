//! One attempt at one test: where it ran, how it ended, and what was said meanwhile.

use super::points::Points;
use super::trouble::Trouble;
use std::path::PathBuf;
use std::time::Duration;

/// A test's place in the plan.
pub type TestId = usize;

/// One of several kernels that every test of a run runs on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kernel {
    /// What people call it.
    pub release: String,
    /// As the user named it.
    pub path: PathBuf,
}

impl Kernel {
    /// A test's path on this kernel, for people and reports: `t/x_test.sh [6.1.0]`.
    pub fn name(&self, path: &str) -> String {
        format!("{path} [{}]", self.release)
    }
}

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Every check passed, and the end marker says so.
    Passed,
    /// The test skipped itself, with this reason.
    Skipped(String),
    /// A check failed, or the plan, or the exit status.
    Failed,
    /// It was cut for taking too long, or for printing nothing for too long.
    TimedOut {
        /// Silence, not the timeout.
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
    /// Clearing the machine away.
    pub teardown: Duration,
}

/// What the guest's kernel complained of while a test ran: warnings, bugs, stalls.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Complaints {
    /// The first line of each, bounded in number.
    pub titles: Vec<String>,
    /// Those lines and what followed them, bounded.
    pub lines: Vec<String>,
    /// Whether they fail the test.
    pub fatal: bool,
}

/// One attempt at one test.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// Which test.
    pub test: TestId,
    /// Its path, relative to the project, and with several kernels the one it ran on ([`Kernel::name`]).
    pub path: String,
    /// Which of several kernels it ran on.
    pub kernel: Option<Kernel>,
    /// From 1: which repetition of the test this is.
    pub round: u32,
    /// From 1.
    pub attempt: u32,
    /// Why a bad result does not count, where the test is in quarantine.
    pub quarantined: Option<String>,
    /// Whether another attempt follows.
    pub retried: bool,
    /// The worker's number, from 0.
    pub worker: usize,
    /// The machine's name; `None` if it never had a machine.
    pub machine: Option<String>,
    /// How it ended.
    pub outcome: Outcome,
    /// What its output means, as far as it came.
    pub suite: tap::Suite,
    /// Why it failed, as far as that is the output's or the exit status's fault.
    pub reasons: Vec<String>,
    /// The points in its output.
    pub points: Points,
    /// Where its time went.
    pub timing: Timing,
    /// Its folder of logs and artifacts; `None` if it never ran.
    pub dir: Option<PathBuf>,
    /// The end of its standard error, bounded.
    pub stderr_tail: String,
    /// What its machine's kernel complained of.
    pub complaints: Complaints,
    /// What the machine's kernel said while it ran, bounded; empty if that was nothing, and where [`Trouble`] has it.
    pub console: String,
    /// What the agent and the recorder had to say: processes left behind, output cut off.
    pub notes: Vec<String>,
}

impl Attempt {
    /// Good only at a later attempt.
    pub fn is_flaky(&self) -> bool {
        self.attempt > 1 && self.outcome.is_good()
    }

    /// Whether something is wrong with it that a person should look at.
    pub fn is_bad(&self) -> bool {
        !self.outcome.is_good() && self.outcome != Outcome::NotRun
    }

    /// Bad, but of no consequence.
    pub fn is_excused(&self) -> bool {
        self.quarantined.is_some() && self.is_bad()
    }

    /// One word for tables and reports, capitals: the outcome's, or what outranks it.
    pub fn word(&self) -> String {
        match &self.outcome {
            _ if self.is_excused() => "QUARANTINED".to_owned(),
            Outcome::Passed if self.is_flaky() => "FLAKY".to_owned(),
            outcome => outcome.word().to_uppercase(),
        }
    }

    /// What the kernel said that may explain it: its complaints, where it has any, else the end of its console.
    pub fn kernel_said(&self) -> String {
        match &self.outcome {
            Outcome::Errored(trouble) => trouble.console.to_string(),
            _ if self.complaints.lines.is_empty() => self.console.clone(),
            _ => self.complaints.lines.join("\n"),
        }
    }

    /// A test that never ran, or has no result that anybody knows of.
    pub fn not_run(test: TestId, path: String, round: u32) -> Self {
        Self {
            test,
            path,
            kernel: None,
            round,
            attempt: 1,
            quarantined: None,
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
