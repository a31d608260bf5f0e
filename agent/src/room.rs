//! Says at a test's end where it has filled a file system, and which option gives it more room.

use crate::agent::Agent;
use crate::share;
use crate::wire::Share;
use nix::sys::statfs::{Statfs, TMPFS_MAGIC, statfs};
use std::path::Path;
use std::sync::PoisonError;

/// With less room than this, in bytes, a file system is full: what did not fit was not written.
const FULL: u64 = 128 * 1024;

/// What is said of the root's disk if the writes to the project go there, too.
const ROOT_FULL: &str =
    "the root's disk is full: more room with --share disk, or with a larger --rootfs";

/// A line for each file system that is full, of those that have the project and `tmp`.
pub(crate) fn notes(agent: &Agent, tmp: &Path) -> Vec<&'static str> {
    if !agent.owns_machine {
        return Vec::new();
    }
    let tmp = statfs(tmp).ok();
    let in_memory = tmp.as_ref().is_some_and(|stat| stat.filesystem_type() == TMPFS_MAGIC);
    let kind = agent.share.lock().unwrap_or_else(PoisonError::into_inner).kind();
    let project = match kind {
        Share::None | Share::Ro => None, // nothing is written there
        // Where both are on the root's disk, one look is enough.
        Share::Overlay if !in_memory && share::is_upper_on_disk() => None,
        _ => statfs(&agent.project).ok().filter(is_full),
    };
    let project = project.map(|_| full_project(kind));
    let tmp = tmp.filter(is_full).map(|_| full_tmp(kind, in_memory));
    project.into_iter().chain(tmp).collect()
}

fn is_full(stat: &Statfs) -> bool {
    // A tmpfs without a limit has no blocks at all.
    stat.blocks() > 0 && stat.blocks_available() * stat.block_size() as u64 <= FULL
}

fn full_project(kind: Share) -> &'static str {
    match kind {
        Share::Disk => "the project's disk is full: there is room in $TMPDIR, or with --share rw",
        Share::Rw => "the host's file system with the project is full",
        _ if share::is_upper_on_disk() => ROOT_FULL,
        _ => {
            "the memory for what is written to the project is full: more room with --share disk or \
             --memory"
        }
    }
}

fn full_tmp(kind: Share, in_memory: bool) -> &'static str {
    match kind {
        _ if in_memory => "the memory for temporary files is full: more room with --memory",
        Share::Overlay => ROOT_FULL,
        _ => "the root's disk is full: more room with a larger --rootfs",
    }
}
