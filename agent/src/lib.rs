//! The guest side of orca.
//!
//! Two halves: [`wire`], the protocol that host and guest share, and the rest, which only runs in a guest. The host crate may
//! name `wire` and, from its `main` alone, [`run`].

pub mod wire;
