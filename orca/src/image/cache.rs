//! Files that are made from other files and kept between runs: an initramfs, an unpacked kernel, a file system.
//!
//! Each is named after a digest of everything it is made from, is there whole or not at all, and is made by one process at a time.
//! The least recently used ones go first, but none that was used in the last day: a run may be about to give it to a machine.

use crate::error::{Error, Result};
use nix::fcntl::{Flock, FlockArg};
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Changes whenever what was made before must not be used any more.
const FORMAT: u32 = 1;
/// Disk space that all of them together may take, in bytes.
const SPACE_MAX: u64 = 8 << 30;
/// One that was used more recently is never removed.
const IDLE_MIN: Duration = Duration::from_secs(24 * 3600);
/// What the name of an unfinished one begins with.
const UNFINISHED: &str = ".new-";

/// The folder of all of them.
#[derive(Clone, Debug)]
pub struct ArtifactCache {
    dir: PathBuf,
}

/// What a file is made from.
#[derive(Clone, Debug)]
pub struct Key(DefaultHasher);

impl Key {
    /// The key of a file that is made from nothing yet.
    pub fn new() -> Self {
        Self(DefaultHasher::new()).with(FORMAT)
    }

    /// Made from a value, too.
    #[must_use]
    pub fn with(mut self, value: impl Hash) -> Self {
        value.hash(&mut self.0);
        self
    }

    /// Made from the file at `path`, too, known by its place, size and date.
    ///
    /// # Errors
    /// When there is none.
    pub fn file(self, path: &Path) -> Result<Self> {
        let meta = fs::metadata(path).map_err(|e| Error::io("read", path, &e))?;
        Ok(self.with((meta.dev(), meta.ino(), meta.len(), meta.mtime(), meta.mtime_nsec())))
    }
}

impl Default for Key {
    fn default() -> Self {
        Self::new()
    }
}

impl ArtifactCache {
    /// What is kept below the cache folder `cache`.
    pub fn new(cache: &Path) -> Self {
        Self { dir: cache.join("made") }
    }

    /// The file that is called `kind` and made from `key`; `make` writes it to the path it is given if it is not there yet.
    ///
    /// # Errors
    /// What `make` says; a cache folder that cannot be written to.
    pub fn file(
        &self,
        kind: &str,
        key: &Key,
        make: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<PathBuf> {
        let name = format!("{kind}-{:016x}", key.0.finish());
        let path = self.dir.join(&name);
        if self.touch(&path) {
            return Ok(path);
        }
        let _lock = self.lock()?;
        if self.touch(&path) {
            return Ok(path);
        }
        self.sweep();
        let new = self.dir.join(format!("{UNFINISHED}{name}"));
        let made = make(&new)
            .and_then(|()| fs::rename(&new, &path).map_err(|e| Error::io("write", &path, &e)));
        if let Err(error) = made {
            // What is left of it is of no use; that it cannot be removed is the lesser news.
            let _ = fs::remove_file(&new);
            return Err(error);
        }
        Ok(path)
    }

    /// Removes all of them.
    ///
    /// # Errors
    /// One that cannot be removed.
    pub fn clear(&self) -> Result<()> {
        match fs::remove_dir_all(&self.dir) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::io("remove", &self.dir, &e))
            }
            _ => Ok(()),
        }
    }

    /// Whether it is there; if so, it counts as used now.
    fn touch(&self, path: &Path) -> bool {
        let Ok(file) = File::open(path) else { return false };
        // The date of the last access: the other one is part of what is made from this file. Only the order of removal depends on it.
        let now = fs::FileTimes::new().set_accessed(SystemTime::now());
        let _ = file.set_times(now);
        true
    }

    fn lock(&self) -> Result<Flock<File>> {
        fs::create_dir_all(&self.dir).map_err(|e| Error::io("create", &self.dir, &e))?;
        let path = self.dir.join(".lock");
        let file = File::options().create(true).append(true).open(&path);
        let file = file.map_err(|e| Error::io("write", &path, &e))?;
        Flock::lock(file, FlockArg::LockExclusive)
            .map_err(|(_, e)| Error::io("lock", &path, &e.into()))
    }

    /// Removes what a killed run left unfinished, and the least recently used beyond the limit. Called with the lock held.
    fn sweep(&self) {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.dir).into_iter().flatten().flatten() {
            let Ok(meta) = entry.metadata() else { continue };
            if entry.file_name().to_string_lossy().starts_with(UNFINISHED) {
                let path = entry.path();
                // What stays is in nobody's way but this file's own, whose maker will say so.
                let _ =
                    if meta.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
            } else if meta.is_file() {
                found.push((
                    meta.accessed().unwrap_or(SystemTime::UNIX_EPOCH),
                    meta.blocks() * 512,
                    entry.path(),
                ));
            }
        }
        found.sort_by_key(|(used, ..)| std::cmp::Reverse(*used));
        let mut total = 0;
        for (used, bytes, path) in found {
            total += bytes;
            let idle = SystemTime::now().duration_since(used).unwrap_or_default();
            if total > SPACE_MAX && idle > IDLE_MIN {
                // One that stays is tried again the next time.
                let _ = fs::remove_file(path);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    struct Temp(PathBuf);

    impl Temp {
        fn new(name: &str) -> Self {
            let dir = std::env::temp_dir().join(format!("orca-kept-{name}-{}", std::process::id()));
            fs::create_dir_all(&dir).unwrap();
            Self(dir)
        }
    }

    impl Drop for Temp {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }

    #[test]
    fn a_file_is_made_once_and_again_when_what_it_is_made_from_changes() {
        let temp = Temp::new("once");
        let kept = ArtifactCache::new(&temp.0);
        let input = temp.0.join("input");
        let made = Cell::new(0);
        let file = |text: &str| {
            fs::write(&input, text).unwrap();
            let key = Key::new().file(&input).unwrap();
            let path = kept.file("copy", &key, |out| {
                made.set(made.get() + 1);
                fs::copy(&input, out).map(drop).map_err(|e| Error::io("write", out, &e))
            });
            fs::read_to_string(path.unwrap()).unwrap()
        };
        assert_eq!((file("one"), made.get()), ("one".to_owned(), 1));
        assert_eq!((file("three"), made.get()), ("three".to_owned(), 2));
        let key = Key::new().with("same");
        for _ in 0..2 {
            kept.file("x", &key, |out| {
                made.set(made.get() + 1);
                fs::write(out, "").map_err(|e| Error::io("write", out, &e))
            })
            .unwrap();
        }
        assert_eq!(made.get(), 3);
        kept.clear().unwrap();
        kept.clear().unwrap();
        assert!(!temp.0.join("made").exists());
    }

    #[test]
    fn what_fails_leaves_nothing() {
        let temp = Temp::new("fails");
        let kept = ArtifactCache::new(&temp.0);
        let error = kept.file("x", &Key::new(), |out| {
            fs::write(out, "half").unwrap();
            Err(Error::new("broken"))
        });
        assert_eq!(error.unwrap_err().to_string(), "broken");
        fs::write(temp.0.join("made/.new-y-0"), "of a run that was killed").unwrap();
        kept.file("x", &Key::new(), |out| {
            fs::write(out, "").map_err(|e| Error::io("write", out, &e))
        })
        .unwrap();
        let left: Vec<_> = fs::read_dir(temp.0.join("made")).unwrap().flatten().collect();
        assert_eq!(left.len(), 2, "the lock and the file: {left:?}");
    }
}
