//! Finding the port, opening it, and opening it again whenever the host has left.
//!
//! A virtio port without a host reads as ended and polls as hung up, both at once and for ever:
//! waiting on it would spin. What tells of a host is SIGIO, with a slow tick in case one gets lost.
//! After a host has left, the port is closed and opened again, which drops what that host left
//! unread, and which the other side can see (QEMU's event `VSERPORT_CHANGE`).

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use nix::libc::O_NONBLOCK;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use signal_hook::consts::SIGIO;
use signal_hook::low_level::pipe;

use crate::link::{self, Input, Out};
use crate::sys;
use crate::wire::PORT_NAME;

/// How often to look without having been told to.
const TICK: Duration = Duration::from_millis(250);

/// Where to look for the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// The virtio port with the right name, wherever it is.
    Guest,
    /// A device, or a unix socket to connect to.
    Path(PathBuf),
    /// An open descriptor.
    Fd(i32),
    /// Standard input and output.
    Stdio,
}

/// The way to the host.
pub(crate) struct Port {
    source: Source,
    /// Whether a device is what the last link came from.
    device: bool,
    sigio: UnixStream,
    connected_once: bool,
}

impl Port {
    /// Prepares to look at `source`.
    pub(crate) fn new(source: Source) -> io::Result<Port> {
        let (sigio, writer) = UnixStream::pair()?;
        sigio.set_nonblocking(true)?;
        pipe::register(SIGIO, writer)?;
        Ok(Port { source, device: false, sigio, connected_once: false })
    }

    /// Waits for a host and returns the link to it; `None` when a source that is no device has
    /// ended.
    ///
    /// The link before this one must have been dropped: the kernel lets a port be open once.
    pub(crate) fn connect(&mut self) -> io::Result<Option<(Input, Arc<Out>)>> {
        let again = std::mem::replace(&mut self.connected_once, true);
        if again && !self.device {
            return Ok(None);
        }
        let file = match &self.source {
            Source::Guest => self.wait_for_host(),
            Source::Path(path) => {
                let kind = fs::metadata(path)?.file_type();
                if kind.is_socket() {
                    let socket = UnixStream::connect(path)?;
                    socket.set_nonblocking(true)?;
                    socket.into()
                } else if kind.is_char_device() {
                    self.wait_for_host()
                } else {
                    return Err(io::Error::other("neither a device nor a socket"));
                }
            }
            Source::Fd(fd) => sys::take_fd(*fd)?,
            Source::Stdio => {
                let from = Arc::new(sys::take_fd(0)?);
                return Ok(Some(link::halves(from, Arc::new(sys::take_fd(1)?))));
            }
        };
        let file = Arc::new(file);
        Ok(Some(link::halves(file.clone(), file)))
    }

    fn wait_for_host(&mut self) -> OwnedFd {
        self.device = true;
        loop {
            if let Some(file) = self.open() {
                while !vanished(&file) {
                    if host_is_there(&file) {
                        return file.into();
                    }
                    self.wait();
                }
            } else {
                self.wait();
            }
        }
    }

    fn open(&self) -> Option<File> {
        let path = match &self.source {
            Source::Path(path) => path.clone(),
            _ => find()?,
        };
        let mut options = File::options();
        let file = options.read(true).write(true).custom_flags(O_NONBLOCK).open(path).ok()?;
        sys::request_sigio(file.as_fd()).ok()?;
        Some(file)
    }

    /// Waits for the next SIGIO or tick.
    fn wait(&mut self) {
        let mut fds = [PollFd::new(self.sigio.as_fd(), PollFlags::POLLIN)];
        // A wait cut short, by a signal or an error, is one more look.
        _ = poll(&mut fds, PollTimeout::try_from(TICK).unwrap_or(PollTimeout::ZERO));
        _ = self.sigio.read(&mut [0; 256]);
    }
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

/// Makes the name under which people look for the port, where no udev does.
pub(crate) fn link_for_people() -> io::Result<()> {
    let Some(device) = find() else { return Ok(()) };
    let folder = Path::new("/dev/virtio-ports");
    fs::create_dir_all(folder)?;
    let link = folder.join(PORT_NAME);
    if device != link { std::os::unix::fs::symlink(device, link) } else { Ok(()) }
}

/// Whether the device was unplugged: what polls as hung up for ever is then nobody's port.
fn vanished(file: &File) -> bool {
    file.metadata().map_or(true, |meta| meta.nlink() == 0)
}

fn host_is_there(file: &File) -> bool {
    let mut fds = [PollFd::new(file.as_fd(), PollFlags::empty())];
    matches!(poll(&mut fds, PollTimeout::ZERO), Ok(0))
}
