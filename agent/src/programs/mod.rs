//! The programs that come with the agent for tests to call, and what carries their requests to the
//! host. `on` runs a command on another node.

pub(crate) mod node_requests;
pub(crate) mod on;
pub(crate) mod requests;
