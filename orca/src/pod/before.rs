//! What was recorded of a test before it forked: the recordings of its cases begin with it.

/// The recording of a test up to its fork.
#[derive(Debug, Default)]
pub struct Before {}
