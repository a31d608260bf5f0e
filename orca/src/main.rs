//! The multi-call host binary.
fn main() {}
