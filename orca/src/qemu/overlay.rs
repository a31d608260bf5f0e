//! The writable disk of one machine: a qcow2 overlay over the shared root disk, which is never
//! written to.
//!
//! `qemu-img` makes one empty overlay per backing file. Every machine gets a copy of that file,
//! which is 200 KB and needs no process.

use crate::error::{Error, Result, plain};
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
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let blank = dir.join(format!("blank{}.qcow2", COUNT.fetch_add(1, Ordering::Relaxed)));
        create_blank(backing, format, &blank)?;
        Ok(Self { blank, dir: dir.to_owned() })
    }

    /// Makes one overlay of `backing` at `path`, for callers that need only one.
    ///
    /// # Errors
    /// As [`Overlays::new`].
    pub fn create_at(backing: &Path, format: &str, path: &Path) -> Result<()> {
        create_blank(backing, format, path)
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

fn create_blank(backing: &Path, format: &str, path: &Path) -> Result<()> {
    let output = Command::new("qemu-img")
        .args(["create", "-q", "-f", "qcow2", "-F", format, "-b"])
        .arg(std::path::absolute(backing).unwrap_or_else(|_| backing.to_owned()))
        .arg(path)
        .stdin(Stdio::null())
        .output()
        .map_err(|e| cannot_run(&e))?;
    if output.status.success() {
        return Ok(());
    }
    let why = String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; ");
    let error = Error::new(format!("cannot make an overlay of `{}`: {why}", backing.display()));
    Err(error.hint(format!("check that `{}` can be written to and has room", path.display())))
}
