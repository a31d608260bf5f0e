//! The writable disk of one machine: a qcow2 overlay over the shared root disk, which is never
//! written to.
//!
//! `qemu-img` makes one empty overlay per backing file. Every machine gets a copy of that file,
//! which is 200 KB and needs no process.

use crate::error::{Error, Result, plain};
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// Makes overlays over one backing file, in one folder.
#[derive(Debug)]
pub struct Overlays {
    blank: PathBuf,
    dir: PathBuf,
}

impl Overlays {
    /// Prepares overlays over `backing` in `dir`; `format` is QEMU's name for the format of
    /// `backing`.
    ///
    /// # Errors
    /// `qemu-img` is missing or refuses, or the folder cannot be written to.
    pub fn new(backing: &Path, format: &str, dir: &Path) -> Result<Self> {
        Self::sized(backing, format, None, dir)
    }

    /// The same, with a size in bytes of the disk that the guest sees. What is behind the end of
    /// `backing` reads as zeros.
    ///
    /// # Errors
    /// As [`Overlays::new`].
    pub fn sized(backing: &Path, format: &str, bytes: Option<u64>, dir: &Path) -> Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let blank = dir.join(format!("blank{}.qcow2", COUNT.fetch_add(1, Ordering::Relaxed)));
        create(Some((backing, format)), bytes, &blank)?;
        Ok(Self { blank, dir: dir.to_owned() })
    }

    /// Makes one overlay of `backing` at `path`, for callers that need only one.
    ///
    /// # Errors
    /// As [`Overlays::new`].
    pub fn create_at(backing: &Path, format: &str, path: &Path) -> Result<()> {
        create(Some((backing, format)), None, path)
    }

    /// Makes a disk at `path` that reads as zeros, of this size in bytes.
    ///
    /// # Errors
    /// As [`Overlays::new`].
    pub fn create_empty(bytes: u64, path: &Path) -> Result<()> {
        create(None, Some(bytes), path)
    }

    /// Makes the overlay at `path` one of `backing` alone: what lies between them is written to it.
    ///
    /// # Errors
    /// As [`Overlays::new`].
    pub fn flatten(path: &Path, backing: &Path, format: &str) -> Result<()> {
        let mut words: Vec<OsString> = ["rebase", "-q", "-f", "qcow2"].map(OsString::from).into();
        words.extend(["-F".into(), format.into(), "-b".into(), absolute(backing), path.into()]);
        qemu_img(words, path)
    }

    /// A fresh overlay called `<name>.qcow2`. Its owner removes it.
    ///
    /// # Errors
    /// The folder cannot be written to.
    pub fn create(&self, name: &str) -> Result<PathBuf> {
        let path = self.dir.join(format!("{name}.qcow2"));
        fs::copy(&self.blank, &path).map_err(|e| Error::io("write", &path, &e))?;
        Ok(path)
    }
}

impl Drop for Overlays {
    fn drop(&mut self) {
        // What cannot be removed goes with the folder.
        let _ = fs::remove_file(&self.blank);
    }
}

/// Checks that `qemu-img`, which makes overlays, is there and works.
///
/// # Errors
/// It is missing, or does not work.
pub fn check() -> Result<()> {
    let output = Command::new("qemu-img").arg("--version").stdin(Stdio::null()).output();
    if output.map_err(|e| cannot_run(&e))?.status.success() {
        return Ok(());
    }
    Err(Error::new("`qemu-img --version` fails").hint("install it again"))
}

fn cannot_run(cause: &io::Error) -> Error {
    let error = Error::new(format!("cannot run `qemu-img`: {}", plain(cause)));
    if cause.kind() != io::ErrorKind::NotFound {
        return error;
    }
    error.hint("install qemu-utils (Debian, Ubuntu) or qemu-img (Fedora, Alpine)")
}

fn absolute(path: &Path) -> OsString {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).into()
}

fn create(backing: Option<(&Path, &str)>, bytes: Option<u64>, path: &Path) -> Result<()> {
    let mut words: Vec<OsString> = ["create", "-q", "-f", "qcow2"].map(OsString::from).into();
    if let Some((backing, format)) = backing {
        words.extend(["-F".into(), format.into(), "-b".into(), absolute(backing)]);
    }
    words.push(path.into());
    words.extend(bytes.map(|bytes| bytes.to_string().into()));
    qemu_img(words, path)
}

/// Runs `qemu-img`, which writes to `path`.
fn qemu_img(words: Vec<OsString>, path: &Path) -> Result<()> {
    let output = Command::new("qemu-img").args(words).stdin(Stdio::null()).output();
    let output = output.map_err(|e| cannot_run(&e))?;
    if output.status.success() {
        return Ok(());
    }
    let why = String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; ");
    let error = Error::new(format!("cannot make the disk `{}`: {why}", path.display()));
    Err(error.hint("check that it can be written to and that there is room"))
}
