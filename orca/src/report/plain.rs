//! Output outside of a run: errors with their hints, lists, the bytes of a guest's command.
//!
//! A reader that is gone is never an error here: the exit status still tells the result.

use crate::error::Error;
use std::io::{self, Write};

/// Standard output as a writer, for reporters.
#[derive(Debug)]
pub struct Out;

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        io::stdout().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stdout().flush()
    }
}

/// Standard error as a writer, for reporters.
#[derive(Debug)]
pub struct Err;

impl Write for Err {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        io::stderr().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes to standard output at once; false if nobody reads it any more.
pub fn out(bytes: &[u8]) -> bool {
    let mut out = io::stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush()).is_ok()
}

/// Writes to standard error.
pub fn err(bytes: &[u8]) {
    let _ = io::stderr().lock().write_all(bytes);
}

/// Prints an error, and its hint if it has one.
pub fn error(program: &str, error: &Error) {
    let mut text = format!("{program}: {error}\n");
    if let Some(hint) = error.next_step() {
        text.push_str(&format!("hint: {hint}\n"));
    }
    err(text.as_bytes());
}
