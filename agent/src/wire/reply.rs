//! Reply lines, from the agent to the host: what they begin with, and how the last one says how a
//! command ended.

/// The agent's first line on every connect.
pub const HELLO: &str = "HELLO AGENT_v1";
/// The agent's answer to `PING`.
pub const PONG: &str = "PONG";
/// The agent's answer to `EXIT`.
pub const BYE: &str = "BYE";
/// The agent's answer to commands that only succeed: `FRAMES`, `SETTLE`, `RESUME`, `CANCEL`.
pub const OK: &str = "OK";
/// Begins every refusal: `ERR <why>`.
pub const ERR: &str = "ERR ";
/// Begins a reply line during a test: the first line of a complaint of the guest's kernel.
pub const WARN: &str = "WARN ";
/// Begins a reply line during a test: a further line of the complaint that the last [`WARN`] began.
pub const KERNEL: &str = "KERNEL ";
/// The first line of the reply to `EXEC`.
pub const EXEC_START: &str = "--- BEGIN OUTPUT ---";

/// How a command ended, as its last reply line has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ended {
    /// The exit status that a shell would show: `128 + signal` for a process that a signal ended.
    pub exit: i32,
    /// The signal that ended it. An exit status over 128 may also be the process's own.
    pub signal: Option<i32>,
    /// How many processes it left running. They were killed.
    pub left: u32,
}

impl Ended {
    fn fields(self) -> String {
        let mut out = format!("exit={}", self.exit);
        if let Some(signal) = self.signal {
            out.push_str(&format!(" signal={signal}"));
        }
        if self.left > 0 {
            out.push_str(&format!(" left={}", self.left));
        }
        out
    }

    fn from_fields(fields: &str) -> Option<Self> {
        let mut out = Self::default();
        let mut seen_exit = false;
        for field in fields.split_ascii_whitespace() {
            let (key, value) = field.split_once('=')?;
            match key {
                "exit" => {
                    out.exit = value.parse().ok()?;
                    seen_exit = true;
                }
                "signal" => out.signal = Some(value.parse().ok()?),
                "left" => out.left = value.parse().ok()?,
                _ => {}
            }
        }
        seen_exit.then_some(out)
    }

    /// `TAP_END <name> exit=N`, followed by `signal=` and `left=` where they apply.
    pub fn test_line(self, name: &str) -> String {
        format!("TAP_END {name} {}", self.fields())
    }

    /// `--- END OUTPUT (exit=N) ---`.
    pub fn exec_line(self) -> String {
        format!("--- END OUTPUT ({}) ---", self.fields())
    }

    /// `--- END SHELL (exit=N) ---`.
    pub fn shell_line(self) -> String {
        format!("--- END SHELL ({}) ---", self.fields())
    }

    /// Reads any of the three end lines.
    pub fn parse(line: &str) -> Option<Self> {
        let inner = |rest: &str| Self::from_fields(rest.strip_suffix(") ---")?);
        if let Some(rest) = line.strip_prefix("--- END OUTPUT (") {
            inner(rest)
        } else if let Some(rest) = line.strip_prefix("--- END SHELL (") {
            inner(rest)
        } else {
            let rest = line.strip_prefix("TAP_END ")?;
            Self::from_fields(&rest[rest.rfind(" exit=")?..])
        }
    }
}

/// The first line of a test's reply.
pub fn test_start_line(name: &str) -> String {
    format!("TAP_START {name}")
}

/// A test's name in its markers: the file name, with `_` for characters that could break a line.
pub fn marker_name(path: &[u8]) -> String {
    let file = path.rsplit(|&b| b == b'/').next().unwrap_or(path);
    single_word(file)
}

/// `name` as one word of a line, with `_` for characters that could break it.
pub fn single_word(name: &[u8]) -> String {
    let name = String::from_utf8_lossy(name);
    name.chars().map(|c| if c.is_control() || c.is_whitespace() { '_' } else { c }).collect()
}

const MARKERS: [&[u8]; 6] =
    [b"TAP_START ", b"TAP_END ", b"--- BEGIN OUTPUT", b"--- END OUTPUT", b"HELLO AGENT", b"\\"];

/// Whether a line of output reads as a marker. If so, text mode puts a backslash before it.
pub fn needs_escape(line: &[u8]) -> bool {
    MARKERS.iter().any(|marker| line.starts_with(marker))
}

/// Whether a line that begins with `start` could need the escape, as far as `start` tells.
pub fn may_need_escape(start: &[u8]) -> bool {
    MARKERS.iter().any(|marker| marker.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn end_lines() {
        let ended = Ended { exit: 137, signal: Some(9), left: 2 };
        for line in [ended.test_line("a_test.sh"), ended.exec_line(), ended.shell_line()] {
            assert_eq!(Ended::parse(&line), Some(ended), "{line}");
        }
        assert_eq!(ended.test_line("x"), "TAP_END x exit=137 signal=9 left=2");
        assert_eq!(Ended::default().exec_line(), "--- END OUTPUT (exit=0) ---");
        assert_eq!(Ended::parse("TAP_END x_exit=9_test.sh exit=0"), Some(Ended::default()));
        assert_eq!(Ended::parse("TAP_END x"), None);
        assert_eq!(Ended::parse("TAP_END x exit=zero"), None);
    }

    #[test]
    fn text_that_reads_as_a_marker_is_escaped() {
        assert!(needs_escape(b"TAP_END x exit=0"));
        assert!(needs_escape(b"\\TAP_END"));
        assert!(needs_escape(b"--- END OUTPUT (exit=0) ---"));
        assert!(!needs_escape(b"TAP version 14"));
        assert_eq!(marker_name(b"t/x/a b\n_test.sh"), "a_b__test.sh");
    }
}
