//! The log folder, which a run leaves behind: logs, TAP, consoles, artifacts. The link `latest`
//! beside it points to the newest. The private folder of a run is another one: see `rundir`.

use crate::error::{Error, Result};
use crate::text::day::Day;
use crate::text::hash;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// The folder of the logs of all projects, in the state folder.
pub const RUNS: &str = "runs";
/// Runs of one project that are kept; older ones are removed.
const KEPT_RUNS: usize = 20;
/// The most bytes that the kept runs of one project may hold together.
const KEPT_BYTES: u64 = 4 << 30;
const LATEST: &str = "latest";

/// Makes the log folder for a run of the project at `root`: `given`, or a new one below `state`.
///
/// # Errors
/// The folder cannot be made.
pub fn create(given: Option<&Path>, state: &Path, root: &Path) -> Result<PathBuf> {
    let make = |dir: &Path| {
        fs::create_dir_all(dir)
            .map_err(|e| Error::io("create", dir, &e).hint("name a writable folder with --log-dir"))
    };
    if let Some(dir) = given {
        make(dir)?;
        return fs::canonicalize(dir).map_err(|e| Error::io("find", dir, &e));
    }
    let project = state.join(RUNS).join(project_name(root));
    make(&project)?;
    let name = format!("{}-{}", timestamp(SystemTime::now()), std::process::id());
    let dir = project.join(&name);
    make(&dir)?;
    link_latest(&project, &name);
    prune(&project);
    Ok(dir)
}

/// The name of the project's folder, with a few digits that tell projects of the same name apart.
pub fn project_name(root: &Path) -> String {
    let digest = hash::of(root.as_os_str().as_bytes());
    let name = root.file_name().unwrap_or_default().to_string_lossy().into_owned();
    format!("{name}-{:08x}", digest as u32)
}

/// Points the link `latest` to `name`. The link is replaced in one step, so that it is never
/// absent. Without the link a run is only harder to find.
fn link_latest(project: &Path, name: &str) {
    let new = project.join(format!("{LATEST}.{}", std::process::id()));
    let _ = std::os::unix::fs::symlink(name, &new);
    let _ = fs::rename(&new, project.join(LATEST));
}

fn prune(project: &Path) {
    let Ok(entries) = fs::read_dir(project) else { return };
    let is_run = |entry: &fs::DirEntry| entry.file_type().is_ok_and(|kind| kind.is_dir());
    let mut runs: Vec<PathBuf> =
        entries.flatten().filter(is_run).map(|entry| entry.path()).collect();
    runs.sort();
    let mut total = 0;
    for (newer, run) in runs.iter().rev().enumerate() {
        total += size(run);
        // The newest is the run that begins now.
        if newer >= KEPT_RUNS || (newer > 0 && total > KEPT_BYTES) {
            // The next run tries again to remove a folder that stays.
            let _ = fs::remove_dir_all(run);
        }
    }
}

/// The size of all files below `dir`, in bytes.
fn size(dir: &Path) -> u64 {
    let each = |entry: fs::DirEntry| match entry.metadata() {
        Ok(meta) if meta.is_dir() => size(&entry.path()),
        Ok(meta) => meta.len(),
        Err(_) => 0,
    };
    fs::read_dir(dir).into_iter().flatten().flatten().map(each).sum()
}

/// `20261123-223015`, in UTC.
pub fn timestamp(at: SystemTime) -> String {
    let seconds = at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let (h, m, s) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{}-{h:02}{m:02}{s:02}", Day::of(at).compact())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn timestamps() {
        let check = |seconds: u64, expected: &str| {
            assert_eq!(timestamp(UNIX_EPOCH + Duration::from_secs(seconds)), expected);
        };
        check(0, "19700101-000000");
        check(951_782_399, "20000228-235959");
        check(951_782_400, "20000229-000000");
        check(1_795_473_594, "20261123-223954");
    }

    /// A project that is called otherwise by another build loses its history and its logs.
    #[test]
    fn a_project_is_called_the_same_by_every_build() {
        assert_eq!(project_name(Path::new("/srv/project")), "project-6ecdf2c1");
    }

    #[test]
    fn old_runs_are_pruned_and_the_newest_is_linked() {
        let state = nix::unistd::mkdtemp(&std::env::temp_dir().join("orca-logdir-XXXXXX")).unwrap();
        let root = Path::new("/srv/project");
        let project = state.join(RUNS).join(project_name(root));
        for n in 0..KEPT_RUNS + 3 {
            fs::create_dir_all(project.join(format!("19990101-0000{n:02}-1"))).unwrap();
        }
        let dir = create(None, &state, root).unwrap();
        let runs = fs::read_dir(&project).unwrap().flatten();
        assert_eq!(runs.filter(|e| e.file_type().unwrap().is_dir()).count(), KEPT_RUNS);
        assert_eq!(
            fs::canonicalize(project.join(LATEST)).unwrap(),
            fs::canonicalize(&dir).unwrap()
        );
        fs::remove_dir_all(&state).unwrap();
    }

    #[test]
    fn old_runs_go_when_all_of_them_hold_too_much() {
        let state = nix::unistd::mkdtemp(&std::env::temp_dir().join("orca-logdir-XXXXXX")).unwrap();
        let project = state.join(RUNS);
        for (name, bytes) in [("1", 10), ("2", KEPT_BYTES), ("3", KEPT_BYTES - 5), ("4", 5)] {
            fs::create_dir_all(project.join(name).join("t")).unwrap();
            let file = fs::File::create(project.join(name).join("t/hole")).unwrap();
            file.set_len(bytes).unwrap();
        }
        prune(&project);
        let left = ["1", "2", "3", "4"].map(|name| project.join(name).exists());
        assert_eq!(left, [false, false, true, true]);
        fs::remove_dir_all(&state).unwrap();
    }
}
