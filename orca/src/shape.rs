//! The shape of a machine, as data that headers, plans and the makers of machines share.

/// The size of a machine, its network cards and its kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Shape {
    /// Memory in MiB.
    pub memory_mib: u32,
    /// Virtual CPUs.
    pub cpus: u32,
    /// Whether it has a card for the host's network.
    pub net: bool,
    /// The kernel that it boots, by its number in the run, from 0.
    pub kernel: usize,
    /// How many cards it has on wires to other machines.
    pub wired_cards: u32,
    /// The set-up that it has been through, by its number in the run, from 0.
    pub setup: Option<usize>,
    /// Whether it is likely to be frozen again: then its memory is a file of its own, and freezing
    /// it costs little.
    pub freezes: bool,
}

/// One of the machines of a test that has several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its name in the test, which is its hostname too.
    pub name: String,
    /// The wire that each of its cards is on, by its number in the test, from 0.
    pub wires: Vec<usize>,
}
