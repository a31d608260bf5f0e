//! Which tests run, in which order, and what is known about each: discovery, headers, history,
//! shards, the plan.

pub mod choose;
pub mod dependents;
pub mod discover;
pub mod git;
pub mod header;
pub mod history;
pub mod plan;
pub mod shard;
