//! The agent alone, over a socket pair: no machine, no root needed.

#[cfg(test)]
mod forks;
#[cfg(test)]
mod frames;
#[cfg(test)]
mod kit;
// Shared with the tests of orca's own parsers. It takes nothing from that crate.
#[cfg(test)]
#[path = "../../../orca/src/mutate.rs"]
mod mutate;
#[cfg(test)]
mod mutation;
#[cfg(test)]
mod setups;
#[cfg(test)]
mod shell;
#[cfg(test)]
mod text;
