//! Machines: the interface that the pod uses, and the ways of making a machine.

mod base;
mod cases;
pub mod diagnose;
pub mod drive;
pub mod fork;
mod freezer;
pub mod group;
pub mod interface;
pub mod launch;
pub mod layers;
pub mod local;
pub mod maker;
pub mod prefetch;
mod relay;
mod remote_commands;
pub mod snapshot;
pub mod vm;

pub use interface::{Case, Cut, Forked, Machine, Maker, Order, Ran, SetUp, Sink};
