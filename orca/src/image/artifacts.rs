//! Files that are made from other files and kept between runs: an initramfs, an unpacked kernel, a
//! file system. The name of each has a digest of all that it was made from.

use super::cache::Cache;
use crate::error::{Error, Result};
use crate::text::hash::Fnv1a;
use std::fs;
use std::hash::{Hash, Hasher};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Changes whenever older artifacts must not be used any more.
const ARTIFACTS_FORMAT: u32 = 2;
/// Disk space that all artifacts together may take, in bytes.
const ARTIFACTS_SPACE_MAX: u64 = 8 << 30;
/// An artifact that was used more recently stays: a run may be about to give it to a machine.
const ARTIFACTS_IDLE_MIN: Duration = Duration::from_secs(24 * 3600);

/// Disk space that the disks of all projects together may take, in bytes.
const PROJECTS_SPACE_MAX: u64 = 2 << 30;

/// A digest of what an artifact is made from.
#[derive(Clone, Debug)]
pub struct Key(Fnv1a);

impl Key {
    /// A key without inputs.
    pub fn new() -> Self {
        Self(Fnv1a::new()).with(ARTIFACTS_FORMAT)
    }

    /// Adds a value as an input.
    #[must_use]
    pub fn with(mut self, value: impl Hash) -> Self {
        value.hash(&mut self.0);
        self
    }

    /// Adds the file at `path` as an input, by its [`Identity`].
    ///
    /// # Errors
    /// As [`Identity::of`].
    pub fn file(self, path: &Path) -> Result<Self> {
        let identity = Identity::of(path).map_err(|e| Error::io("read", path, &e))?;
        Ok(self.with(identity))
    }
}

impl Default for Key {
    fn default() -> Self {
        Self::new()
    }
}

/// The identity of a file, which changes when the file is written: its place on disk, size and
/// date.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    dev: u64,
    ino: u64,
    len: u64,
    mtime: i64,
    mtime_nsec: i64,
}

impl Identity {
    /// The identity of the file at `path`, links followed.
    ///
    /// # Errors
    /// There is no such file, or its metadata may not be read.
    pub fn of(path: &Path) -> io::Result<Self> {
        let meta = fs::metadata(path)?;
        let (mtime, mtime_nsec) = (meta.mtime(), meta.mtime_nsec());
        Ok(Self { dev: meta.dev(), ino: meta.ino(), len: meta.len(), mtime, mtime_nsec })
    }
}

/// Files that are made from other files: an initramfs, an unpacked kernel, a file system.
#[derive(Clone, Debug)]
pub struct ArtifactCache(Cache);

impl ArtifactCache {
    /// The artifacts below the cache folder `cache`.
    pub fn new(cache: &Path) -> Self {
        Self(Cache::new(cache.join("made"), ARTIFACTS_SPACE_MAX, ARTIFACTS_IDLE_MIN))
    }

    /// The disks of projects below the cache folder `cache`. Each change of a project makes another
    /// one, so they stay only while there is room, or while a run holds them.
    pub fn of_projects(cache: &Path) -> Self {
        Self(Cache::new(cache.join("projects"), PROJECTS_SPACE_MAX, Duration::ZERO))
    }

    /// The artifact called `kind` with the key `key`. If it is not there yet, `make` writes it to
    /// the path that it is given.
    ///
    /// # Errors
    /// Those of `make`; a cache folder that cannot be written to.
    pub fn file(
        &self,
        kind: &str,
        key: &Key,
        make: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<PathBuf> {
        let name = format!("{kind}-{:016x}", key.0.finish());
        let path = self.0.path(&name);
        if !self.0.is_whole_file(&name) {
            let staged = self.0.stage(&name)?;
            if !self.0.is_whole_file(&name) {
                make(staged.path())?;
                return staged.publish();
            }
        }
        self.0.touch(&name);
        Ok(path)
    }

    /// Removes all artifacts.
    ///
    /// # Errors
    /// A file that cannot be removed.
    pub fn clear(&self) -> Result<()> {
        self.0.clear()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::cache::remove;
    use crate::image::cache::tests::Temp;
    use std::cell::Cell;

    fn write(path: &Path, text: &str) -> Result<()> {
        fs::write(path, text).map_err(|e| Error::io("write", path, &e))
    }

    #[test]
    fn a_file_is_made_once_and_again_when_what_it_is_made_from_changes() {
        let temp = Temp::new();
        let cache = ArtifactCache::new(&temp.0);
        let input = temp.0.join("input");
        let made = Cell::new(0);
        let file = |text: &str| {
            fs::write(&input, text).unwrap();
            let key = Key::new().file(&input).unwrap();
            let path = cache.file("copy", &key, |out| {
                made.set(made.get() + 1);
                fs::copy(&input, out).map(drop).map_err(|e| Error::io("write", out, &e))
            });
            fs::read_to_string(path.unwrap()).unwrap()
        };
        assert_eq!((file("one"), made.get()), ("one".to_owned(), 1));
        assert_eq!((file("three"), made.get()), ("three".to_owned(), 2));
        let key = Key::new().with("same");
        for _ in 0..2 {
            cache
                .file("x", &key, |out| {
                    made.set(made.get() + 1);
                    write(out, "")
                })
                .unwrap();
        }
        assert_eq!(made.get(), 3);
        cache.clear().unwrap();
        cache.clear().unwrap();
        assert!(temp.left().is_empty(), "{:?}", temp.left());
    }

    #[test]
    fn what_was_damaged_is_made_anew() {
        let temp = Temp::new();
        let cache = ArtifactCache::new(&temp.0);
        let file = || {
            let path = cache.file("x", &Key::new(), |out| write(out, "whole")).unwrap();
            (fs::read_to_string(&path).unwrap(), path)
        };
        let (_, path) = file();
        let damage: [&dyn Fn(); 4] = [
            &|| fs::write(&path, "wh").unwrap(),
            &|| fs::create_dir(&path).unwrap(),
            &|| nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap(),
            &|| std::os::unix::fs::symlink("/proc/version", &path).unwrap(),
        ];
        for damage in damage {
            remove(&path).unwrap();
            damage();
            assert_eq!(file().0, "whole");
        }
    }

    #[test]
    fn what_fails_or_is_killed_leaves_nothing() {
        let temp = Temp::new();
        let cache = ArtifactCache::new(&temp.0);
        let error = cache.file("x", &Key::new(), |out| {
            fs::write(out, "half").unwrap();
            Err(Error::new("broken"))
        });
        assert_eq!(error.unwrap_err().to_string(), "broken");
        fs::write(temp.0.join("made/.new-y-0"), "of a run that was killed").unwrap();
        fs::create_dir_all(temp.0.join("made/.new-z-0/folder")).unwrap();
        cache.file("x", &Key::new(), |out| write(out, "")).unwrap();
        assert_eq!(temp.left().len(), 1, "{:?}", temp.left());
    }
}
