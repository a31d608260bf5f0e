//! A folder of files and folders that take long to make, kept between runs under names that say
//! what they were made from. One such folder has the templates, another has what is made from
//! kernels and roots.
//!
//! An entry is complete or absent: it is made beside its place, under a lock of its own, and then
//! renamed. Beyond a bound on disk space the least recently used entries are removed.
//!
//! The modification time of an entry's lock file says when the entry was last used. The entry's own
//! times stay as they are, since they are part of the keys of whatever is made from it.

use crate::error::{Error, Result};
use nix::fcntl::{Flock, FlockArg};
use std::cmp::Reverse;
use std::fs::{self, File, FileTimes, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// The folder of the locks, one per entry. They stay: a lock that is removed is no lock.
const LOCKS: &str = "locks";
/// What the name of an unfinished entry begins with.
const UNFINISHED: &str = ".new-";

/// A folder of entries, each made once.
#[derive(Clone, Debug)]
pub struct Cache {
    dir: PathBuf,
    space_max: u64,
    idle_min: Duration,
}

/// An entry that is there.
#[derive(Clone, Debug)]
pub struct CacheEntry {
    /// Its name.
    pub name: String,
    /// Its place.
    pub path: PathBuf,
    /// The disk space that it takes, in bytes.
    pub bytes: u64,
    /// When it was last used; the epoch if that is unknown.
    pub used: SystemTime,
}

impl Cache {
    /// The cache in `dir`. Its entries may take `space_max` bytes together; those that were used
    /// within `idle_min` stay even beyond that.
    pub fn new(dir: PathBuf, space_max: u64, idle_min: Duration) -> Self {
        Self { dir, space_max, idle_min }
    }

    /// Where the entry called `name` is, if it is there.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Notes that the entry called `name` is used now. Only the order of removal depends on it.
    pub fn touch(&self, name: &str) {
        let now = FileTimes::new().set_modified(SystemTime::now());
        // A cache that cannot be written to forgets it.
        let _ = self.lock_file(name).and_then(|file| file.set_times(now));
    }

    /// Waits until nobody else makes the entry called `name`, and keeps others from it.
    ///
    /// # Errors
    /// The folder cannot be written to.
    pub fn stage(&self, name: &str) -> Result<Staged> {
        let locks = self.dir.join(LOCKS);
        let file = self.lock_file(name).map_err(|e| Error::io("write", &locks, &e))?;
        let lock = Flock::lock(file, FlockArg::LockExclusive)
            .map_err(|(_, e)| Error::io("lock", &locks.join(name), &e.into()))?;
        let path = self.dir.join(format!("{UNFINISHED}{name}"));
        // Left by a run that was killed: the lock says that it is nobody's.
        remove(&path).map_err(|e| Error::io("remove", &path, &e))?;
        let place = self.path(name);
        Ok(Staged { cache: self.clone(), name: name.to_owned(), path, place, _lock: lock })
    }

    /// Every entry, the most recently used one first.
    pub fn list(&self) -> Vec<CacheEntry> {
        let entries = fs::read_dir(&self.dir).into_iter().flatten().flatten();
        let mut found: Vec<CacheEntry> = entries.filter_map(|entry| self.entry(&entry)).collect();
        found.sort_by_key(|entry| Reverse(entry.used));
        found
    }

    /// Removes the entry called `name`. A process that has its files open can go on using them.
    ///
    /// # Errors
    /// It is not there or cannot be removed.
    pub fn remove(&self, name: &str) -> Result<()> {
        let path = self.path(name);
        fs::symlink_metadata(&path)
            .and_then(|_| remove(&path))
            .map_err(|e| Error::io("remove", &path, &e))
    }

    /// Removes the least recently used entries beyond the bound, and what killed runs left
    /// unfinished.
    pub fn prune(&self) {
        let mut total = 0;
        for (newer, entry) in self.list().into_iter().enumerate() {
            total += entry.bytes;
            let idle = SystemTime::now().duration_since(entry.used).unwrap_or_default();
            // The one that was used last stays, however large: it was made to be used.
            let is_over = newer > 0 && total > self.space_max && idle >= self.idle_min;
            if is_over && !is_held(&entry.path) {
                // One that stays is tried again the next time.
                let _ = self.remove(&entry.name);
            }
        }
        self.sweep();
    }

    /// Removes what killed runs left unfinished.
    fn sweep(&self) {
        for entry in fs::read_dir(&self.dir).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let Some(name) = name.strip_prefix(UNFINISHED) else { continue };
            // What an entry is made from may lie beside it, as `.new-NAME.SUFFIX`.
            let name = name.split('.').next().unwrap_or(name);
            let Ok(file) = self.lock_file(name) else { continue };
            // The holder of the lock is making it.
            if let Ok(_held) = Flock::lock(file, FlockArg::LockExclusiveNonblock) {
                let _ = remove(&entry.path());
            }
        }
    }

    /// Removes all entries, damaged ones included, and what killed runs left unfinished. An entry
    /// that is being made stays, and so do the locks.
    ///
    /// # Errors
    /// An entry that cannot be removed.
    pub fn clear(&self) -> Result<()> {
        if self.dir.exists() && !self.dir.is_dir() {
            return remove(&self.dir).map_err(|e| Error::io("remove", &self.dir, &e));
        }
        self.list().iter().try_for_each(|entry| self.remove(&entry.name))?;
        self.sweep();
        Ok(())
    }

    /// Whether the entry called `name` is the regular file that was published, going by its length.
    pub(super) fn is_whole_file(&self, name: &str) -> bool {
        let noted = fs::read_to_string(self.dir.join(LOCKS).join(name)).unwrap_or_default();
        let there = fs::symlink_metadata(self.path(name));
        there.is_ok_and(|meta| meta.is_file() && noted.trim() == meta.len().to_string())
    }

    fn lock_file(&self, name: &str) -> io::Result<File> {
        let locks = self.dir.join(LOCKS);
        if !locks.is_dir() {
            fs::create_dir_all(&locks)?;
        }
        // What is in here holds files of projects that only their owner may read.
        if fs::metadata(&self.dir)?.mode() & 0o077 != 0 {
            fs::set_permissions(&self.dir, Permissions::from_mode(0o700))?;
        }
        File::options().create(true).append(true).open(locks.join(name))
    }

    fn entry(&self, entry: &fs::DirEntry) -> Option<CacheEntry> {
        let name = entry.file_name().to_str()?.to_owned();
        if name == LOCKS || name.starts_with('.') {
            return None;
        }
        let used = fs::metadata(self.dir.join(LOCKS).join(&name)).and_then(|meta| meta.modified());
        let (path, used) = (entry.path(), used.unwrap_or(SystemTime::UNIX_EPOCH));
        let bytes = blocks(&path)? * 512;
        Some(CacheEntry { name, path, bytes, used })
    }
}

/// The space of a file, or of the files directly in a folder, in blocks of 512 bytes.
fn blocks(path: &Path) -> Option<u64> {
    let meta = fs::symlink_metadata(path).ok()?;
    if !meta.is_dir() {
        return Some(meta.blocks());
    }
    let files = fs::read_dir(path).ok()?.flatten().filter_map(|entry| entry.metadata().ok());
    Some(files.map(|meta| meta.blocks()).sum())
}

/// Keeps the entry at `path` from being pruned by any run, as long as the lock is held.
///
/// # Errors
/// It is gone, or cannot be locked.
pub fn hold(path: &Path) -> io::Result<Flock<File>> {
    let held = Flock::lock(File::open(path)?, FlockArg::LockShared).map_err(|(_, e)| e)?;
    // Another run may have pruned it in between.
    fs::symlink_metadata(path).map(|_| held)
}

/// Whether somebody holds the entry.
fn is_held(path: &Path) -> bool {
    File::open(path).is_ok_and(|file| Flock::lock(file, FlockArg::LockExclusiveNonblock).is_err())
}

/// Removes a file or a folder, if there is one.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    let removed = match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(e) => Err(e),
    };
    match removed {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// An entry in the making, its lock held. Dropping it unpublished removes it.
#[derive(Debug)]
pub struct Staged {
    cache: Cache,
    name: String,
    path: PathBuf,
    place: PathBuf,
    _lock: Flock<File>,
}

impl Staged {
    /// Where it is made: nothing is there yet.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its final place, where it is already if somebody else has published it in the meantime.
    pub fn place(&self) -> &Path {
        &self.place
    }

    /// Puts it in its place, makes room for it, and returns the place.
    ///
    /// # Errors
    /// It cannot be renamed.
    pub fn publish(self) -> Result<PathBuf> {
        // A damaged one that could not be removed before must not keep the new one out.
        let _ = remove(&self.place);
        let length = fs::symlink_metadata(&self.path).map(|meta| format!("{}\n", meta.len()));
        let lock = self.cache.dir.join(LOCKS).join(&self.name);
        length
            .and_then(|length| fs::write(&lock, length))
            .map_err(|e| Error::io("write", &lock, &e))?;
        fs::rename(&self.path, &self.place).map_err(|e| Error::io("write", &self.place, &e))?;
        self.cache.touch(&self.name);
        self.cache.prune();
        Ok(self.place.clone())
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        // After `publish` it is not there any more. What stays is removed by the next one to stage
        // it.
        let _ = remove(&self.path);
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::image) struct Temp(pub(in crate::image) PathBuf);

    impl Temp {
        pub(in crate::image) fn new() -> Self {
            Self(nix::unistd::mkdtemp(&std::env::temp_dir().join("orca-cache-XXXXXX")).unwrap())
        }

        /// The entries of the cache of artifacts, without its locks.
        pub(in crate::image) fn left(&self) -> Vec<String> {
            let entries = fs::read_dir(self.0.join("made")).unwrap().flatten();
            let names = entries.map(|entry| entry.file_name().into_string().unwrap());
            names.filter(|name| name != LOCKS).collect()
        }
    }

    impl Drop for Temp {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }

    #[test]
    fn what_another_run_is_making_is_left_to_it() {
        let temp = Temp::new();
        let cache = Cache::new(temp.0.join("made"), 0, Duration::ZERO);
        let staged = cache.stage("theirs").unwrap();
        let mode = fs::metadata(temp.0.join("made")).unwrap().mode();
        assert_eq!(mode & 0o777, 0o700, "nobody else may look");
        fs::create_dir(staged.path()).unwrap();
        let beside = staged.path().with_extension("1.tree");
        fs::create_dir(&beside).unwrap();
        cache.prune();
        cache.clear().unwrap();
        assert!(staged.path().exists() && beside.exists());
        drop(staged);
        cache.prune();
        assert!(temp.left().is_empty(), "{:?}", temp.left());
    }

    #[test]
    fn the_least_recently_used_goes_first_and_a_recent_one_stays() {
        let temp = Temp::new();
        let day = Duration::from_secs(24 * 3600);
        let cache = |space_max, idle_min| Cache::new(temp.0.join("made"), space_max, idle_min);
        for (name, days) in [("old", 3), ("new", 2), ("today", 0)] {
            let staged = cache(u64::MAX, day).stage(name).unwrap();
            fs::write(staged.path(), [7; 8192]).unwrap();
            staged.publish().unwrap();
            let used = FileTimes::new().set_modified(SystemTime::now() - days * day);
            cache(0, day).lock_file(name).unwrap().set_times(used).unwrap();
        }
        let names = || {
            let entries = cache(0, day).list();
            entries.into_iter().map(|entry| entry.name).collect::<Vec<_>>()
        };
        assert_eq!(names(), ["today", "new", "old"]);
        let held = hold(&cache(0, day).path("old")).unwrap();
        cache(20_000, day).prune();
        assert_eq!(names(), ["today", "new", "old"], "somebody holds it");
        drop(held);
        cache(20_000, day).prune();
        assert_eq!(names(), ["today", "new"]);
        cache(0, day).prune();
        assert_eq!(names(), ["today"]);
        let staged = cache(0, Duration::ZERO).stage("larger than the bound").unwrap();
        fs::write(staged.path(), [7; 8192]).unwrap();
        staged.publish().unwrap();
        assert_eq!(names(), ["larger than the bound"]);
    }
}
