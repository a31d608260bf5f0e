//! The other nodes of a test: `on`, the program that runs a command on one of them, and the
//! requests that carry its frames to the host.

pub(crate) mod on;
pub(crate) mod requests;
