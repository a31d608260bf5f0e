//! The agent alone, over a socket pair: no machine, no root needed.

#[cfg(test)]
mod frames;
#[cfg(test)]
mod kit;
#[cfg(test)]
#[path = "../../../orca/src/mutate.rs"]
mod mutate;
#[cfg(test)]
mod mutation;
#[cfg(test)]
mod shell;
#[cfg(test)]
mod text;
