//! A report in a file. The file is complete after every flush, even on a disk that fails, and its
//! first fault is kept for the end of the run.
//!
//! Everything written between two flushes goes to the file in one step. If it does not fit, the old
//! content is put back: a JSON report still ends with a whole line, a JUnit report is still a
//! document, and both lack only what came later.

use crate::error::{Error, Result};
use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

/// Why a report is not complete; empty while it is.
pub type Fault = Arc<OnceLock<Error>>;

/// A report file, written flush by flush.
#[derive(Debug)]
pub struct ReportFile {
    file: File,
    path: PathBuf,
    /// Where the next flush writes.
    at: u64,
    pending: Vec<u8>,
    fault: Fault,
}

impl ReportFile {
    /// Creates or replaces the file at `path`. The second value receives the first fault of a later
    /// write.
    ///
    /// # Errors
    /// The file cannot be written to.
    pub fn create(path: &Path) -> Result<(Self, Fault)> {
        let file = File::options().read(true).write(true).create(true).truncate(true).open(path);
        let file = file.map_err(|e| cannot_write(path, &e))?;
        let fault = Fault::default();
        let (path, at, pending) = (path.to_owned(), 0, Vec::new());
        Ok((Self { file, path, at, pending, fault: Arc::clone(&fault) }, fault))
    }

    fn put(&mut self) -> io::Result<()> {
        let meta = self.file.metadata()?;
        // A pipe or a terminal has no content to put back, and no position to write at.
        if !meta.is_file() {
            return self.file.write_all(&self.pending);
        }
        let len = meta.len();
        let mut replaced =
            vec![0; len.saturating_sub(self.at).min(self.pending.len() as u64) as usize];
        self.file.read_exact_at(&mut replaced, self.at)?;
        self.file.write_all_at(&self.pending, self.at).inspect_err(|_| {
            // The old content had room before. If this fails too, the first error is the one to
            // report.
            let _ = self.file.set_len(len);
            let _ = self.file.write_all_at(&replaced, self.at);
        })
    }
}

impl Write for ReportFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.pending.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let put = self.put();
        self.at += self.pending.len() as u64;
        self.pending.clear();
        put.inspect_err(|e| {
            // Only the first is kept: it is the cause of the others.
            let _ = self.fault.set(cannot_write(&self.path, e));
        })
    }
}

impl Seek for ReportFile {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let meta = self.file.metadata()?;
        if !meta.is_file() {
            return Err(io::ErrorKind::NotSeekable.into());
        }
        let end = self.at.max(meta.len());
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
            SeekFrom::End(by) => end.checked_add_signed(by),
        };
        self.at = at.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}

/// The last bytes of the file at `path`, `most` at the most, and where in it they begin.
///
/// # Errors
/// There is no such file, it cannot be read, or it became shorter meanwhile.
pub(super) fn tail(path: &Path, most: u64) -> io::Result<(u64, Vec<u8>)> {
    let file = File::open(path)?;
    let len = file.metadata()?.len();
    let from = len.saturating_sub(most);
    let mut bytes = vec![0; (len - from) as usize];
    file.read_exact_at(&mut bytes, from)?;
    Ok((from, bytes))
}

fn cannot_write(path: &Path, error: &io::Error) -> Error {
    use io::ErrorKind::{QuotaExceeded, StorageFull};
    let full = matches!(error.kind(), StorageFull | QuotaExceeded);
    let hint = if full { "make room on its disk" } else { "name a writable file" };
    Error::io("write", path, error).hint(hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flushed_bytes_are_in_the_file_and_replaced_ones_are_gone() {
        let dir = nix::unistd::mkdtemp(&std::env::temp_dir().join("orca-report-XXXXXX")).unwrap();
        let path = dir.join("report");
        let (mut report, fault) = ReportFile::create(&path).unwrap();
        report.write_all(b"<a></a>").unwrap();
        report.flush().unwrap();
        report.seek(SeekFrom::End(-4)).unwrap();
        report.write_all(b"<b/>").unwrap();
        report.write_all(b"</a>").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"<a></a>");
        report.flush().unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"<a><b/></a>");
        assert!(fault.get().is_none());
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn a_full_device_is_a_fault_and_one_that_discards_is_not() {
        let (mut full, fault) = ReportFile::create(Path::new("/dev/full")).unwrap();
        full.write_all(b"x").unwrap();
        assert!(full.flush().is_err());
        let first = fault.get().unwrap();
        assert_eq!(first.to_string(), "cannot write `/dev/full`: no space left on device");
        let (mut null, fault) = ReportFile::create(Path::new("/dev/null")).unwrap();
        null.write_all(b"x").unwrap();
        null.flush().unwrap();
        assert!(fault.get().is_none());
        let error = ReportFile::create(Path::new("/proc/nowhere/report")).unwrap_err();
        assert!(error.to_string().starts_with("cannot write `/proc/nowhere/report`"), "{error}");
    }
}
