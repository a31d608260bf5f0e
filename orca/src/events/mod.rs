//! What happens in a run, as data: events and attempts, their tally, and the exit status.

pub mod attempt;
pub mod event;
pub mod exit;
pub mod points;
pub mod tally;
pub mod trouble;
