//! Reads what tests print: TAP in, verdicts out. No VM; a terminal only in [`prove`].
//!
//! [`Collector`] is the usual way in: feed it bytes as they come, finish it with the producer's
//! [`ExitStatus`], and read the [`Suite`]. The [`Parser`] below it gives each line as an [`Item`].
//! TAP 12, 13 and 14 are read as Perl's `TAP::Parser` and node's `tap-parser` read them where the
//! two agree, and KTAP as the kernel documents it. The input may be any bytes, TAP or not, cut
//! anywhere: memory stays constant, and bad input fails the verdict, never the parser.

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
