//! The fingerprint of a folder: how much is in it, and a digest that changes when any file does.

use crate::error::{Error, Result};
use crate::text::hash::Fnv1a;
use std::collections::HashSet;
use std::fs::{self, Metadata};
use std::hash::{Hash, Hasher};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

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

/// How much a folder may hold.
#[derive(Clone, Copy, Debug)]
pub struct Bound {
    /// The space of all files, in bytes.
    pub bytes: u64,
    /// The number of files, folders and links.
    pub files: u64,
}

/// A walk over a folder.
struct Walk<'a> {
    /// Paths that are passed over, with all that is below them.
    skip: &'a HashSet<PathBuf>,
    bound: Bound,
    hasher: Fnv1a,
    found: Fingerprint,
}

impl Fingerprint {
    /// The fingerprint of everything below `dir`; links are not followed.
    ///
    /// # Errors
    /// A folder that cannot be read: a fingerprint without it would miss changes.
    pub fn of(dir: &Path) -> Result<Self> {
        let bound = Bound { bytes: u64::MAX, files: u64::MAX };
        Self::within(dir, &HashSet::new(), bound).map(Option::unwrap_or_default)
    }

    /// The same without what lies at the paths in `skip`, for a folder, or a file alone; `None` if
    /// there is more than `bound` allows. The walk ends as soon as that is known.
    ///
    /// # Errors
    /// As [`Fingerprint::of`].
    pub fn within(dir: &Path, skip: &HashSet<PathBuf>, bound: Bound) -> Result<Option<Self>> {
        let hasher = Fnv1a::new();
        let mut walk = Walk { skip, bound, hasher, found: Self::default() };
        let meta = fs::symlink_metadata(dir).map_err(|e| Error::io("read", dir, &e))?;
        let fits = if meta.is_dir() { walk.add_all(dir)? } else { walk.add(dir, &meta)? };
        walk.found.digest = walk.hasher.finish();
        Ok(fits.then_some(walk.found))
    }
}

impl Walk<'_> {
    /// Adds everything in `dir`. Returns whether the bound allows it.
    fn add_all(&mut self, dir: &Path) -> Result<bool> {
        let unreadable = |e: std::io::Error| Error::io("read", dir, &e);
        let mut entries = fs::read_dir(dir)
            .map_err(unreadable)?
            .collect::<Result<Vec<_>, _>>()
            .map_err(unreadable)?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let path = entry.path();
            if self.skip.contains(&path) {
                continue;
            }
            let meta = entry.metadata().map_err(unreadable)?;
            if !self.add(&path, &meta)? || meta.is_dir() && !self.add_all(&path)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Adds one entry, without what is below it.
    fn add(&mut self, path: &Path, meta: &Metadata) -> Result<bool> {
        self.found.files += 1;
        let data = if meta.is_file() { meta.blocks() * 512 } else { BLOCK };
        self.found.bytes += data.next_multiple_of(BLOCK);
        let hasher = &mut self.hasher;
        path.file_name().hash(hasher);
        (meta.mode(), meta.uid(), meta.gid(), meta.ino(), meta.rdev(), meta.nlink()).hash(hasher);
        // The date of the inode's change shows what a copied modification date hides.
        (meta.len(), meta.mtime(), meta.mtime_nsec(), meta.ctime(), meta.ctime_nsec()).hash(hasher);
        Ok(self.found.bytes <= self.bound.bytes && self.found.files <= self.bound.files)
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
