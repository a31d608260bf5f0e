//! The commands of a test that run on other nodes than its own. Data only: they go on when the
//! machines of the test are frozen together.

use std::collections::HashMap;

/// The first id of a command: lower ids belong to requests from when the machine was made.
const FIRST_ID: u32 = 1 << 20;

/// The commands that run.
#[derive(Clone, Debug)]
pub(super) struct RemoteCommands {
    pub(super) last_id: u32,
    /// By the id of the `on` that asked.
    pub(super) by_ask: HashMap<u32, RemoteCommand>,
}

impl Default for RemoteCommands {
    fn default() -> Self {
        Self { last_id: FIRST_ID, by_ask: HashMap::new() }
    }
}

/// A command that runs on another node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RemoteCommand {
    /// The node's index.
    pub(super) node: usize,
    /// The id of the request there.
    pub(super) id: u32,
}
