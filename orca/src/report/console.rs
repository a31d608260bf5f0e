//! Consoles shown to the user. With `--debug` they go to standard error in whole lines, each with
//! its machine's name; with `orca run --console` they go to standard output as they are.

use super::paint::safe;
use std::io::{self, Write};

/// The longest line, in bytes; a longer one is broken.
const LINE_MAX: usize = 4096;

/// A writer to standard error for the console of the machine `name`.
pub fn console(name: &str) -> Box<dyn Write + Send> {
    Box::new(Lines { prefix: format!("{name}| "), line: Vec::new() })
}

/// A writer to standard output that changes nothing, for a person at the console.
pub fn terminal(_name: &str) -> Box<dyn Write + Send> {
    Box::new(io::stdout())
}

struct Lines {
    prefix: String,
    line: Vec<u8>,
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for &byte in bytes {
            if byte == b'\n' || self.line.len() >= LINE_MAX {
                let text = String::from_utf8_lossy(&self.line);
                writeln!(
                    io::stderr().lock(),
                    "{}{}",
                    self.prefix,
                    safe(text.trim_end_matches('\r'))
                )?;
                self.line.clear();
            }
            if byte != b'\n' {
                self.line.push(byte);
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
