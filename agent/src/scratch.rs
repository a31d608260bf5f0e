//! A test's folders: a private `TMPDIR`, and `ORCA_ARTIFACTS`, whose files go to the host when the
//! test has ended.

use crate::mounts::mount_point;
use crate::reply::Reply;
use crate::wire::{
    ARTIFACTS_BYTES_MAX as BYTES_MAX, ARTIFACTS_DEPTH_MAX as DEPTH_MAX,
    ARTIFACTS_FILES_MAX as FILES_MAX, Kind, PAYLOAD_MAX,
};
use nix::libc::{O_NOFOLLOW, O_NONBLOCK};
use nix::mount::{MntFlags, umount2};
use std::fs::{self, DirBuilder, File};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// The two folders. Dropping it removes them.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    /// Makes both folders, in the system's folder for temporary files.
    pub(crate) fn make() -> io::Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let base = std::env::temp_dir();
        loop {
            let serial = NEXT.fetch_add(1, Ordering::Relaxed);
            let folder = base.join(format!("orca-test.{}-{serial}", std::process::id()));
            match DirBuilder::new().mode(0o700).create(&folder) {
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => continue,
                made => made?,
            }
            let scratch = Self(folder);
            fs::create_dir(scratch.tmp())?;
            fs::create_dir(scratch.artifacts())?;
            return Ok(scratch);
        }
    }

    /// The value of `TMPDIR`.
    pub(crate) fn tmp(&self) -> PathBuf {
        self.0.join("tmp")
    }

    /// The value of `ORCA_ARTIFACTS`.
    pub(crate) fn artifacts(&self) -> PathBuf {
        self.0.join("artifacts")
    }

    /// Sends every regular file among the artifacts, up to the bounds. A `NOTE` says if there are
    /// more.
    pub(crate) fn send_artifacts(&self, reply: &mut Reply) -> io::Result<()> {
        let top = self.artifacts();
        let mut sender = Sender { reply, top: &top, left: BYTES_MAX, files: 0, beyond: None };
        sender.folder(&top, 0)?;
        match sender.beyond.take() {
            Some(why) => reply.line(&format!("NOTE artifacts truncated: {why}")),
            None => Ok(()),
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // A file system that the test has left mounted in here may hold files of others.
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let points = mounts.lines().rev().filter_map(mount_point);
        let freed = points
            .filter(|point| Path::new(point).starts_with(&self.0))
            .all(|point| umount2(point, MntFlags::MNT_DETACH).is_ok());
        if freed {
            // If they cannot be removed, they stay until the machine goes, too.
            _ = fs::remove_dir_all(&self.0);
        }
    }
}

struct Sender<'a> {
    reply: &'a mut Reply,
    top: &'a Path,
    /// How many bytes may still be sent.
    left: u64,
    files: usize,
    /// The bound that was reached.
    beyond: Option<String>,
}

impl Sender<'_> {
    fn folder(&mut self, folder: &Path, depth: usize) -> io::Result<()> {
        let Ok(entries) = fs::read_dir(folder) else { return Ok(()) };
        for entry in entries.flatten() {
            if self.beyond.is_some() {
                break;
            }
            match entry.file_type() {
                Ok(kind) if kind.is_dir() && depth == DEPTH_MAX => {
                    self.beyond = Some(format!("folders over {DEPTH_MAX} deep"));
                }
                Ok(kind) if kind.is_dir() => self.folder(&entry.path(), depth + 1)?,
                Ok(kind) if kind.is_file() && self.files == FILES_MAX => {
                    self.beyond = Some(format!("over {FILES_MAX} files"));
                }
                Ok(kind) if kind.is_file() => self.file(&entry.path())?,
                _ => {}
            }
        }
        Ok(())
    }

    fn file(&mut self, path: &Path) -> io::Result<()> {
        let mut options = File::options();
        let Ok(mut file) = options.read(true).custom_flags(O_NOFOLLOW | O_NONBLOCK).open(path)
        else {
            return Ok(());
        };
        let name = path.strip_prefix(self.top).unwrap_or(path).as_os_str().as_bytes();
        if name.len() > PAYLOAD_MAX || !file.metadata().is_ok_and(|meta| meta.is_file()) {
            return Ok(());
        }
        self.files += 1;
        self.reply.frame(Kind::File, name)?;
        let mut buffer = vec![0; PAYLOAD_MAX];
        loop {
            let count = match file.read(&mut buffer) {
                Ok(count) => count.min(usize::try_from(self.left).unwrap_or(usize::MAX)),
                Err(_) => 0,
            };
            self.reply.frame(Kind::Data, &buffer[..count])?;
            self.left -= count as u64;
            if count == 0 {
                if self.left == 0 {
                    self.beyond = Some(format!("over {} MiB", BYTES_MAX >> 20));
                }
                return Ok(());
            }
        }
    }
}
