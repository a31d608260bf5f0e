//! Settings in a test's first comments: `# orca: timeout=120s memory=1G cpus=2 retries=1`.
//!
//! Only comment lines at the top of the file count, so nothing in a test's body is taken for a setting. Unknown keys are errors: a
//! misspelt timeout that is silently ignored is worse than none.

use crate::cli::suggest::nearest;
use crate::cli::value;
use crate::error::{Error, Result};
use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::time::Duration;

/// How much of a file is looked at, in bytes.
const HEAD_BYTES: u64 = 4096;
const MARK: &str = "orca:";
const KEYS: [&str; 4] = ["timeout", "memory", "cpus", "retries"];

/// What a test asks for; what it does not say is the run's default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// How long it may run, not scaled.
    pub timeout: Option<Duration>,
    /// Its machine's memory in MiB.
    pub memory_mib: Option<u32>,
    /// Its machine's virtual CPUs.
    pub cpus: Option<u32>,
    /// How often it may be tried again.
    pub retries: Option<u32>,
}

impl Header {
    /// Reads the header of the test at `path`, called `name` in errors.
    ///
    /// # Errors
    /// A file that cannot be read, or a setting that is wrong, with its line.
    pub fn read(path: &Path, name: &str) -> Result<Header> {
        let mut head = Vec::new();
        File::open(path).and_then(|file| file.take(HEAD_BYTES).read_to_end(&mut head)).map_err(
            |e| {
                let hint = "make it readable, or name the tests that are";
                Error::io("read", Path::new(name), &e).hint(hint)
            },
        )?;
        Header::parse(&String::from_utf8_lossy(&head), name)
    }

    fn parse(text: &str, name: &str) -> Result<Header> {
        let mut header = Header::default();
        let comments =
            text.lines().take_while(|line| line.trim().is_empty() || line.starts_with('#'));
        for (number, line) in (1..).zip(comments) {
            let Some(settings) = line.trim_start_matches('#').trim().strip_prefix(MARK) else {
                continue;
            };
            for setting in settings.split_ascii_whitespace() {
                header.set(setting).map_err(|error| {
                    let located = Error::new(format!("`{name}` line {number}: {error}"));
                    match error.next_step() {
                        Some(hint) => located.hint(hint),
                        None => located,
                    }
                })?;
            }
        }
        Ok(header)
    }

    fn set(&mut self, setting: &str) -> Result<()> {
        let (key, text) = setting.split_once('=').unwrap_or((setting, ""));
        let value = OsStr::new(text);
        let form = |form: String| Error::new(format!("`{key}` takes {form}, not `{text}`"));
        match key {
            "timeout" => self.timeout = Some(value::duration(value).map_err(form)?),
            "memory" => self.memory_mib = Some(value::memory_mib(value).map_err(form)?),
            "cpus" => self.cpus = Some(value::number(value, 1, 64).map_err(form)? as u32),
            "retries" => self.retries = Some(value::number(value, 0, 100).map_err(form)? as u32),
            _ => {
                let hint = match nearest(key, KEYS) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("the keys are {}", KEYS.join(", ")),
                };
                return Err(Error::new(format!("unknown key `{key}`")).hint(hint));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Result<Header, &str>) {
        let got = Header::parse(text, "x").map_err(|error| error.to_string());
        assert_eq!(got, expected.map_err(str::to_owned), "{text:?}");
    }

    #[test]
    fn headers() {
        let plain = Header::default();
        check("", Ok(plain));
        check("#!/bin/sh\n# about orca: nothing\nset -eu\n# orca: cpus=2\n", Ok(plain));
        check(
            "#!/bin/sh\n\n# what it tests\n# orca: memory=1G cpus=2\n#orca: timeout=5m retries=1\n",
            Ok(Header {
                timeout: Some(Duration::from_secs(300)),
                memory_mib: Some(1024),
                cpus: Some(2),
                retries: Some(1),
            }),
        );
        check(
            "# orca: memory=lots",
            Err(
                "`x` line 1: `memory` takes an amount of memory such as 512M or 2G, at least 64M, not `lots`",
            ),
        );
        check("#!/bin/sh\n# orca: timout=1s", Err("`x` line 2: unknown key `timout`"));
        check("# orca: cpus", Err("`x` line 1: `cpus` takes a number from 1 to 64, not ``"));
    }
}
