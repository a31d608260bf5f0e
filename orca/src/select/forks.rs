//! Whether a test is likely to fork: its machine is then prepared for being frozen. One that forks
//! unexpectedly is frozen as well, only more slowly.

use memchr::memmem;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// How much of a test is read, in bytes.
const READ_MAX: u64 = 256 * 1024;
/// The words that ask for a fork: the program, and the function of `t/lib.sh`.
const WORDS: [&str; 2] = ["orca-fork", "fork_cases"];

/// Whether the test at `path` names what forks. One that cannot be read does not.
pub fn mentions(path: &Path) -> bool {
    let mut text = Vec::new();
    let read = File::open(path).and_then(|file| file.take(READ_MAX).read_to_end(&mut text));
    read.is_ok() && WORDS.iter().any(|word| memmem::find(&text, word.as_bytes()).is_some())
}
