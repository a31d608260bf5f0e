//! The agent seen from the host: a client of its protocol, and a mux that shares one agent among several callers.

pub mod client;
pub mod mux;
