//! What was recorded of a test before it forked: the recordings of its cases begin with it.

use crate::events::attempt::Complaints;
use crate::events::points::Points;
use std::path::PathBuf;

/// The recording of a test up to its fork.
#[derive(Debug, Default)]
pub struct Before {
    pub(super) parser: tap::Collector,
    pub(super) points: Points,
    pub(super) stderr_tail: Vec<u8>,
    pub(super) notes: Vec<String>,
    pub(super) complaints: Complaints,
    /// The folder with its logs.
    pub(super) dir: PathBuf,
}
