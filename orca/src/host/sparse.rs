//! Copies of sparse files, and files without a name.

#[cfg(target_os = "linux")]
use nix::fcntl::{OFlag, copy_file_range, open};
#[cfg(target_os = "linux")]
use nix::sys::stat::Mode;
use nix::unistd::{Whence, lseek};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// How much is copied at a time where the kernel cannot copy, in bytes.
const CHUNK: usize = 1 << 20;

/// Makes `to`, which is empty, a copy of `from`, with its holes. Where the file system can, both
/// share their blocks.
///
/// # Errors
/// Those of reading and writing; no room.
pub fn copy(from: &File, to: &File) -> io::Result<()> {
    let len = from.metadata()?.len();
    to.set_len(len)?;
    let mut at = 0;
    while at < len {
        let start = match lseek(from, at.cast_signed(), Whence::SeekData) {
            Ok(start) => start.cast_unsigned(),
            Err(nix::errno::Errno::ENXIO) => return Ok(()), // a hole up to the end
            Err(_) => at,                                   // no holes on this file system
        };
        let end = lseek(from, start.cast_signed(), Whence::SeekHole);
        let end = end.map_or(len, |end| end.cast_unsigned().min(len));
        copy_range(from, to, start, end)?;
        at = end;
    }
    Ok(())
}

fn copy_range(from: &File, to: &File, mut at: u64, end: u64) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    while at < end {
        let (mut source, mut target) = (at.cast_signed(), at.cast_signed());
        let want = usize::try_from(end - at).unwrap_or(usize::MAX);
        match copy_file_range(from, Some(&mut source), to, Some(&mut target), want) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(done) => at += done as u64,
            Err(nix::errno::Errno::ENOSPC) => return Err(nix::errno::Errno::ENOSPC.into()),
            Err(_) => break, // not between these two file systems
        }
    }
    copy_by_hand(from, to, at, end)
}

/// For kernels that cannot copy between these two file systems.
fn copy_by_hand(from: &File, to: &File, mut at: u64, end: u64) -> io::Result<()> {
    let mut buffer = vec![0; CHUNK];
    while at < end {
        let want = (end - at).min(CHUNK as u64) as usize;
        from.read_exact_at(&mut buffer[..want], at)?;
        to.write_all_at(&buffer[..want], at)?;
        at += want as u64;
    }
    Ok(())
}

/// A new file in `dir` that has no name, so that nothing is left of it when it is closed.
///
/// # Errors
/// The folder cannot be written to.
pub fn unnamed(dir: &Path) -> io::Result<File> {
    #[cfg(target_os = "linux")]
    {
        let flags = OFlag::O_TMPFILE | OFlag::O_RDWR | OFlag::O_CLOEXEC;
        if let Ok(fd) = open(dir, flags, Mode::S_IRUSR | Mode::S_IWUSR) {
            return Ok(File::from(fd));
        }
    }
    // Elsewhere there is a moment with a name.
    let (fd, path) = nix::unistd::mkstemp(&dir.join("orca-unnamed-XXXXXX"))?;
    std::fs::remove_file(path)?;
    Ok(File::from(fd))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn a_copy_is_the_same_and_as_sparse() {
        let dir = std::env::temp_dir();
        let (from, to) = (unnamed(&dir).unwrap(), unnamed(&dir).unwrap());
        from.set_len(64 << 20).unwrap();
        for at in [0, 5 << 20, (64 << 20) - 7] {
            from.write_all_at(b"content", at).unwrap();
        }
        copy(&from, &to).unwrap();
        let (mut one, mut two) = (vec![0; 64 << 20], vec![1; 64 << 20]);
        from.read_exact_at(&mut one, 0).unwrap();
        to.read_exact_at(&mut two, 0).unwrap();
        assert!(one == two);
        assert!(to.metadata().unwrap().blocks() * 512 < 1 << 20);
        assert_eq!(to.metadata().unwrap().nlink(), 0);
    }
}
