//! What will run, in which order, under which limits: the answer to "what would you do?" before anything is done.

use crate::discover::Test;
use std::time::Duration;

/// One planned test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    /// Where it is.
    pub test: Test,
    /// How long it may run, scaled for the accelerator.
    pub timeout: Duration,
    /// How often it may be tried again after a failure.
    pub retries: u32,
}

/// The run's tests, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// A `TestId` is an index into this.
    pub tests: Vec<Planned>,
}

impl Plan {
    /// Plans every test with the run's defaults.
    pub fn new(tests: Vec<Test>, timeout: Duration, retries: u32) -> Plan {
        let tests = tests.into_iter().map(|test| Planned { test, timeout, retries }).collect();
        Plan { tests }
    }
}
