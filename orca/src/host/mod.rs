//! This host: its limits, its processes, its terminal, its clock, and the folders of a run.

pub mod atomic;
pub mod clock;
pub mod limits;
pub mod logdir;
pub mod rundir;
pub mod signals;
pub mod sparse;
pub mod spawner;
pub mod sys;
pub mod tty;
pub mod watcher;
