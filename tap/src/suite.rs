//! The outcome of a test's output, and the one verdict table.

use crate::fault::Fault;
use crate::line::{Directive, Version};
use crate::numbers::Numbers;

/// How the program that printed the stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitStatus {
    /// It exited with this code.
    Code(i32),
    /// A signal ended it.
    Signal {
        /// The signal's number.
        signal: i32,
        /// Whether a core was dumped.
        core: bool,
    },
}

impl ExitStatus {
    /// Exit code 0; also the status of a stream that came from no program.
    pub const SUCCESS: Self = Self::Code(0);

    /// Ended by `signal`, without a core.
    pub const fn signal(signal: i32) -> Self {
        Self::Signal { signal, core: false }
    }

    /// A status as shells give it: above 128 it is 128 plus a signal's number.
    pub const fn from_shell(status: i32) -> Self {
        if status > 128 { Self::signal(status - 128) } else { Self::Code(status) }
    }

    /// Whether it is exit code 0.
    pub const fn success(self) -> bool {
        matches!(self, Self::Code(0))
    }
}

impl std::fmt::Display for ExitStatus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit status {code}"),
            Self::Signal { signal, core: false } => write!(f, "killed by signal {signal}"),
            Self::Signal { signal, core: true } => {
                write!(f, "killed by signal {signal}, core dumped")
            }
        }
    }
}

#[cfg(unix)]
impl From<std::process::ExitStatus> for ExitStatus {
    fn from(status: std::process::ExitStatus) -> Self {
        use std::os::unix::process::ExitStatusExt;
        match status.signal() {
            Some(signal) => Self::Signal { signal, core: status.core_dumped() },
            None => Self::Code(status.code().unwrap_or(-1)),
        }
    }
}

/// The first plan of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// How many points were planned; `u64::MAX` if the number is larger.
    pub count: u64,
    /// The same as text, without leading zeros; above `u64::MAX`, to the precision of a double.
    pub text: String,
    /// The line it is on, from 1.
    pub line: u64,
}

/// A failing point with its diagnostics, or a passing point whose subtest failed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Failure {
    /// Its number, or its position if it has none; 0 for a subtest without a point of its own.
    pub number: u64,
    /// The line it is on, from 1.
    pub line: u64,
    /// The description, unescaped and without the dash.
    pub description: String,
    /// The directive and its reason, if it has one; the point failed all the same.
    pub directive: Option<(Directive, String)>,
    /// The comment lines that followed, without their hash.
    pub comments: Vec<String>,
    /// The raw YAML that followed, without its indentation and fences.
    pub yaml: Option<String>,
    /// What is wrong with its subtest as a whole, such as "planned 5, ran 3".
    pub reasons: Vec<String>,
    /// The failing points of its subtest.
    pub subtests: Vec<Self>,
    /// Whether diagnostics were left out.
    pub truncated: bool,
}

/// The verdict on a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Verdict {
    /// Everything planned was run and passed.
    Pass,
    /// A plan of `1..0`: nothing was to be run.
    Skip,
    /// Something failed.
    Fail,
    /// The test asked for all testing to stop.
    Bail,
}

/// The outcome of one stream.
#[derive(Clone, Debug)]
pub struct Suite {
    /// The dialect it was read in.
    pub version: Version,
    /// Its first plan.
    pub plan: Option<Plan>,
    /// Points seen.
    pub run: u64,
    /// Points that count as passed: `ok`, or excused by a directive. Skipped ones included.
    pub passed: u64,
    /// Points that count as failed.
    pub failed: u64,
    /// Points with a skip directive.
    pub skipped: u64,
    /// Points expected to fail.
    pub todo: u64,
    /// Points expected to fail that passed.
    pub todo_passed: u64,
    /// `ok` points beyond the plan; `prove` lists them as failed.
    pub unplanned: u64,
    /// The reason of a bail out, unescaped; empty if it gave none.
    pub bail: Option<String>,
    /// Why everything was skipped; empty if no reason was given.
    pub skip_all: Option<String>,
    /// The first [`crate::FAULTS_MAX`] faults.
    pub faults: Vec<Fault>,
    /// How many faults there were.
    pub faults_total: u64,
    /// Remarks that deserve a look but fail nothing.
    pub warnings: Vec<String>,
    /// The failing points, at most [`crate::FAILURES_MAX`] with all subtests.
    pub failures: Vec<Failure>,
    /// Passing points with a failing subtest, and failing subtests without a point.
    pub contradictions: Vec<Failure>,
    /// Numbers of failing and unplanned points.
    pub failed_numbers: Numbers,
    /// Numbers of points expected to fail that passed.
    pub todo_passed_numbers: Numbers,
    /// How the program that printed the stream ended.
    pub exit: ExitStatus,
    /// Lines read.
    pub lines: u64,
}

impl Suite {
    /// The verdict table. There is no other.
    pub fn verdict(&self) -> Verdict {
        match self {
            s if s.bail.is_some() => Verdict::Bail,
            s if !s.exit.success() => Verdict::Fail,
            s if s.faults_total > 0 || s.failed > 0 => Verdict::Fail,
            s if s.skip_all.is_some() => Verdict::Skip,
            _ => Verdict::Pass,
        }
    }

    /// Whether the verdict is [`Verdict::Pass`] or [`Verdict::Skip`].
    pub fn success(&self) -> bool {
        matches!(self.verdict(), Verdict::Pass | Verdict::Skip)
    }

    /// Passed, failed and skipped points; a skipped point is counted as skipped only.
    pub const fn summary(&self) -> (u64, u64, u64) {
        let skipped = if self.skipped < self.passed { self.skipped } else { self.passed };
        (self.passed - skipped, self.failed, self.skipped)
    }

    /// Why the stream did not succeed, for a person to read; empty if it did.
    pub fn reasons(&self) -> Vec<String> {
        let mut out = Vec::new();
        match self.bail.as_deref() {
            Some("") => out.push("bailed out".into()),
            Some(reason) => out.push(format!("bailed out: {reason}")),
            None => {}
        }
        if self.failed > 0 {
            out.push(format!("failed {} of {} points", self.failed, self.run));
        }
        if !self.exit.success() {
            out.push(self.exit.to_string());
        }
        out.extend(fault_reasons(&self.faults, self.faults_total));
        out
    }
}

/// The first faults as reasons, with the line of each unless it shows only at the end, and how many
/// more there are.
pub(crate) fn fault_reasons(faults: &[Fault], total: u64) -> Vec<String> {
    use crate::fault::FaultKind as K;
    const SHOWN: usize = 10;
    let show = |fault: &Fault| match fault.kind {
        K::NoPlan | K::NoTests | K::BadPlan { .. } => fault.kind.to_string(),
        _ => format!("line {}: {}", fault.line, fault.kind),
    };
    let mut out: Vec<String> = faults.iter().take(SHOWN).map(show).collect();
    let more = total.saturating_sub(out.len() as u64);
    if more > 0 {
        out.push(format!("{more} more faults"));
    }
    out
}
