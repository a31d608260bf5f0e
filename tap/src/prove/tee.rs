//! Passes a test's stderr on as it comes, and keeps its end for a report.

use crate::junit::OUTPUT_BYTES_MAX;
use crossbeam::channel::{Receiver, bounded};
use std::io::{Read, Write};
use std::process::ChildStderr;
use std::time::Duration;

/// How long the end of stderr is awaited once the test has ended: a process that the test left
/// behind may hold it open.
const DRAIN: Duration = Duration::from_secs(1);

/// The thread that copies a test's stderr.
#[derive(Debug)]
pub(super) struct Tee {
    tail: Receiver<Vec<u8>>,
}

/// Starts to copy `from` to stderr.
pub(super) fn start(mut from: ChildStderr) -> Tee {
    let (done, tail) = bounded(1);
    let copy = move || {
        let mut buffer = [0; 8192];
        let mut tail = Vec::new();
        loop {
            match from.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => {
                    let _ = std::io::stderr().write_all(&buffer[..count]);
                    keep_tail(&mut tail, &buffer[..count]);
                }
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        let _ = done.send(tail);
    };
    // Without a thread the pipe closes and the test's stderr is lost, but not the test.
    let _ = std::thread::Builder::new().name("stderr".into()).spawn(copy);
    Tee { tail }
}

impl Tee {
    /// The end of what was copied.
    pub(super) fn finish(self) -> Vec<u8> {
        self.tail.recv_timeout(DRAIN).unwrap_or_default()
    }
}

/// Adds `bytes` to `tail` and keeps its end: at most twice what a report shows.
pub(super) fn keep_tail(tail: &mut Vec<u8>, bytes: &[u8]) {
    tail.extend_from_slice(bytes);
    if tail.len() > 2 * OUTPUT_BYTES_MAX {
        let cut = tail.len() - OUTPUT_BYTES_MAX;
        tail.drain(..cut);
    }
}
