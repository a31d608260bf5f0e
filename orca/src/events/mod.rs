//! What happens in a run, as data: events and attempts, what is counted of them, and the exit status that follows.

pub mod attempt;
pub mod event;
pub mod exit;
pub mod points;
pub mod tally;
pub mod trouble;
