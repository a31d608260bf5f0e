//! The middle of a test, where its machine was frozen: the cases of a fork go on there.

use std::time::Duration;

/// A machine, or the machines of a group, frozen in the middle of a test.
#[derive(Debug, Default)]
pub struct ForkPoint {
    /// How long the test had run.
    pub elapsed: Duration,
}
