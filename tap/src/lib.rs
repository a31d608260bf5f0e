//! What test output means: TAP in, verdicts out. No VM, no terminal.
//!
//! [`Collector`] is the usual way in: feed it bytes as they come, finish it with the producer's
//! [`ExitStatus`], and read the [`Suite`]. [`Parser`] below it gives the lines as [`Item`]s.
//! TAP 12, 13 and 14 are read as Perl's `TAP::Parser` and node's `tap-parser` read them where
//! these agree; KTAP as the kernel documents it. The input need not be UTF-8, need not be TAP and
//! may be cut anywhere: memory stays constant and nothing fails but the verdict.

mod collect;
pub mod date;
mod document;
mod fault;
pub mod junit;
mod ktap;
mod line;
pub mod marker;
mod numbers;
mod parser;
pub mod prove;
mod split;
mod suite;
mod tally;
pub mod text;
mod writer;

pub use collect::Collector;
pub use fault::{FAULTS_MAX, Fault, FaultKind};
pub use ktap::DEPTH_MAX;
pub use line::{Directive, Number, PlanLine, Point, Token, Version, classify};
pub use numbers::{Numbers, RANGES_MAX};
pub use parser::{Item, Kind, Options, Parser, Standing};
pub use split::LINE_BYTES_MAX;
pub use suite::{ExitStatus, Failure, Plan, Suite, Verdict};
pub use tally::{DIAGNOSTIC_BYTES_MAX, FAILURES_MAX, Progress, TOTAL_DIAGNOSTIC_BYTES_MAX};
pub use writer::{Entry, Writer};
