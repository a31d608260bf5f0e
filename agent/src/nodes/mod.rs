//! The other nodes of a test: `on`, the program that runs a command on one, and what carries it to the host.

pub(crate) mod on;
pub(crate) mod requests;
