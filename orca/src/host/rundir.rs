//! The private folder of one run, with sockets and overlays; it is removed when the run ends. What
//! stays after a run is in the log folder: see `logdir`.
//!
//! Its name is short, because a socket's path holds at most 107 bytes, and random, because
//! everybody may write to `/tmp`. The run holds a lock on a file in the folder. A folder whose lock
//! is free was left by a run that was killed, and the next run removes it. On hosts where machines
//! outlive a run that is killed, the next run ends them first.

use crate::error::{Error, Result};
use nix::fcntl::{Flock, FlockArg};
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What the names of these folders begin with.
pub const PREFIX: &str = "orca-";
const LOCK: &str = "lock";
/// The extension of the sockets at which `orca shell` reaches machines (see `guest::mux`).
pub const SHELL_SOCKET: &str = "shell";
/// The longest path of a socket, in bytes: `sun_path` holds a zero besides.
pub const SOCKET_PATH_MAX: usize = 107;
/// The longest path of a folder, in bytes: a socket's own name may take 32.
const DIR_PATH_MAX: usize = SOCKET_PATH_MAX - 32;

/// Owns the folder; dropping it removes the folder.
#[derive(Debug)]
pub struct RunDir {
    path: PathBuf,
    _lock: Flock<File>,
}

impl RunDir {
    /// Removes abandoned folders and makes a new one, mode 0700, in `$TMPDIR`, or in `/tmp` if that
    /// path is too long for a socket.
    ///
    /// # Errors
    /// The folder cannot be written to.
    pub fn create() -> Result<Self> {
        let base = base_dir();
        sweep(&base);
        let path = nix::unistd::mkdtemp(&base.join(format!("{PREFIX}XXXXXX"))).map_err(|e| {
            Error::io("create a folder in", &base, &e.into())
                .hint("point TMPDIR at a writable folder")
        })?;
        let lock = take_lock(&path).inspect_err(|_| remove(&path))?;
        Ok(Self { path, _lock: lock })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for RunDir {
    fn drop(&mut self) {
        remove(&self.path);
    }
}

/// The sockets for `orca shell` in the private folders of this user's live runs, sorted.
pub fn shell_sockets() -> Vec<PathBuf> {
    let mut found = Vec::new();
    for dir in own_folders(&base_dir()) {
        if abandoned(&dir) {
            continue;
        }
        let entries = fs::read_dir(&dir).into_iter().flatten().flatten().map(|entry| entry.path());
        found.extend(entries.filter(|path| path.extension().is_some_and(|e| e == SHELL_SOCKET)));
    }
    found.sort();
    found
}

/// Locks the file before it gets its name, so that no sweep ever finds it unlocked.
fn take_lock(dir: &Path) -> Result<Flock<File>> {
    let (new, path) = (dir.join("lock.new"), dir.join(LOCK));
    let file = File::create(&new).map_err(|e| Error::io("write", &new, &e))?;
    let lock = Flock::lock(file, FlockArg::LockExclusiveNonblock)
        .map_err(|(_, e)| Error::io("lock", &new, &e.into()))?;
    fs::rename(&new, &path).map_err(|e| Error::io("write", &path, &e))?;
    Ok(lock)
}

/// Whether `path` lies in some run's private folder.
pub fn is_inside_one(path: &Path) -> bool {
    let base = base_dir();
    let base = fs::canonicalize(&base).unwrap_or(base);
    let below = path.strip_prefix(base).ok().and_then(|rest| rest.components().next());
    below.is_some_and(|first| first.as_os_str().to_string_lossy().starts_with(PREFIX))
}

fn base_dir() -> PathBuf {
    let dir = std::env::temp_dir();
    let dir = std::path::absolute(&dir).unwrap_or(dir);
    if dir.as_os_str().len() + PREFIX.len() + 7 > DIR_PATH_MAX { "/tmp".into() } else { dir }
}

/// Removes this user's folders whose run is dead. A folder that cannot be read or removed stays.
fn sweep(base: &Path) {
    for dir in own_folders(base).iter().filter(|dir| abandoned(dir)) {
        if cfg!(not(target_os = "linux")) {
            end_machines(dir);
        }
        remove(dir);
    }
}

/// Folders in `base` that have a run's name and belong to this user.
fn own_folders(base: &Path) -> Vec<PathBuf> {
    let me = nix::unistd::geteuid().as_raw();
    let ours = |entry: &fs::DirEntry| {
        entry.file_name().to_str().is_some_and(|name| name.starts_with(PREFIX))
            && entry.metadata().is_ok_and(|m| m.is_dir() && m.uid() == me)
    };
    let entries = fs::read_dir(base).into_iter().flatten().flatten();
    entries.filter(ours).map(|entry| entry.path()).collect()
}

fn abandoned(dir: &Path) -> bool {
    let Ok(file) = File::open(dir.join(LOCK)) else { return false };
    Flock::lock(file, FlockArg::LockExclusiveNonblock).is_ok()
}

/// Ends the processes whose command line names a socket in `dir`. The folder's name is random, so
/// no other command line has it.
fn end_machines(dir: &Path) {
    let socket = dir.join("vm");
    // Without `pkill` the machines stay, and the user has to end them.
    let _ = Command::new("pkill").args(["-KILL", "-f", "--"]).arg(socket).status();
}

fn remove(dir: &Path) {
    // Nothing can be done about a folder that stays; the next run's sweep tries again.
    let _ = fs::remove_dir_all(dir);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;
    use std::process::Stdio;

    #[test]
    fn a_live_run_is_kept_and_a_dead_one_swept() {
        let live = RunDir::create().unwrap();
        assert_eq!(fs::metadata(live.path()).unwrap().mode() & 0o777, 0o700);
        let dead = nix::unistd::mkdtemp(&base_dir().join("orca-XXXXXX")).unwrap();
        File::create(dead.join(LOCK)).unwrap();
        let next = RunDir::create().unwrap();
        assert!(live.path().exists() && next.path().exists());
        assert!(is_inside_one(&fs::canonicalize(live.path()).unwrap().join(LOCK)));
        assert!(!is_inside_one(&base_dir().join("other/file")));
        assert!(!dead.exists());
        let path = live.path().to_owned();
        drop(live);
        assert!(!path.exists());
    }

    #[test]
    fn machines_of_a_dead_run_are_ended_by_the_name_of_its_folder() {
        let dir = nix::unistd::mkdtemp(&base_dir().join("orca-XXXXXX")).unwrap();
        let start = |name: &str| {
            let socket = format!("path={}/{name}.sock,server=on", dir.display());
            let mut command = Command::new("sh");
            command.args(["-c", "read line", &socket]).stdin(Stdio::piped()).spawn().unwrap()
        };
        let (mut machine, mut other) = (start("vm1"), start("other"));
        end_machines(&dir);
        assert_eq!(machine.wait().unwrap().signal(), Some(9));
        assert!(other.try_wait().unwrap().is_none());
        other.kill().unwrap();
        other.wait().unwrap();
        fs::remove_dir(&dir).unwrap();
    }
}
