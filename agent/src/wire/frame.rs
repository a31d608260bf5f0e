//! Frames: a kind, a request's id and a payload of bounded length.
//!
//! Nothing here does I/O beyond one `read` or `write` of a frame. No input makes it panic, or
//! allocate more than [`PAYLOAD_MAX`].

use std::io::{self, Read, Write};

/// The longest frame payload, in bytes. A longer one is a protocol error, never an allocation.
pub const PAYLOAD_MAX: usize = 64 * 1024;
/// The length of a frame's header, in bytes: kind (1), request id (4, little endian), payload
/// length (4, little endian).
pub const HEADER_LEN: usize = 9;
/// The longest payload that [`wrap`] can take, in bytes.
pub const WRAPPED_MAX: usize = PAYLOAD_MAX - 1;
/// How many bytes of a command's output, and of its input, may be on the way between two nodes.
pub const WINDOW: u32 = 256 * 1024;

/// What a frame's payload is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Host to agent: an encoded `Request`.
    Command,
    /// Host to agent: bytes for the standard input of the `EXEC` or `SHELL` with this id. An empty
    /// payload closes it.
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
    /// A number of bytes, a little-endian `u32`. Host to agent: how many more the `EXEC` with this
    /// id may print before it waits; an `EXEC` that never gets one may print without end. Agent to
    /// host, for an `EXEC` that got one: how many of its standard input the process has taken.
    Credit,
    /// Both ways: a frame between a program `on` in this guest and the host, which runs its command
    /// on another node of the test. The agent chooses the id, which is not a request's. See
    /// [`wrap`].
    Ask,
    /// Agent to host: the running test asks for a fork. The payload is the names of its cases, each
    /// followed by a NUL; the agent chooses the id, which is not a request's. Host to agent, in
    /// each case, with the same id: the answer, wrapped: as [`Kind::Data`] the name of this case,
    /// as [`Kind::Reply`] `ERR ` and why there is none.
    Fork,
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
            Self::Fork => b'X',
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
            Self::Fork,
        ]
        .into_iter()
        .find(|kind| kind.byte() == byte)
    }
}

/// Makes the payload of a [`Kind::Ask`]: a frame without an id, as its kind's byte and its payload
/// of at most [`WRAPPED_MAX`] bytes.
///
/// First, `on` sends a [`Kind::Command`]: the node's name, a NUL and a shell's command line. Then
/// it sends [`Kind::Stdin`] and [`Kind::Credit`]. A second command, which is empty, says that `on`
/// is gone. The answer is that of an `EXEC`. Credit begins at [`WINDOW`] for output and for input,
/// and each end gives back what it has used.
pub fn wrap(kind: Kind, payload: &[u8]) -> Vec<u8> {
    [&[kind.byte()], payload].concat()
}

/// Splits the payload of a [`Kind::Ask`] into kind and payload; `None` for an unknown kind.
pub fn unwrap(payload: &[u8]) -> Option<(Kind, &[u8])> {
    let (&kind, rest) = payload.split_first()?;
    Some((Kind::from_byte(kind)?, rest))
}

/// One frame. The host chooses the ids; an answer has the id of its [`Kind::Command`] frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// What the payload is.
    pub kind: Kind,
    /// The request that it belongs to; `0` for the agent's own `HELLO`.
    pub id: u32,
    /// At most [`PAYLOAD_MAX`] bytes.
    pub payload: Vec<u8>,
}

/// Writes one frame with a single `write_all`, so that frames of several threads behind one lock
/// never interleave.
///
/// # Errors
/// `InvalidInput` for a payload over [`PAYLOAD_MAX`]; an error of `out`.
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
/// `InvalidData` for an unknown kind or a length over [`PAYLOAD_MAX`]; `UnexpectedEof` for a frame
/// cut short; an error of `input`.
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
}
