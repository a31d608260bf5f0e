//! Which tests run and in which order, and what is known of each: discovery, headers, history,
//! shards, the plan.

pub mod choose;
pub mod dependents;
pub mod discover;
pub mod git;
pub mod header;
pub mod history;
pub mod plan;
pub mod shard;
