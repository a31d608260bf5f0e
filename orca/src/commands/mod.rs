//! The subcommands of `orca`, a file each.

pub mod image;
