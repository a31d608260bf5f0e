//! The subcommands of `orca`, one file each.

mod by_hand;
pub mod checks;
pub mod clean;
pub mod completions;
pub mod config;
pub mod doctor;
pub mod image;
pub mod list;
pub mod man;
pub mod merge;
pub mod run;
pub mod shell;
pub mod template;
pub mod test;
pub mod watch;
