//! Which tests run, in which order, and what is known about each: discovery, headers, set-ups,
//! history, shards, the plan.

pub mod choose;
pub mod dependents;
pub mod discover;
pub mod forks;
pub mod git;
pub mod header;
pub mod history;
pub mod journal;
pub mod kept;
pub mod plan;
pub mod setups;
pub mod shard;
