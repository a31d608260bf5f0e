//! Watches a folder for files that change: with inotify if the host has it, else by comparing the
//! files every second.
//!
//! Names that begin with a dot or end with `~` are ignored: version control, editors' swap files
//! and backups, folders of tools.

use crossbeam::channel::{Receiver, Sender, bounded, unbounded};
use std::collections::HashMap;
use std::convert::Infallible;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};
use std::{fs, io};

/// The time between two comparisons on a host without inotify.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Watches until it is dropped.
pub struct Watcher {
    /// Paths of changed, new and removed files, relative to the folder.
    pub changes: Receiver<PathBuf>,
    stop: Option<Stop>,
    thread: Option<JoinHandle<()>>,
}

/// Closing both ends the thread: it waits for the first while it compares files, for the second
/// while it uses inotify.
type Stop = (Sender<Infallible>, std::os::unix::net::UnixStream);

impl Watcher {
    /// Watches everything below `root`.
    ///
    /// # Errors
    /// The host gives no thread or no descriptors.
    pub fn start(root: &Path) -> io::Result<Self> {
        let (sender, changes) = unbounded();
        let (stop, stopped) = bounded(0);
        let (wake, woken) = std::os::unix::net::UnixStream::pair()?;
        let root = root.to_owned();
        #[cfg(target_os = "linux")]
        let notify = inotify::Tree::new(&root).ok();
        #[cfg(not(target_os = "linux"))]
        let notify: Option<std::convert::Infallible> = None;
        // Taken before the thread starts, so that no change is missed.
        let mut before = if notify.is_none() { stamps(&root) } else { Stamps::new() };
        let watch = move || match notify {
            #[cfg(target_os = "linux")]
            Some(tree) => tree.watch(&sender, &woken),
            #[cfg(not(target_os = "linux"))]
            Some(never) => match never {},
            None => {
                let _woken = woken;
                look(&root, &mut before, &sender, &stopped);
            }
        };
        let thread = std::thread::Builder::new().name("watcher".into()).spawn(watch)?;
        Ok(Self { changes, stop: Some((stop, wake)), thread: Some(thread) })
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn is_hidden(name: &OsStr) -> bool {
    let name = name.as_encoded_bytes();
    name.starts_with(b".") || name.ends_with(b"~")
}

/// Every folder below `root`, itself included.
fn folders(root: &Path) -> Vec<PathBuf> {
    let mut found = vec![root.to_owned()];
    let mut at = 0;
    while at < found.len() {
        let entries = fs::read_dir(&found[at]).into_iter().flatten().flatten();
        let dirs = entries.filter(|entry| {
            entry.file_type().is_ok_and(|kind| kind.is_dir()) && !is_hidden(&entry.file_name())
        });
        let dirs: Vec<PathBuf> = dirs.map(|entry| entry.path()).collect();
        found.extend(dirs);
        at += 1;
    }
    found
}

/// The date and the length of every file.
type Stamps = HashMap<PathBuf, (SystemTime, u64)>;

fn stamps(root: &Path) -> Stamps {
    let files = folders(root)
        .into_iter()
        .flat_map(|dir| fs::read_dir(dir).into_iter().flatten().flatten().collect::<Vec<_>>());
    let stamp = |entry: fs::DirEntry| {
        let meta = entry.metadata().ok().filter(|meta| !meta.is_dir())?;
        let inside = entry.path().strip_prefix(root).ok()?.to_owned();
        Some((inside, (meta.modified().ok()?, meta.len())))
    };
    files.filter(|entry| !is_hidden(&entry.file_name())).filter_map(stamp).collect()
}

/// Compares the files with those of the last look, until the watcher is dropped.
fn look(root: &Path, before: &mut Stamps, out: &Sender<PathBuf>, stopped: &Receiver<Infallible>) {
    use crossbeam::channel::RecvTimeoutError::Timeout;
    while matches!(stopped.recv_timeout(LOOK_EVERY), Err(Timeout)) {
        let now = stamps(root);
        let changed = now.iter().filter(|(path, stamp)| before.get(*path) != Some(stamp));
        let gone = before.keys().filter(|path| !now.contains_key(*path));
        for path in changed.map(|(path, _)| path).chain(gone) {
            let _ = out.send(path.clone()); // without a receiver the thread is about to end
        }
        *before = now;
    }
}

#[cfg(target_os = "linux")]
mod inotify {
    //! Changes as the kernel reports them. Every folder has its own watch; a new one gets it when
    //! it appears.

    use super::{folders, is_hidden};
    use crate::host::sys;
    use crossbeam::channel::Sender;
    use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, InotifyEvent, WatchDescriptor};
    use std::collections::HashMap;
    use std::os::unix::net::UnixStream;
    use std::path::{Path, PathBuf};

    pub(super) struct Tree {
        root: PathBuf,
        notify: Inotify,
        watched: HashMap<WatchDescriptor, PathBuf>,
    }

    impl Tree {
        /// Fails if the host has no more watches to give; then the files are compared instead.
        pub(super) fn new(root: &Path) -> nix::Result<Self> {
            let notify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
            let mut tree = Self { root: root.to_owned(), notify, watched: HashMap::new() };
            for dir in folders(root) {
                tree.add(&dir)?;
            }
            Ok(tree)
        }

        fn add(&mut self, dir: &Path) -> nix::Result<()> {
            let what = AddWatchFlags::IN_CLOSE_WRITE
                | AddWatchFlags::IN_CREATE
                | AddWatchFlags::IN_DELETE
                | AddWatchFlags::IN_MOVE
                | AddWatchFlags::IN_ONLYDIR;
            let id = self.notify.add_watch(dir, what)?;
            self.watched.insert(id, dir.to_owned());
            Ok(())
        }

        /// Reports changes until `woken` is closed.
        pub(super) fn watch(mut self, out: &Sender<PathBuf>, woken: &UnixStream) {
            while sys::readable(&self.notify, woken) {
                for event in self.notify.read_events().unwrap_or_default() {
                    self.take(&event, out);
                }
            }
        }

        fn take(&mut self, event: &InotifyEvent, out: &Sender<PathBuf>) {
            let Some(name) = event.name.as_ref().filter(|name| !is_hidden(name)) else { return };
            let Some(dir) = self.watched.get(&event.wd) else { return };
            let path = dir.join(name);
            let fresh = AddWatchFlags::IN_CREATE | AddWatchFlags::IN_MOVED_TO;
            if event.mask.contains(AddWatchFlags::IN_ISDIR) {
                if event.mask.intersects(fresh) {
                    for dir in folders(&path) {
                        // A folder that cannot be watched is left out; the others are reported.
                        let _ = self.add(&dir);
                        self.report_files(&dir, out);
                    }
                }
            } else if !event.mask.contains(AddWatchFlags::IN_CREATE) {
                self.report(&path, out); // a new file is reported when its writer closes it
            }
        }

        /// Reports the files that were in a new folder before it was watched.
        fn report_files(&self, dir: &Path, out: &Sender<PathBuf>) {
            for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
                let file = entry.file_type().is_ok_and(|kind| !kind.is_dir());
                if file && !is_hidden(&entry.file_name()) {
                    self.report(&entry.path(), out);
                }
            }
        }

        fn report(&self, path: &Path, out: &Sender<PathBuf>) {
            if let Ok(inside) = path.strip_prefix(&self.root) {
                // Without a receiver the thread is about to end.
                let _ = out.send(inside.to_owned());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_secs(20);

    /// Waits until each of `paths` has been reported.
    #[track_caller]
    fn expect(changes: &Receiver<PathBuf>, paths: &[&str]) {
        let mut missing: Vec<PathBuf> = paths.iter().map(PathBuf::from).collect();
        while !missing.is_empty() {
            let found = changes.recv_timeout(SOON).unwrap_or_else(|_| panic!("no {missing:?}"));
            assert!(!found.to_string_lossy().contains("hidden"), "{found:?}");
            missing.retain(|path| *path != found);
        }
    }

    #[test]
    fn changed_new_and_removed_files_are_reported() {
        let root = nix::unistd::mkdtemp(&std::env::temp_dir().join("orca-watch-XXXXXX")).unwrap();
        fs::create_dir_all(root.join("t/a")).unwrap();
        fs::write(root.join("t/a/old"), "").unwrap();
        let watcher = Watcher::start(&root).unwrap();
        fs::write(root.join("t/a/.hidden"), "x").unwrap();
        fs::write(root.join("t/a/old"), "x").unwrap();
        fs::create_dir_all(root.join("t/b/c")).unwrap();
        fs::write(root.join("t/b/c/new"), "x").unwrap();
        expect(&watcher.changes, &["t/a/old", "t/b/c/new"]);
        fs::rename(root.join("t/b/c/new"), root.join("t/moved")).unwrap();
        fs::remove_file(root.join("t/a/old")).unwrap();
        expect(&watcher.changes, &["t/b/c/new", "t/moved", "t/a/old"]);
        drop(watcher);
        fs::remove_dir_all(&root).unwrap();
    }

    #[test]
    fn comparing_finds_the_same_changes() {
        let root = nix::unistd::mkdtemp(&std::env::temp_dir().join("orca-look-XXXXXX")).unwrap();
        fs::write(root.join("same"), "").unwrap();
        fs::write(root.join("gone"), "").unwrap();
        let mut before = stamps(&root);
        fs::remove_file(root.join("gone")).unwrap();
        fs::write(root.join("new"), "x").unwrap();
        let (out, changes) = unbounded();
        let (stop, stopped) = bounded(0);
        let dir = root.clone();
        let thread = std::thread::spawn(move || look(&dir, &mut before, &out, &stopped));
        expect(&changes, &["new", "gone"]);
        drop(stop);
        thread.join().unwrap();
        assert!(changes.try_recv().is_err());
        fs::remove_dir_all(&root).unwrap();
    }
}
