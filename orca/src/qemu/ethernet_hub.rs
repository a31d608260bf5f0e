//! A private wire: an Ethernet hub in this process, on which the network cards of several machines hang, and nothing of the host.
//!
//! QEMU's `-netdev stream` connects to its socket and sends frames, each behind its length in four bytes, big-endian. What one sends
//! all others get. Whoever does not read in time misses frames, as on any wire; nothing here waits for anybody.

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

/// The longest frame that QEMU sends, in bytes: its own buffer's size.
const FRAME_MAX: usize = 4096 + 64 * 1024;
/// What may wait for one machine to read it, in bytes.
const BACKLOG_MAX: usize = 1 << 20;
/// What is read at a time, in bytes.
const CHUNK: usize = 64 * 1024;
/// The bytes of a frame's length.
const LENGTH: usize = 4;

/// See the module. Dropping it unplugs everybody.
#[derive(Debug)]
pub struct EthernetHub {
    path: PathBuf,
    hang_up: Option<UnixStream>,
    hub: Option<JoinHandle<()>>,
}

impl EthernetHub {
    /// A wire at the socket `path`, which is removed with it.
    ///
    /// # Errors
    /// A path that no socket can have; a host that gives no thread.
    pub fn new(path: &Path) -> io::Result<Self> {
        let listener = UnixListener::bind(path)?;
        listener.set_nonblocking(true)?;
        let (hang_up, hung_up) = UnixStream::pair()?;
        let work = move || serve(&listener, &hung_up);
        let hub = std::thread::Builder::new().name("wire".into()).spawn(work)?;
        Ok(Self { path: path.to_owned(), hang_up: Some(hang_up), hub: Some(hub) })
    }

    /// Where machines connect.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for EthernetHub {
    fn drop(&mut self) {
        self.hang_up = None;
        if let Some(hub) = self.hub.take() {
            let _ = hub.join();
        }
        // It is in a folder that goes with the run.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// One machine's card.
struct Plug {
    stream: UnixStream,
    /// Received, and not a whole frame yet.
    input: Vec<u8>,
    /// What the machine has not taken yet.
    output: Vec<u8>,
}

fn serve(listener: &UnixListener, hung_up: &UnixStream) {
    let mut plugs: Vec<Plug> = Vec::new();
    loop {
        let events = |plug: &Plug| match plug.output.is_empty() {
            true => PollFlags::POLLIN,
            false => PollFlags::POLLIN | PollFlags::POLLOUT,
        };
        let mut fds = vec![
            PollFd::new(hung_up.as_fd(), PollFlags::POLLIN),
            PollFd::new(listener.as_fd(), PollFlags::POLLIN),
        ];
        fds.extend(plugs.iter().map(|plug| PollFd::new(plug.stream.as_fd(), events(plug))));
        match poll(&mut fds, PollTimeout::NONE) {
            Ok(_) => {}
            Err(nix::errno::Errno::EINTR) => continue,
            Err(_) => return,
        }
        let ready: Vec<bool> = fds.iter().map(|fd| fd.any().unwrap_or(true)).collect();
        if ready[0] {
            return;
        }
        let mut pulled = Vec::new();
        for at in (0..plugs.len()).filter(|at| ready[at + 2]) {
            if exchange(&mut plugs, at).is_err() {
                pulled.push(at);
            }
        }
        for at in pulled.into_iter().rev() {
            plugs.remove(at);
        }
        if ready[1]
            && let Ok((stream, _)) = listener.accept()
            && stream.set_nonblocking(true).is_ok()
        {
            plugs.push(Plug { stream, input: Vec::new(), output: Vec::new() });
        }
    }
}

/// Reads what plug `at` has sent, hands whole frames to all others, and writes what waits for it.
///
/// # Errors
/// It is gone, or sends what is no frame.
fn exchange(plugs: &mut [Plug], at: usize) -> io::Result<()> {
    let plug = &mut plugs[at];
    flush(plug)?;
    let mut chunk = vec![0; CHUNK];
    match plug.stream.read(&mut chunk) {
        Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
        Ok(count) => plug.input.extend_from_slice(&chunk[..count]),
        Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
        Err(e) => return Err(e),
    }
    let input = std::mem::take(&mut plug.input);
    let mut rest = &input[..];
    while let Some(length) = rest.first_chunk::<LENGTH>() {
        let length = u32::from_be_bytes(*length) as usize;
        if length > FRAME_MAX {
            return Err(ErrorKind::InvalidData.into());
        }
        let Some(frame) = rest.get(..LENGTH + length) else { break };
        rest = &rest[LENGTH + length..];
        for (_, other) in plugs.iter_mut().enumerate().filter(|(other, _)| *other != at) {
            if other.output.len() + frame.len() <= BACKLOG_MAX {
                other.output.extend_from_slice(frame);
                // One that is gone shows when it is read from.
                let _ = flush(other);
            }
        }
    }
    plugs[at].input = rest.to_vec();
    Ok(())
}

fn flush(plug: &mut Plug) -> io::Result<()> {
    while !plug.output.is_empty() {
        match plug.stream.write(&plug.output) {
            Ok(count) => drop(plug.output.drain(..count)),
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
        wire: Option<EthernetHub>,
    }

    impl Rig {
        fn new() -> Self {
            let dir = nix::unistd::mkdtemp(&std::env::temp_dir().join("orca-wire-XXXXXX")).unwrap();
            let wire = Some(EthernetHub::new(&dir.join("wire")).unwrap());
            Self { dir, wire }
        }

        /// Plugs in `N` machines, which have been heard.
        fn plugs<const N: usize>(&self) -> [UnixStream; N] {
            let path = self.wire.as_ref().unwrap().path();
            let mut all: Vec<UnixStream> = Vec::new();
            for _ in 0..N {
                let mut new = UnixStream::connect(path).unwrap();
                // Accepted in order, so that all that came before are there when this one is heard.
                new.write_all(&frame(b"hello")).unwrap();
                all.iter_mut().for_each(|other| hears(other, b"hello"));
                all.push(new);
            }
            all.try_into().unwrap()
        }
    }

    impl Drop for Rig {
        fn drop(&mut self) {
            self.wire = None;
            std::fs::remove_dir(&self.dir).unwrap();
        }
    }

    #[test]
    fn all_others_hear_a_frame_however_it_is_cut() {
        let rig = Rig::new();
        let [mut a, mut b, mut c] = rig.plugs();
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
    fn who_does_not_read_misses_frames_and_holds_up_nobody() {
        let rig = Rig::new();
        let [mut talker, mut listener, mut deaf] = rig.plugs();
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
    fn what_is_no_frame_unplugs_its_sender_only() {
        let rig = Rig::new();
        let [mut bad, mut a, mut b] = rig.plugs();
        bad.write_all(&[0xff; 8]).unwrap();
        assert_eq!(bad.read(&mut [0]).unwrap_or(0), 0);
        a.write_all(&frame(b"x")).unwrap();
        hears(&mut b, b"x");
    }
}
