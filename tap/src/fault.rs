//! Faults of the TAP itself, as opposed to failures of the tests it reports.

use crate::text::clip;
use std::fmt;

/// Faults kept of one document; more are only counted.
pub const FAULTS_MAX: usize = 1000;
/// Bytes quoted of an unknown line.
const QUOTE_BYTES_MAX: usize = 200;

/// A fault and the line where it was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The line number, from 1; the number of lines, for a fault that shows only at the end.
    pub line: u64,
    /// What it is.
    pub kind: FaultKind,
}

/// The faults a stream can have. Each fails it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// No plan, with or without points.
    NoPlan,
    /// KTAP, where the plan is optional: neither plan nor points.
    NoTests,
    /// A second plan.
    PlanRepeated,
    /// Points both before and after the plan; N of the plan.
    PlanInside(String),
    /// The number of points differs from the plan's.
    BadPlan {
        /// N of the plan, as [`crate::Plan`] has it as text.
        planned: String,
        /// Points seen.
        ran: u64,
    },
    /// A point's number is not its position (all versions but 14).
    OutOfSequence {
        /// The number it has.
        found: u64,
        /// Its position.
        expected: u64,
    },
    /// A point's number is that of an earlier point (version 14).
    Duplicate(u64),
    /// A point's number is not in the plan (version 14).
    OutOfPlan(u64),
    /// The numbers have too many gaps to be checked for duplicates (version 14).
    TooScattered,
    /// A version line after a version, plan or point.
    VersionLate,
    /// A declared version below 13.
    VersionTooOld(u64),
    /// A version that is not a plain number.
    VersionUnreadable,
    /// A line that is not TAP, under `pragma +strict`.
    Unknown(String),
}

impl FaultKind {
    pub(crate) fn unknown(raw: &[u8]) -> Self {
        Self::Unknown(clip(raw, QUOTE_BYTES_MAX))
    }

    /// The fault in the words of Perl's `prove`, for the summary.
    pub fn perl(&self) -> String {
        match self {
            Self::NoPlan => "No plan found in TAP output".into(),
            Self::PlanRepeated => "More than one plan found in TAP output".into(),
            Self::PlanInside(plan) => {
                format!("Plan (1..{plan}) must be at the beginning or end of the TAP output")
            }
            Self::BadPlan { planned, ran } => {
                format!("Bad plan.  You planned {planned} tests but ran {ran}.")
            }
            Self::OutOfSequence { found, expected } => {
                format!("Tests out of sequence.  Found ({found}) but expected ({expected})")
            }
            Self::VersionLate => {
                "If TAP version is present it must be the first line of output".into()
            }
            Self::VersionTooOld(version) => {
                format!("Explicit TAP version must be at least 13. Got version {version}")
            }
            Self::Unknown(raw) => format!("Unknown TAP token: \"{raw}\""),
            other => {
                let text = other.to_string();
                text[..1].to_uppercase() + &text[1..]
            }
        }
    }
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoPlan => f.write_str("no plan"),
            Self::NoTests => f.write_str("no tests"),
            Self::PlanRepeated => f.write_str("more than one plan"),
            Self::PlanInside(plan) => write!(f, "points before and after the plan 1..{plan}"),
            Self::BadPlan { planned, ran } => write!(f, "planned {planned}, ran {ran}"),
            Self::OutOfSequence { found, expected } => {
                write!(f, "number {found} where {expected} was due")
            }
            Self::Duplicate(number) => write!(f, "number {number} appears twice"),
            Self::OutOfPlan(number) => write!(f, "number {number} is not in the plan"),
            Self::TooScattered => f.write_str("numbers too scattered to be checked"),
            Self::VersionLate => f.write_str("version line is not the first"),
            Self::VersionTooOld(version) => write!(f, "version {version} cannot be declared"),
            Self::VersionUnreadable => f.write_str("version is no plain number"),
            Self::Unknown(raw) => write!(f, "not TAP under `pragma +strict`: `{raw}`"),
        }
    }
}

/// The first [`FAULTS_MAX`] faults of a document, and how many there were.
#[derive(Clone, Debug, Default)]
pub(crate) struct Faults {
    pub(crate) list: Vec<Fault>,
    pub(crate) total: u64,
}

impl Faults {
    pub(crate) fn add(&mut self, line: u64, kind: FaultKind) {
        self.total += 1;
        if self.list.len() < FAULTS_MAX {
            self.list.push(Fault { line, kind });
        }
    }
}
