//! The agent as the host sees it: a client of its protocol, and a mux that shares one agent among
//! several callers.

pub mod client;
pub mod mux;
