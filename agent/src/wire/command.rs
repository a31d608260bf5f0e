//! The protocol between orca and the agent: text lines for people, frames for programs.
//!
//! Version 1 starts in text mode: the agent says [`HELLO`] on every connect and reads one command per line. [`Command::Frames`]
//! switches both ends to length-prefixed frames, in which a test's output can forge nothing, because replies and output are different
//! [`Kind`]s. Nothing here does I/O beyond one `read` or `write` of a frame, and no input makes it panic or allocate more than
//! [`PAYLOAD_MAX`].

use std::io::{self, Read, Write};

/// The name of the virtio-serial port, as in `/dev/virtio-ports/glacic.agent`.
pub const PORT_NAME: &str = "glacic.agent";
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
/// Begins a reply line during a test: the first line of something that the guest's kernel complained of.
pub const WARN: &str = "WARN ";
/// Begins a reply line during a test: more of what the last [`WARN`] began.
pub const KERNEL: &str = "KERNEL ";
/// Where the host's project is mounted in the guest.
pub const SHARE_DIR: &str = "/mnt/glacic";
/// The 9p mount tag of the host's project.
pub const SHARE_TAG: &str = "host_share";
/// The 9p mount tag of the host's own root, where that is the guest's too.
pub const ROOT_TAG: &str = "host_root";

/// Begins the line on the console by which the guest tells what its kernel lacks: options, with blanks between them.
pub const LACKS: &str = "the kernel lacks ";

/// The longest frame payload, in bytes. A longer one is a protocol error, never an allocation.
pub const PAYLOAD_MAX: usize = 64 * 1024;
/// A frame's header: kind (1 byte), request id (4, little endian), payload length (4, little endian).
pub const HEADER_LEN: usize = 9;
/// The longest command line in text mode, in bytes, without its newline.
pub const LINE_MAX: usize = 64 * 1024;

/// What a frame carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Host to agent: a [`Request`].
    Command,
    /// Host to agent: bytes for the standard input of the `EXEC` or `SHELL` with this id; an empty payload closes it.
    Stdin,
    /// Host to agent: rows and columns of the shell's window, each a little-endian `u16`.
    Window,
    /// Agent to host: one reply line, without a newline.
    Reply,
    /// Agent to host: what the command printed on its standard output (or on its terminal).
    Stdout,
    /// Agent to host: what the command printed on its standard error.
    Stderr,
    /// Agent to host: an artifact begins; the payload is its path relative to the artifacts folder.
    File,
    /// Agent to host: the next bytes of the artifact begun last; an empty payload ends it.
    Data,
    /// Host to agent: how many more bytes, a little-endian `u32`, the `EXEC` with this id may print before it waits for more; the
    /// first one says that it may not print without end. Agent to host, for such an `EXEC` only: how many bytes of its standard
    /// input its process has taken.
    Credit,
    /// Both ways: a frame between a program `on` in this guest and the host, which runs its command on another node of the test.
    /// The id is the agent's to choose and has nothing to do with requests. See [`wrap`].
    Ask,
}

impl Kind {
    /// The byte that stands for this kind on the wire.
    pub fn byte(self) -> u8 {
        match self {
            Self::Command => b'C',
            Self::Stdin => b'I',
            Self::Window => b'W',
            Self::Reply => b'R',
            Self::Stdout => b'O',
            Self::Stderr => b'E',
            Self::File => b'F',
            Self::Data => b'D',
            Self::Credit => b'K',
            Self::Ask => b'A',
        }
    }

    /// The kind that `byte` stands for.
    pub fn from_byte(byte: u8) -> Option<Self> {
        [
            Self::Command,
            Self::Stdin,
            Self::Window,
            Self::Reply,
            Self::Stdout,
            Self::Stderr,
            Self::File,
            Self::Data,
            Self::Credit,
            Self::Ask,
        ]
        .into_iter()
        .find(|kind| kind.byte() == byte)
    }
}

/// The variables of a test on several nodes: the name of the one it runs on, and of all of them with blanks between.
pub const NODE: &str = "ORCA_NODE";
/// See [`NODE`].
pub const NODES: &str = "ORCA_NODES";
/// The longest payload that can be wrapped, in bytes.
pub const WRAPPED_MAX: usize = PAYLOAD_MAX - 1;
/// How many bytes of a command's output, and of its input, may be on the way between two nodes.
pub const WINDOW: u32 = 256 * 1024;

/// The payload of a [`Kind::Ask`]: a frame without id, as its kind's byte and its payload of at most [`WRAPPED_MAX`] bytes.
///
/// `on` sends a [`Kind::Command`] first, which is the node's name, a NUL and a shell's command line, then [`Kind::Stdin`] and
/// [`Kind::Credit`]; a second command, empty, says that it is gone. It gets what an `EXEC` is answered with. Credit begins at
/// [`WINDOW`] for output and for input, and each end gives back what it has used.
pub fn wrap(kind: Kind, payload: &[u8]) -> Vec<u8> {
    [&[kind.byte()], payload].concat()
}

/// Takes the payload of a [`Kind::Ask`] apart again.
pub fn unwrap(payload: &[u8]) -> Option<(Kind, &[u8])> {
    let (&kind, rest) = payload.split_first()?;
    Some((Kind::from_byte(kind)?, rest))
}

/// One frame. The id ties it to the [`Kind::Command`] frame that asked for it; ids are the host's to choose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// What the payload is.
    pub kind: Kind,
    /// The request it belongs to; `0` is the agent's own (its `HELLO`).
    pub id: u32,
    /// At most [`PAYLOAD_MAX`] bytes.
    pub payload: Vec<u8>,
}

/// Writes one frame with a single `write_all`, so that frames of several threads behind one lock never interleave.
///
/// # Errors
/// `InvalidInput` for a payload over [`PAYLOAD_MAX`]; whatever the writer says.
pub fn write_frame(out: &mut impl Write, kind: Kind, id: u32, payload: &[u8]) -> io::Result<()> {
    if payload.len() > PAYLOAD_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "frame payload over 64 KiB"));
    }
    let mut bytes = Vec::with_capacity(HEADER_LEN + payload.len());
    bytes.push(kind.byte());
    bytes.extend_from_slice(&id.to_le_bytes());
    bytes.extend_from_slice(&(payload.len() as u32).to_le_bytes());
    bytes.extend_from_slice(payload);
    out.write_all(&bytes)
}

/// Reads one frame; `None` at a clean end of the stream.
///
/// # Errors
/// `InvalidData` for an unknown kind or a length over [`PAYLOAD_MAX`]; `UnexpectedEof` for a frame cut short; whatever the reader says.
pub fn read_frame(input: &mut impl Read) -> io::Result<Option<Frame>> {
    let mut header = [0u8; HEADER_LEN];
    let mut have = 0;
    while have < HEADER_LEN {
        match input.read(&mut header[have..]) {
            Ok(0) if have == 0 => return Ok(None),
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(n) => have += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    let (kind, id, len) = decode_header(header)?;
    let mut payload = vec![0; len];
    input.read_exact(&mut payload)?;
    Ok(Some(Frame { kind, id, payload }))
}

/// Splits a header into kind, id and payload length.
///
/// # Errors
/// `InvalidData` for an unknown kind or a length over [`PAYLOAD_MAX`].
pub fn decode_header(header: [u8; HEADER_LEN]) -> io::Result<(Kind, u32, usize)> {
    let bad = |why: String| io::Error::new(io::ErrorKind::InvalidData, why);
    let [kind, i0, i1, i2, i3, l0, l1, l2, l3] = header;
    let kind =
        Kind::from_byte(kind).ok_or_else(|| bad(format!("unknown frame kind {kind:#04x}")))?;
    let len = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
    if len > PAYLOAD_MAX {
        return Err(bad(format!("frame of {len} bytes, over {PAYLOAD_MAX}")));
    }
    Ok((kind, u32::from_le_bytes([i0, i1, i2, i3]), len))
}

/// What the host can ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// `PING`: answered [`PONG`] at once, also while a test runs.
    Ping,
    /// `EXEC <shell command line>`.
    Exec(Vec<u8>),
    /// `TEST <path>`: relative to the project, without `..`.
    Test(Vec<u8>),
    /// `SHELL`: an interactive shell on a pty.
    Shell,
    /// `EXIT`: answered [`BYE`], then the connection closes; PID 1 powers off.
    Exit,
    /// `FRAMES`: answered [`OK`] as a line, then both ends speak frames until the port closes.
    Frames,
    /// `SETTLE`: gets ready what the next test will need, so that copies of this machine find it done; answered [`OK`].
    Settle,
    /// `RESUME [key=value …]`: see [`Resume`].
    Resume(Resume),
    /// `CANCEL <id>` (frames only): ends the request with that id, TERM first, KILL after a grace.
    Cancel(u32),
}

/// What a guest is told when it is let go, after a cold boot or as a copy of a frozen one. Every field is optional.
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
    /// `mac=`: the address of the machine's first network card, as hexadecimal; the others count on from it in its last byte.
    pub mac: Option<[u8; 6]>,
    /// `share=`: how to mount the project.
    pub share: Option<Share>,
}

/// How the project is mounted in the guest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Share {
    /// Read-only with a tmpfs overlay on top: a test may write anywhere and the host never sees it.
    #[default]
    Overlay,
    /// Read-only, no overlay.
    Ro,
    /// Writes go through to the host.
    Rw,
    /// Not mounted.
    None,
}

impl Share {
    /// The word for it on the wire, on the kernel command line and in options.
    pub fn name(self) -> &'static str {
        match self {
            Self::Overlay => "overlay",
            Self::Ro => "ro",
            Self::Rw => "rw",
            Self::None => "none",
        }
    }

    /// The way of mounting that `name` stands for.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Overlay, Self::Ro, Self::Rw, Self::None].into_iter().find(|s| s.name() == name)
    }
}

/// A command with the environment that its process gets on top of the agent's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// What to do.
    pub command: Command,
    /// Names and values, for `EXEC`, `TEST` and `SHELL`; travels in the payload, so it never stands on a command line.
    pub env: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Request {
    /// A request without an environment of its own.
    pub fn new(command: Command) -> Self {
        Self { command, env: Vec::new() }
    }

    /// The payload of its [`Kind::Command`] frame: the command line, then a NUL and `NAME=value` for each variable.
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

    /// Reads a [`Kind::Command`] payload.
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

/// How a command ended, as its last reply line says it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ended {
    /// The exit status as a shell would show it: `128 + signal` for a process that a signal ended.
    pub exit: i32,
    /// The signal that ended it, told apart from an exit status over 128.
    pub signal: Option<i32>,
    /// Processes that it left running and that were killed.
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

    /// `TAP_END <name> exit=N`, with `signal=` and `left=` behind it where they apply.
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

/// The first line of the reply to `EXEC`.
pub const EXEC_START: &str = "--- BEGIN OUTPUT ---";

/// The name that the markers of a test carry: the file name, with anything that could break a line replaced.
pub fn marker_name(path: &[u8]) -> String {
    let file = path.rsplit(|&b| b == b'/').next().unwrap_or(path);
    String::from_utf8_lossy(file)
        .chars()
        .map(|c| if c.is_control() || c.is_whitespace() { '_' } else { c })
        .collect()
}

const MARKERS: [&[u8]; 6] =
    [b"TAP_START ", b"TAP_END ", b"--- BEGIN OUTPUT", b"--- END OUTPUT", b"HELLO AGENT", b"\\"];

/// Whether a line of output would read as a marker in text mode, and so is sent with a leading backslash.
pub fn needs_escape(line: &[u8]) -> bool {
    MARKERS.iter().any(|marker| line.starts_with(marker))
}

/// Whether a line of which only `start` has been seen may yet turn out to need the escape.
pub fn may_need_escape(start: &[u8]) -> bool {
    MARKERS.iter().any(|marker| marker.starts_with(start))
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

/// The bytes that hexadecimal `text` stands for; `None` for an odd length or another character.
pub fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u32>> = text.chars().map(|c| c.to_digit(16)).collect();
    let digits = digits.filter(|d| d.len().is_multiple_of(2))?;
    Some(digits.chunks(2).map(|pair| (pair[0] << 4 | pair[1]) as u8).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_survive_the_trip() {
        let mut bytes = Vec::new();
        write_frame(&mut bytes, Kind::Stdout, 7, b"ok 1\n").unwrap();
        write_frame(&mut bytes, Kind::Stdin, 8, b"").unwrap();
        let mut input = &bytes[..];
        let first = read_frame(&mut input).unwrap().unwrap();
        assert_eq!((first.kind, first.id, &first.payload[..]), (Kind::Stdout, 7, &b"ok 1\n"[..]));
        assert!(read_frame(&mut input).unwrap().unwrap().payload.is_empty());
        assert!(read_frame(&mut input).unwrap().is_none());
    }

    #[test]
    fn a_bad_frame_is_an_error_before_it_is_an_allocation() {
        let huge = [b'O', 0, 0, 0, 0, 255, 255, 255, 255];
        assert_eq!(read_frame(&mut &huge[..]).unwrap_err().kind(), io::ErrorKind::InvalidData);
        let unknown = [b'?', 0, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(read_frame(&mut &unknown[..]).unwrap_err().kind(), io::ErrorKind::InvalidData);
        let cut = [b'O', 0, 0, 0, 0, 3, 0, 0, 0, b'x'];
        assert_eq!(read_frame(&mut &cut[..]).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        assert!(write_frame(&mut Vec::new(), Kind::Stdout, 1, &vec![0; PAYLOAD_MAX + 1]).is_err());
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
