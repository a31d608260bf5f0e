//! Machines: what the pod asks of one, and the ways of making one.

pub mod diagnose;
pub mod drive;
pub mod group;
pub mod interface;
pub mod launch;
pub mod local;
pub mod maker;
pub mod prefetch;
mod relay;
pub mod snapshot;
pub mod vm;

pub use interface::{Cut, Machine, Maker, Order, Ran, Sink};
