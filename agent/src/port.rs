//! Finds the port, opens it, and opens it again whenever a host has left.
//!
//! A virtio port without a host reads as ended and polls as hung up, at once and for ever: waiting
//! on it would spin. Only a write waits for a host. So the agent waits by writing its greeting.
//! After a host has left, the port is closed and opened again, which drops what that host left
//! unread.

use crate::connection::{self, Input, Out};
use crate::sys;
use crate::wire::{HELLO, PORT_NAME};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// How often to look for a port that is not there yet.
const TICK: Duration = Duration::from_millis(250);

/// Where to look for the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// The virtio port named [`PORT_NAME`], wherever it is.
    Guest,
    /// A device, or a unix socket to connect to.
    Path(PathBuf),
    /// An open descriptor.
    Fd(i32),
    /// Standard input and output.
    Stdio,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Guest => write!(f, "port `{PORT_NAME}`"),
            Self::Path(path) => write!(f, "`{}`", path.display()),
            Self::Fd(fd) => write!(f, "file descriptor {fd}"),
            Self::Stdio => f.write_str("standard input and output"),
        }
    }
}

/// The source that hosts connect at, one after the other.
pub(crate) struct Port {
    source: Source,
    /// Whether the last connection was at a device.
    device: bool,
    connected_once: bool,
}

impl Port {
    /// A port at `source`, which is not opened yet.
    pub(crate) fn new(source: Source) -> Self {
        Self { source, device: false, connected_once: false }
    }

    /// Waits for a host, greets it and returns the connection; `None` when a source that is not a
    /// device has ended.
    ///
    /// The connection before must have been dropped: the kernel lets a port be open only once.
    pub(crate) fn connect(&mut self) -> io::Result<Option<(Input, Arc<Out>)>> {
        let again = std::mem::replace(&mut self.connected_once, true);
        if again && !self.device {
            return Ok(None);
        }
        let (input, out) = match &self.source {
            Source::Guest => return self.greet_next().map(Some),
            Source::Path(path) => {
                let kind = fs::metadata(path)?.file_type();
                if kind.is_socket() {
                    let socket = UnixStream::connect(path)?;
                    socket.set_nonblocking(true)?;
                    both(socket.into())
                } else if kind.is_char_device() {
                    return self.greet_next().map(Some);
                } else {
                    return Err(io::Error::other("neither a device nor a socket"));
                }
            }
            Source::Fd(fd) => both(sys::take_fd(*fd)?),
            Source::Stdio => {
                let from = Arc::new(sys::take_fd(0)?);
                connection::halves(from, Arc::new(sys::take_fd(1)?))
            }
        };
        // The first read also shows whether the host is gone already.
        _ = out.send(greeting().as_bytes());
        Ok(Some((input, out)))
    }

    /// Greets the next host of the device, and thereby waits for it.
    fn greet_next(&mut self) -> io::Result<(Input, Arc<Out>)> {
        self.device = true;
        loop {
            // A port that was unplugged refuses to be written. The next one may have another name.
            if let Some(mut file) = self.open()
                && file.write_all(greeting().as_bytes()).is_ok()
            {
                fcntl(&file, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
                return Ok(both(file.into()));
            }
            std::thread::sleep(TICK);
        }
    }

    fn open(&self) -> Option<File> {
        let path = match &self.source {
            Source::Path(path) => path.clone(),
            _ => find()?,
        };
        File::options().read(true).write(true).open(path).ok()
    }
}

/// The line that a host reads first, and again when both ends start over.
pub(crate) fn greeting() -> String {
    format!("{HELLO}\n")
}

fn both(file: OwnedFd) -> (Input, Arc<Out>) {
    let file = Arc::new(file);
    connection::halves(file.clone(), file)
}

/// The device of the port, if there is one.
fn find() -> Option<PathBuf> {
    let well_known = Path::new("/dev/virtio-ports").join(PORT_NAME);
    if well_known.exists() {
        return Some(well_known);
    }
    let named = fs::read_dir("/sys/class/virtio-ports").ok().and_then(|ports| {
        ports.flatten().find(|port| {
            fs::read_to_string(port.path().join("name")).is_ok_and(|n| n.trim() == PORT_NAME)
        })
    });
    let device = match named {
        Some(port) => Path::new("/dev").join(port.file_name()),
        None => PathBuf::from("/dev/vport0p1"),
    };
    device.exists().then_some(device)
}

/// Makes the link by which people find the port, where no udev makes it.
pub(crate) fn link_for_people() -> io::Result<()> {
    let Some(device) = find() else { return Ok(()) };
    let folder = Path::new("/dev/virtio-ports");
    fs::create_dir_all(folder)?;
    let link = folder.join(PORT_NAME);
    if device != link { std::os::unix::fs::symlink(device, link) } else { Ok(()) }
}
