//! The command line: one table of commands and one of flags. Parsing, help, completions and the
//! manual page derive from them.

pub mod command;
pub mod completions;
pub mod config;
pub mod flag;
pub mod flags;
pub mod help;
pub mod man;
pub mod parse;
pub mod raw;
mod rerun;
mod setting;
