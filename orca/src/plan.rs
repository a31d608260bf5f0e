//! What will run, in which order, under which limits: the answer to "what would you do?" before anything is done.

use crate::discover::Test;
use crate::error::Result;
use crate::header::Header;
use std::path::Path;
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
    /// Memory of its machine in MiB.
    pub memory_mib: u32,
    /// Virtual CPUs of its machine.
    pub cpus: u32,
}

/// What a test gets that does not ask for anything.
#[derive(Clone, Copy, Debug)]
pub struct Defaults {
    /// How long it may run, not scaled.
    pub timeout: Duration,
    /// What timeouts are multiplied by.
    pub factor: f64,
    /// How often it may be tried again.
    pub retries: u32,
    /// Memory of its machine in MiB.
    pub memory_mib: u32,
    /// Virtual CPUs of its machine.
    pub cpus: u32,
}

/// The run's tests, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// A `TestId` is an index into this.
    pub tests: Vec<Planned>,
}

impl Plan {
    /// Plans every test, reading its header below `root`.
    ///
    /// # Errors
    /// A header that is wrong, or a test that cannot be read.
    pub fn new(root: &Path, tests: Vec<Test>, defaults: Defaults) -> Result<Plan> {
        let plan = |test: Test| {
            let header = Header::read(&root.join(&test.path), &test.display())?;
            Ok(Planned {
                timeout: header.timeout.unwrap_or(defaults.timeout).mul_f64(defaults.factor),
                retries: header.retries.unwrap_or(defaults.retries),
                memory_mib: header.memory_mib.unwrap_or(defaults.memory_mib),
                cpus: header.cpus.unwrap_or(defaults.cpus),
                test,
            })
        };
        Ok(Plan { tests: tests.into_iter().map(plan).collect::<Result<_>>()? })
    }
}
