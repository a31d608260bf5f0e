//! Commands, from the host to the agent: one line of text each, with an environment in frames.
//!
//! No input makes the parser panic, or allocate more than a few times the input's length.

/// The longest command line in text mode, in bytes, without its newline.
pub const LINE_MAX: usize = 64 * 1024;
/// How many of a script's first bytes the kernel looks at to find its interpreter.
pub const SHEBANG_MAX: usize = 256;

/// A command of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// `PING`: answered `PONG` at once, also while a test runs.
    Ping,
    /// `EXEC <shell command line>`.
    Exec(Vec<u8>),
    /// `TEST <path>`: a path relative to the project, without `..`.
    Test(Vec<u8>),
    /// `SHELL`: an interactive shell on a pty.
    Shell,
    /// `EXIT`: answered `BYE`, then the connection closes; PID 1 powers off.
    Exit,
    /// `FRAMES`: answered `OK` as a line, then both ends speak frames until the port closes.
    Frames,
    /// `SETTLE`: prepares what the next test will need, so that copies of this machine need not.
    /// Answered `OK`.
    Settle,
    /// `RESUME [key=value …]`: see [`Resume`].
    Resume(Resume),
    /// `CANCEL <id>` (frames only): ends the request with that id, by TERM first, by KILL after a
    /// grace.
    Cancel(u32),
}

/// What a guest must know when it starts to work, after a cold boot or as a copy of a frozen one.
/// Every field is optional.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resume {
    /// `time=`: the wall clock to set, in nanoseconds since the Unix epoch.
    pub time_ns: Option<u64>,
    /// `seed=`: fresh entropy for the kernel's random pool, as hexadecimal.
    pub seed: Vec<u8>,
    /// `hostname=`.
    pub hostname: Option<String>,
    /// `machine-id=`: 32 hexadecimal digits.
    pub machine_id: Option<String>,
    /// `mac=`: the address of the machine's first network card, as hexadecimal. Each further card
    /// has the next one, counted in the last byte.
    pub mac: Option<[u8; 6]>,
    /// `share=`: how to mount the project.
    pub share: Option<Share>,
}

/// How the project is mounted in the guest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Share {
    /// Read-only with an overlay on top: a test may write anywhere and the host never sees it.
    #[default]
    Overlay,
    /// Read-only, no overlay.
    Ro,
    /// Writes go through to the host.
    Rw,
    /// A disk with a copy of the project, which a test may write to as to any other.
    Disk,
    /// Not mounted.
    None,
}

impl Share {
    /// Its word in the protocol, on the kernel's command line and in options.
    pub fn name(self) -> &'static str {
        match self {
            Self::Overlay => "overlay",
            Self::Ro => "ro",
            Self::Rw => "rw",
            Self::Disk => "disk",
            Self::None => "none",
        }
    }

    /// The `Share` that `name` stands for.
    pub fn from_name(name: &str) -> Option<Self> {
        let all = [Self::Overlay, Self::Ro, Self::Rw, Self::Disk, Self::None];
        all.into_iter().find(|share| share.name() == name)
    }
}

/// A command with the environment that its process gets on top of the agent's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// What to do.
    pub command: Command,
    /// Names and values, for `EXEC`, `TEST` and `SHELL`. They travel in the payload, so they never
    /// stand on a command line.
    pub env: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Request {
    /// A request without an environment of its own.
    pub fn new(command: Command) -> Self {
        Self { command, env: Vec::new() }
    }

    /// The payload of its `Command` frame: the command line, then a NUL and `NAME=value` for each
    /// variable.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = self.command.line();
        for (name, value) in &self.env {
            out.push(0);
            out.extend_from_slice(name);
            out.push(b'=');
            out.extend_from_slice(value);
        }
        out
    }

    /// Reads the payload of a `Command` frame.
    ///
    /// # Errors
    /// The reason, fit to follow `ERR `.
    pub fn decode(payload: &[u8]) -> Result<Self, String> {
        let mut parts = payload.split(|&b| b == 0);
        let command = Command::parse(parts.next().unwrap_or_default())?;
        let env = parts
            .map(|entry| match entry.iter().position(|&b| b == b'=') {
                Some(at) if at > 0 => Ok((entry[..at].to_vec(), entry[at + 1..].to_vec())),
                _ => Err("malformed environment entry".to_owned()),
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { command, env })
    }
}

impl Command {
    /// Parses one command line, without its newline. A trailing carriage return is dropped.
    ///
    /// # Errors
    /// The reason, fit to follow `ERR `.
    pub fn parse(line: &[u8]) -> Result<Self, String> {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let (word, rest) = match line.iter().position(|&b| b == b' ') {
            Some(at) => (&line[..at], line[at + 1..].trim_ascii_start()),
            None => (line, &b""[..]),
        };
        let bare = |command| match rest {
            b"" => Ok(command),
            _ => Err(format!("{} takes no argument", word.escape_ascii())),
        };
        match word {
            b"PING" => bare(Self::Ping),
            b"SHELL" => bare(Self::Shell),
            b"EXIT" => bare(Self::Exit),
            b"FRAMES" => bare(Self::Frames),
            b"SETTLE" => bare(Self::Settle),
            b"EXEC" if rest.is_empty() => Err("EXEC needs a command".into()),
            b"EXEC" => Ok(Self::Exec(rest.to_vec())),
            b"TEST" => check_test_path(rest).map(|()| Self::Test(rest.to_vec())),
            b"RESUME" => Resume::parse(rest).map(Command::Resume),
            b"CANCEL" => parse_number(rest).map(Command::Cancel).ok_or("CANCEL needs an id".into()),
            b"" => Err("empty command".into()),
            _ => Err(format!("unknown command `{}`", shorten(word).escape_ascii())),
        }
    }

    /// The command as a line, without a newline.
    pub fn line(&self) -> Vec<u8> {
        match self {
            Self::Ping => b"PING".to_vec(),
            Self::Exec(cmd) => [b"EXEC ", &cmd[..]].concat(),
            Self::Test(path) => [b"TEST ", &path[..]].concat(),
            Self::Shell => b"SHELL".to_vec(),
            Self::Exit => b"EXIT".to_vec(),
            Self::Frames => b"FRAMES".to_vec(),
            Self::Settle => b"SETTLE".to_vec(),
            Self::Resume(resume) => resume.line().into_bytes(),
            Self::Cancel(id) => format!("CANCEL {id}").into_bytes(),
        }
    }
}

impl Resume {
    fn parse(rest: &[u8]) -> Result<Self, String> {
        let rest = std::str::from_utf8(rest).map_err(|_| "RESUME is not UTF-8".to_owned())?;
        let mut out = Self::default();
        for word in rest.split_ascii_whitespace() {
            let Some((key, value)) = word.split_once('=') else {
                return Err(format!("RESUME: `{}` is not key=value", word.escape_debug()));
            };
            let bad = || format!("RESUME: bad value for `{key}`");
            match key {
                "time" => out.time_ns = Some(value.parse().map_err(|_| bad())?),
                "seed" => out.seed = from_hex(value).ok_or_else(bad)?,
                "hostname" if is_hostname(value) => out.hostname = Some(value.to_owned()),
                "machine-id" if value.len() == 32 && from_hex(value).is_some() => {
                    out.machine_id = Some(value.to_owned());
                }
                "mac" => {
                    let bytes = from_hex(value).and_then(|bytes| bytes.try_into().ok());
                    out.mac = Some(bytes.ok_or_else(bad)?);
                }
                "share" => out.share = Some(Share::from_name(value).ok_or_else(bad)?),
                "hostname" | "machine-id" => return Err(bad()),
                _ => return Err(format!("RESUME: unknown key `{}`", key.escape_debug())),
            }
        }
        Ok(out)
    }

    fn line(&self) -> String {
        let mut out = String::from("RESUME");
        let mut push = |key: &str, value: &str| {
            out.push(' ');
            out.push_str(key);
            out.push('=');
            out.push_str(value);
        };
        if let Some(ns) = self.time_ns {
            push("time", &ns.to_string());
        }
        if !self.seed.is_empty() {
            push("seed", &to_hex(&self.seed));
        }
        if let Some(name) = &self.hostname {
            push("hostname", name);
        }
        if let Some(id) = &self.machine_id {
            push("machine-id", id);
        }
        if let Some(mac) = self.mac {
            push("mac", &to_hex(&mac));
        }
        if let Some(share) = self.share {
            push("share", share.name());
        }
        out
    }
}

/// Refuses a test path that is empty, absolute, holds a NUL or leaves the project through `..`.
///
/// # Errors
/// The reason, fit to follow `ERR `.
pub fn check_test_path(path: &[u8]) -> Result<(), String> {
    let why = if path.is_empty() {
        "TEST needs a path"
    } else if path.starts_with(b"/") {
        "TEST takes a path relative to the project"
    } else if path.contains(&0) {
        "TEST path holds a NUL"
    } else if path.split(|&b| b == b'/').any(|part| part == b"..") {
        "TEST path holds `..`"
    } else {
        return Ok(());
    };
    Err(why.to_owned())
}

/// The interpreter that a script names in its first line: the path behind `#!`, without arguments,
/// which may be empty. `start` is the script's first [`SHEBANG_MAX`] bytes, or all of a shorter
/// one.
///
/// `None` means that a shell is to run the script. A shell also runs a script that is not
/// executable, whatever its first line says.
pub fn interpreter(start: &[u8]) -> Option<&[u8]> {
    let line = start.strip_prefix(b"#!")?;
    // As the kernel does it: a carriage return belongs to the path.
    let line = line.split(|byte| b"\n\0".contains(byte)).next()?;
    line.split(|byte| b" \t".contains(byte)).find(|word| !word.is_empty()).or(Some(b""))
}

fn is_hostname(name: &str) -> bool {
    (1..=63).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.')
}

fn parse_number(text: &[u8]) -> Option<u32> {
    std::str::from_utf8(text).ok()?.trim().parse().ok()
}

fn shorten(word: &[u8]) -> &[u8] {
    &word[..word.len().min(40)]
}

/// Lower-case hexadecimal, two digits a byte.
pub fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// The bytes that hexadecimal `text` stands for; `None` for an odd length or any other character.
pub fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u32>> = text.chars().map(|c| c.to_digit(16)).collect();
    let digits = digits.filter(|d| d.len().is_multiple_of(2))?;
    Some(digits.chunks(2).map(|pair| (pair[0] << 4 | pair[1]) as u8).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_names_its_interpreter() {
        let all = b"#! /usr/bin/env perl\n";
        assert_eq!(interpreter(all), Some(&b"/usr/bin/env"[..]));
        assert_eq!(interpreter(b"#!/bin/sh"), Some(&b"/bin/sh"[..]));
        assert_eq!(interpreter(b"#!"), Some(&b""[..]));
        assert_eq!(interpreter(b"#! \n/bin/sh"), Some(&b""[..]));
        assert_eq!(interpreter(b"#!/bin/sh\r\n"), Some(&b"/bin/sh\r"[..]));
        for other in [&b""[..], b"#", b" #!/bin/sh", b"# !/bin/sh", b"echo ok"] {
            assert_eq!(interpreter(other), None, "{}", other.escape_ascii());
        }
    }

    fn check(line: &str, expected: Result<Command, &str>) {
        assert_eq!(Command::parse(line.as_bytes()), expected.map_err(str::to_owned), "{line:?}");
    }

    #[test]
    fn command_lines() {
        check("PING", Ok(Command::Ping));
        check("PING\r", Ok(Command::Ping));
        check("PING x", Err("PING takes no argument"));
        check("ping", Err("unknown command `ping`"));
        check("", Err("empty command"));
        check("EXEC ip addr", Ok(Command::Exec(b"ip addr".to_vec())));
        check("EXEC", Err("EXEC needs a command"));
        check("TEST t/a b_test.sh", Ok(Command::Test(b"t/a b_test.sh".to_vec())));
        check("TEST", Err("TEST needs a path"));
        check("TEST /etc/passwd", Err("TEST takes a path relative to the project"));
        check("TEST t/../../x", Err("TEST path holds `..`"));
        check("CANCEL 7", Ok(Command::Cancel(7)));
        check("CANCEL x", Err("CANCEL needs an id"));
        check("RESUME what", Err("RESUME: `what` is not key=value"));
        check("RESUME hostname=a_b", Err("RESUME: bad value for `hostname`"));
        check("RESUME colour=red", Err("RESUME: unknown key `colour`"));
    }

    #[test]
    fn every_command_reads_back_what_it_wrote() {
        let resume = Resume {
            time_ns: Some(1_700_000_000_000_000_000),
            seed: vec![1, 0xfe],
            hostname: Some("vm-1".into()),
            machine_id: Some("0123456789abcdef0123456789abcdef".into()),
            mac: Some([0x52, 0x54, 0, 1, 2, 3]),
            share: Some(Share::Ro),
        };
        for command in [
            Command::Ping,
            Command::Exec(b"echo  two".to_vec()),
            Command::Test(b"t/x_test.sh".to_vec()),
            Command::Shell,
            Command::Exit,
            Command::Frames,
            Command::Settle,
            Command::Resume(resume),
            Command::Resume(Resume::default()),
            Command::Cancel(9),
        ] {
            let request = Request { command, env: vec![(b"A".to_vec(), b"b=c\nd".to_vec())] };
            assert_eq!(Request::decode(&request.encode()), Ok(request));
        }
        assert!(Request::decode(b"PING\0=x").is_err());
    }
}
