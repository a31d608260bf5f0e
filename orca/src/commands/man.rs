//! `orca man`: the manual page, made from the tables.

use crate::cli::man;
use crate::events::exit;
use crate::report::plain;

/// Prints the manual page.
pub fn run(version: &str) -> u8 {
    plain::out(man::page(version).as_bytes());
    exit::GOOD
}
