//! The command line: one table of commands, one of flags; parsing, help and suggestions derive from them.

pub mod command;
pub mod completions;
pub mod config;
pub mod flags;
pub mod help;
pub mod man;
pub mod parse;
pub mod raw;
