//! A private wire: an Ethernet hub in this process that connects the network cards of several
//! machines, and nothing of the host.
//!
//! QEMU's `-netdev stream` connects to the hub's socket and sends frames, each after its length in
//! four bytes, big-endian. A frame from one card goes to all others. A card that does not read in
//! time misses frames, as on any wire; the hub never waits for it.

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

/// The longest frame that QEMU sends, in bytes: the size of its own buffer.
const FRAME_MAX: usize = 4096 + 64 * 1024;
/// How much may wait for one card to read it, in bytes.
const BACKLOG_MAX: usize = 1 << 20;
/// How much is read at a time, in bytes.
const CHUNK: usize = 64 * 1024;
/// The size of the length before a frame, in bytes.
const LENGTH: usize = 4;

/// A running hub. Dropping it disconnects every card.
#[derive(Debug)]
pub struct EthernetHub {
    path: PathBuf,
    hang_up: Option<UnixStream>,
    thread: Option<JoinHandle<()>>,
}

impl EthernetHub {
    /// Starts a hub at the socket `path`, which is removed with it.
    ///
    /// # Errors
    /// The path cannot be a socket, or the host gives no thread.
    pub fn new(path: &Path) -> io::Result<Self> {
        let listener = UnixListener::bind(path)?;
        listener.set_nonblocking(true)?;
        let (hang_up, hung_up) = UnixStream::pair()?;
        let work = move || serve(&listener, &hung_up);
        let thread = std::thread::Builder::new().name("ethernet-hub".into()).spawn(work)?;
        Ok(Self { path: path.to_owned(), hang_up: Some(hang_up), thread: Some(thread) })
    }

    /// Where machines connect.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for EthernetHub {
    fn drop(&mut self) {
        self.hang_up = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        // If it stays, it is in a folder that is removed with the run.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// The connection of one machine's card.
struct Port {
    stream: UnixStream,
    /// Bytes that were received and are no whole frame yet.
    input: Vec<u8>,
    /// Bytes that the card has not taken yet.
    output: Vec<u8>,
}

fn serve(listener: &UnixListener, hung_up: &UnixStream) {
    let mut ports: Vec<Port> = Vec::new();
    loop {
        let events = |port: &Port| match port.output.is_empty() {
            true => PollFlags::POLLIN,
            false => PollFlags::POLLIN | PollFlags::POLLOUT,
        };
        let mut fds = vec![
            PollFd::new(hung_up.as_fd(), PollFlags::POLLIN),
            PollFd::new(listener.as_fd(), PollFlags::POLLIN),
        ];
        fds.extend(ports.iter().map(|port| PollFd::new(port.stream.as_fd(), events(port))));
        match poll(&mut fds, PollTimeout::NONE) {
            Ok(_) => {}
            Err(nix::errno::Errno::EINTR) => continue,
            Err(_) => return,
        }
        let ready: Vec<bool> = fds.iter().map(|fd| fd.any().unwrap_or(true)).collect();
        if ready[0] {
            return;
        }
        let mut gone = Vec::new();
        for at in (0..ports.len()).filter(|at| ready[at + 2]) {
            if exchange(&mut ports, at).is_err() {
                gone.push(at);
            }
        }
        for at in gone.into_iter().rev() {
            ports.remove(at);
        }
        if ready[1]
            && let Ok((stream, _)) = listener.accept()
            && stream.set_nonblocking(true).is_ok()
        {
            ports.push(Port { stream, input: Vec::new(), output: Vec::new() });
        }
    }
}

/// Reads what port `at` has sent, passes whole frames to all other ports, and writes what waits for
/// it.
///
/// # Errors
/// The card is gone, or sends something that is no frame.
fn exchange(ports: &mut [Port], at: usize) -> io::Result<()> {
    let port = &mut ports[at];
    flush(port)?;
    let mut chunk = vec![0; CHUNK];
    match port.stream.read(&mut chunk) {
        Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
        Ok(count) => port.input.extend_from_slice(&chunk[..count]),
        Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
        Err(e) => return Err(e),
    }
    let input = std::mem::take(&mut port.input);
    let mut rest = &input[..];
    while let Some(length) = rest.first_chunk::<LENGTH>() {
        let length = u32::from_be_bytes(*length) as usize;
        if length > FRAME_MAX {
            return Err(ErrorKind::InvalidData.into());
        }
        let Some(frame) = rest.get(..LENGTH + length) else { break };
        rest = &rest[LENGTH + length..];
        for (_, other) in ports.iter_mut().enumerate().filter(|(other, _)| *other != at) {
            if other.output.len() + frame.len() <= BACKLOG_MAX {
                other.output.extend_from_slice(frame);
                // The loss of a card is noticed when it is read from.
                let _ = flush(other);
            }
        }
    }
    ports[at].input = rest.to_vec();
    Ok(())
}

fn flush(port: &mut Port) -> io::Result<()> {
    while !port.output.is_empty() {
        match port.stream.write(&port.output) {
            Ok(count) => drop(port.output.drain(..count)),
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(payload: &[u8]) -> Vec<u8> {
        [&(payload.len() as u32).to_be_bytes()[..], payload].concat()
    }

    fn hears(stream: &mut UnixStream, payload: &[u8]) {
        let mut got = vec![0; LENGTH + payload.len()];
        stream.read_exact(&mut got).unwrap();
        assert_eq!(got, frame(payload));
    }

    struct Rig {
        dir: PathBuf,
        hub: Option<EthernetHub>,
    }

    impl Rig {
        fn new() -> Self {
            let dir = nix::unistd::mkdtemp(&std::env::temp_dir().join("orca-hub-XXXXXX")).unwrap();
            let hub = Some(EthernetHub::new(&dir.join("wire")).unwrap());
            Self { dir, hub }
        }

        /// Connects `N` cards and waits until the hub knows all of them.
        fn ports<const N: usize>(&self) -> [UnixStream; N] {
            let path = self.hub.as_ref().unwrap().path();
            let mut all: Vec<UnixStream> = Vec::new();
            for _ in 0..N {
                let mut new = UnixStream::connect(path).unwrap();
                // The hub accepts in order, so all earlier cards are connected when this one's
                // frame arrives.
                new.write_all(&frame(b"hello")).unwrap();
                all.iter_mut().for_each(|other| hears(other, b"hello"));
                all.push(new);
            }
            all.try_into().unwrap()
        }
    }

    impl Drop for Rig {
        fn drop(&mut self) {
            self.hub = None;
            std::fs::remove_dir(&self.dir).unwrap();
        }
    }

    #[test]
    fn all_others_hear_a_frame_however_it_is_cut() {
        let rig = Rig::new();
        let [mut a, mut b, mut c] = rig.ports();
        for byte in frame(b"who has it?") {
            a.write_all(&[byte]).unwrap();
        }
        hears(&mut b, b"who has it?");
        hears(&mut c, b"who has it?");
        c.write_all(&[frame(b"I have"), frame(b"")].concat()).unwrap();
        hears(&mut a, b"I have");
        hears(&mut a, b"");
        drop(b);
        c.write_all(&frame(b"still here")).unwrap();
        hears(&mut a, b"still here");
    }

    #[test]
    fn a_card_that_does_not_read_misses_frames_and_delays_no_other() {
        let rig = Rig::new();
        let [mut talker, mut listener, mut deaf] = rig.ports();
        let long = vec![7; 60_000];
        for _ in 0..100 {
            talker.write_all(&frame(&long)).unwrap();
            hears(&mut listener, &long);
        }
        drop(rig);
        let mut got = Vec::new();
        deaf.read_to_end(&mut got).unwrap();
        assert!(got.len() < 2 * BACKLOG_MAX, "{}", got.len());
    }

    #[test]
    fn an_invalid_frame_disconnects_its_sender_only() {
        let rig = Rig::new();
        let [mut bad, mut a, mut b] = rig.ports();
        bad.write_all(&[0xff; 8]).unwrap();
        assert_eq!(bad.read(&mut [0]).unwrap_or(0), 0);
        a.write_all(&frame(b"x")).unwrap();
        hears(&mut b, b"x");
    }
}
