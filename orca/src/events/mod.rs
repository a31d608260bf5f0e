//! What happens in a run, as data.

pub mod event;
