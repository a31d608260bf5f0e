//! The middle of a test, where its machine was frozen: the cases of a fork go on there.

use super::layers::CopySource;
use super::remote_commands::RemoteCommands;
use crate::guest::client::Conversation;
use crate::shape::{Node, Shape};
use std::time::Duration;

/// A machine, or the machines of a group, frozen in the middle of a test. Its files have no names;
/// they are gone when the last case has let go of it.
#[derive(Debug, Default)]
pub struct ForkPoint {
    /// The test, which waits for the name of its case.
    pub(super) paused: Paused,
    /// The machines, that of the test first.
    pub(super) machines: Vec<FrozenMachine>,
    /// The nodes that they are, if they are several.
    pub(super) nodes: Vec<Node>,
    /// The commands that run on other nodes than the first.
    pub(super) commands: RemoteCommands,
}

impl ForkPoint {
    /// A machine alone, frozen with the test `paused`.
    pub(super) fn of_one(paused: Paused, machine: FrozenMachine) -> Self {
        Self { paused, machines: vec![machine], ..Self::default() }
    }
}

/// A test that waits for the answer to its fork.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Paused {
    /// The id of the request that runs the test.
    pub(super) request: u32,
    /// The id of the frame that asked for the fork.
    pub(super) fork: u32,
    /// How long the test had run.
    pub(super) elapsed: Duration,
}

/// A frozen machine.
#[derive(Debug)]
pub(super) struct FrozenMachine {
    /// Its files, and what makes the disks of its copies.
    pub(super) source: CopySource,
    /// The conversation with its agent.
    pub(super) conversation: Conversation,
    /// Its size and its devices.
    pub(super) shape: Shape,
}
