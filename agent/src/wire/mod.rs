//! The protocol between orca and the agent.

mod command;

pub use command::*;
