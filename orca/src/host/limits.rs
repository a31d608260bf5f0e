//! Limits of the host that a run may meet: open files, and room on disks. They are checked before
//! the first machine is made, so that a limit is reported once, and not as an odd failure of
//! whatever meets it first.

use crate::error::{Error, Result};
use crate::text::count::count;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::statvfs::statvfs;
use std::path::Path;

/// Open files of orca itself with no machine. Measured: 13.
const FILES_BASE: u64 = 24;
/// Open files for each worker: two machines and the logs of one. Measured: 16.
const FILES_PER_WORKER: u64 = 20;
/// Open files of one QEMU, which inherits the limit. Measured: 86, and some for the files that the
/// guest holds open in the share.
const FILES_QEMU: u64 = 128;
/// Open files for the frozen machines of a run: four for each set-up, and for each fork of which a
/// case is to be run. If the limit does not allow so many, most runs need fewer.
const FILES_LAYERS: u64 = 1024;
/// Bytes that a machine's disk takes at its start: 200 KB, and room for the guest's first writes.
const ROOM_PER_MACHINE: u64 = 2 << 20;

/// The kind of machine that runs the tests, as far as limits differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MachineKind {
    /// QEMU processes.
    Virtual,
    /// The agent as a process of this host.
    Local,
}

/// Makes sure that `workers` workers may open the files that they need. Raises the soft limit if
/// the hard one allows it.
///
/// # Errors
/// The hard limit is too low; the error says which number is needed.
pub fn open_files(workers: usize, kind: MachineKind) -> Result<()> {
    let needed = files_needed(workers, kind);
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return Ok(()) };
    let wanted = (needed + FILES_LAYERS).min(hard);
    if soft < wanted && setrlimit(Resource::RLIMIT_NOFILE, wanted, hard).is_ok() && wanted > needed
    {
        return Ok(());
    }
    if soft >= needed
        || (hard >= needed && setrlimit(Resource::RLIMIT_NOFILE, needed, hard).is_ok())
    {
        return Ok(());
    }
    let limit = soft.max(hard);
    let error = format!(
        "{} {} {needed} open files, and the limit is {limit}",
        count(workers, "worker"),
        if workers == 1 { "needs" } else { "need" }
    );
    let hint = format!("raise it with `ulimit -n {needed}`");
    let fewer = limit.saturating_sub(FILES_BASE) / FILES_PER_WORKER;
    Err(Error::new(error).hint(if fewer > 0 && limit >= files_needed(1, kind) {
        format!("{hint}, or run fewer with -j{fewer}")
    } else {
        hint
    }))
}

fn files_needed(workers: usize, kind: MachineKind) -> u64 {
    let own = FILES_BASE + FILES_PER_WORKER * workers as u64;
    if kind == MachineKind::Virtual { own.max(FILES_QEMU) } else { own }
}

/// Makes sure that `dir` has room for the disks of `workers` workers' machines.
///
/// # Errors
/// The filesystem is full, or nearly.
pub fn room_for_disks(dir: &Path, workers: usize) -> Result<()> {
    let machines = 2 * workers as u64; // one that runs, one that is ready
    let needed = machines * ROOM_PER_MACHINE;
    match free_bytes(dir) {
        Some(free) if free < needed => {
            let (free, needed) = (free >> 10, needed >> 10);
            let error = format!(
                "`{}` has {free} KiB left, and the disks of {machines} machines need {needed}",
                dir.display()
            );
            Err(Error::new(error).hint("make room there, or point TMPDIR at a folder with room"))
        }
        _ => Ok(()), // a filesystem that does not say counts as having room
    }
}

/// The bytes that an ordinary user may still write to the filesystem of `dir`; `None` if the
/// filesystem does not say.
pub fn free_bytes(dir: &Path) -> Option<u64> {
    let stat = statvfs(dir).ok()?;
    let free = u128::from(stat.blocks_available()) * u128::from(stat.fragment_size());
    Some(u64::try_from(free).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn qemu_needs_a_minimum_of_its_own() {
        assert_eq!(files_needed(1, MachineKind::Virtual), FILES_QEMU);
        assert!(files_needed(64, MachineKind::Virtual) > FILES_QEMU);
        assert!(files_needed(1, MachineKind::Local) < 64);
    }

    #[test]
    fn more_files_than_any_system_allows_are_an_error() {
        let error = open_files(usize::MAX >> 8, MachineKind::Virtual).unwrap_err();
        assert!(error.to_string().contains("open files, and the limit is"), "{error}");
        assert!(error.next_step().is_some_and(|hint| hint.contains("-j")), "{error:?}");
        assert_eq!(open_files(1, MachineKind::Virtual), Ok(()));
    }

    #[test]
    fn a_disk_without_room_is_an_error() {
        let error = room_for_disks(Path::new("/"), usize::MAX >> 32).unwrap_err();
        assert!(error.to_string().contains("KiB left"), "{error}");
        assert_eq!(room_for_disks(Path::new("/proc/nowhere"), 1), Ok(()));
    }
}
