//! Consoles shown to the user: with `--debug` on standard error, each line with its machine's name and never torn; with
//! `orca run --console` as they are.

use super::paint::safe;
use std::io::{self, Write};

/// The longest line that is waited for, in bytes; a longer one is broken.
const LINE_MAX: usize = 4096;

/// The console of the machine called `name`.
pub fn console(name: &str) -> Box<dyn Write + Send> {
    Box::new(Lines { prefix: format!("{name}| "), line: Vec::new() })
}

/// A console as it is, on standard output: for a person who sits at it.
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
