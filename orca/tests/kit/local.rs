//! The binary run to its end, with the agent as a child process instead of a VM.

use crate::kit::{Project, Ran};

/// `orca <args>` in this project.
pub fn orca(project: &Project, args: &[&str]) -> Ran {
    Ran::from(project.command(args).output().unwrap())
}

/// `orca test --machine local <args>` in this project.
pub fn local(project: &Project, args: &[&str]) -> Ran {
    orca(project, &[&["test", "--machine", "local"], args].concat())
}
