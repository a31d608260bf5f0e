//! The middle of a test, where its machine was frozen: the cases of a fork go on there.

use crate::guest::client::Conversation;
use crate::qemu::template::Template;
use crate::shape::Shape;
use std::sync::Arc;
use std::time::Duration;

/// A machine, or the machines of a group, frozen in the middle of a test. Its files have no names;
/// they are gone when the last case has let go of it.
#[derive(Debug)]
pub struct ForkPoint {
    /// The test, which waits for the name of its case.
    pub paused: Paused,
    /// The machine that the test runs on.
    pub machine: FrozenMachine,
}

/// A test that waits for the answer to its fork.
#[derive(Clone, Copy, Debug)]
pub struct Paused {
    /// The id of the request that runs the test.
    pub request: u32,
    /// The id of the frame that asked for the fork.
    pub fork: u32,
    /// How long the test had run.
    pub elapsed: Duration,
}

/// A frozen machine.
#[derive(Debug)]
pub struct FrozenMachine {
    /// Its files.
    pub template: Arc<Template>,
    /// The conversation with its agent.
    pub conversation: Conversation,
    /// Its size and its devices.
    pub shape: Shape,
}
