//! What a machine has, as data that headers, plans and the makers of machines share.

/// What a machine has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Shape {
    /// Memory in MiB.
    pub memory_mib: u32,
    /// Virtual CPUs.
    pub cpus: u32,
    /// Whether it has a network card.
    pub net: bool,
    /// Which of the run's kernels, from 0.
    pub kernel: usize,
    /// How many network cards it has on wires to other machines.
    pub wires: u32,
}

/// One of the machines of a test that has several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its name in the test, which is its hostname too.
    pub name: String,
    /// For each of its cards the number of the wire, from 0 within the test.
    pub wires: Vec<usize>,
}
