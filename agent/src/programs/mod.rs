//! The programs that come with the agent for tests to call: `on`, which runs a command on another
//! node, and `orca-fork`, which asks for copies of the machine. And what carries their requests to
//! the host.

pub(crate) mod fork;
pub(crate) mod fork_queue;
pub(crate) mod fork_requests;
pub(crate) mod node_requests;
pub(crate) mod on;
pub(crate) mod requests;
