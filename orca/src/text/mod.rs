//! Forms that people type and read: pure, and below everything else.

pub mod case;
pub mod count;
pub mod day;
pub mod filter;
pub mod glob;
pub mod hash;
pub mod quote;
pub mod shard;
pub mod suggest;
pub mod value;
