//! The fingerprint of a folder: how much is in it, and a digest that changes when any file does.

use crate::error::{Error, Result};
use crate::text::hash::Fnv1a;
use std::fs;
use std::hash::{Hash, Hasher};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// The unit in which a file takes space on disk, in bytes.
const BLOCK: u64 = 4096;

/// How much a folder holds, and a digest of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fingerprint {
    /// The space that the files take together, in bytes, in whole blocks.
    pub bytes: u64,
    /// How many files, folders and links there are.
    pub files: u64,
    /// The digest of all names, kinds, owners, sizes and dates.
    pub digest: u64,
}

impl Fingerprint {
    /// The fingerprint of everything below `dir`; links are not followed.
    ///
    /// # Errors
    /// A folder that cannot be read: a fingerprint without it would miss changes.
    pub fn of(dir: &Path) -> Result<Self> {
        let mut fingerprint = Self::default();
        let mut hasher = Fnv1a::new();
        fingerprint.add(dir, &mut hasher)?;
        fingerprint.digest = hasher.finish();
        Ok(fingerprint)
    }

    fn add(&mut self, dir: &Path, hasher: &mut Fnv1a) -> Result<()> {
        let unreadable = |e: std::io::Error| Error::io("read", dir, &e);
        let mut entries = fs::read_dir(dir)
            .map_err(unreadable)?
            .collect::<Result<Vec<_>, _>>()
            .map_err(unreadable)?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let meta = entry.metadata().map_err(unreadable)?;
            self.files += 1;
            let data = if meta.is_file() { meta.len() } else { BLOCK };
            self.bytes += data.next_multiple_of(BLOCK);
            entry.file_name().hash(hasher);
            (meta.mode(), meta.uid(), meta.gid(), meta.ino(), meta.rdev()).hash(hasher);
            // The date of the inode's change shows what a copied modification date hides.
            (meta.len(), meta.mtime(), meta.mtime_nsec(), meta.ctime(), meta.ctime_nsec())
                .hash(hasher);
            if meta.is_dir() {
                self.add(&entry.path(), hasher)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_change_shows() {
        let dir = std::env::temp_dir().join(format!("orca-fingerprint-{}", std::process::id()));
        fs::create_dir_all(dir.join("a/b")).unwrap();
        fs::write(dir.join("a/file"), "12345").unwrap();
        let first = Fingerprint::of(&dir).unwrap();
        assert_eq!((first.files, first.bytes), (3, 3 * BLOCK));
        assert_eq!(Fingerprint::of(&dir).unwrap(), first);
        fs::write(dir.join("a/file"), "54321").unwrap();
        let second = Fingerprint::of(&dir).unwrap();
        assert_ne!(second.digest, first.digest);
        std::os::unix::fs::symlink("/nowhere", dir.join("a/b/link")).unwrap();
        assert_ne!(Fingerprint::of(&dir).unwrap().digest, second.digest);
        fs::remove_dir_all(&dir).unwrap();
        assert!(Fingerprint::of(&dir).is_err());
    }
}
