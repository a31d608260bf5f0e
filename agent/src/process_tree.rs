//! Finds and ends all processes that one command started: by cgroup, or by a walk through `/proc`
//! where no cgroup can be made.
//!
//! A cgroup holds all descendants, however often they fork and in whatever session they are. But
//! root can leave it. So a machine's init also looks for strays: processes outside its own cgroups
//! that were not there before. What a set-up left is the machine's: its processes stay in their
//! cgroup, and so does what they start. The walk finds processes that still have the session, an
//! ancestor or the environment of the command. A daemon can shed these if it means to. The walk is
//! for agents without root, outside a guest.

use crate::mounts::mount_point;
use crate::process_walk::{MARK, Process, walk};
use crate::wire;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// The memory of a small process, in KiB, kernel memory included.
const KB_PER_PROCESS: u64 = 512;
/// How many processes even the smallest machine lets a test have.
const PROCESSES_MIN: u64 = 256;
/// A session that no process has.
const NOT_STARTED: i32 = -1;
/// Room for `cgroup.events`, in bytes. The file is two short lines.
const EVENTS_ROOM: usize = 128;
/// How often strays are looked for that are to be taken back: they may fork meanwhile.
const GATHERED_MAX: usize = 10;
/// How long to wait before looking again, where nothing tells of a change.
const WALK_TICK: Duration = Duration::from_millis(2);

/// The processes of one command.
pub(crate) enum ProcessTree {
    /// The processes in cgroup2's `folder`. Its `events` say whether any is left. `outside` is
    /// where to look for strays, if at all.
    Cgroup { folder: PathBuf, events: File, outside: Option<Outside> },
    /// The processes with this value of `ORCA_SCOPE`, or in the session that the first one leads.
    /// In the middle of an exec, a process shows no environment.
    Walk { mark: String, session: i32 },
}

/// The cgroups that the agent did not make. Every process that belongs to no request lives there.
pub(crate) struct Outside {
    /// The agent's own cgroups, below `mount`, which are skipped.
    own: PathBuf,
    mount: PathBuf,
    /// The file `cgroup.procs` of `mount`.
    procs: File,
    /// The processes that were there at first: their ids, sorted.
    before: Vec<i32>,
    /// The cgroups below `mount` that had processes at first, which may start others there: what a
    /// set-up left in cgroups of its own.
    inhabited: Vec<PathBuf>,
}

/// Where this agent may make cgroups, if anywhere.
pub(crate) fn cgroup_root() -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    let mount = mounts.lines().find(|line| line.contains(" - cgroup2 ")).and_then(mount_point)?;
    let root = Path::new(mount).join("orca");
    fs::create_dir_all(&root).ok()?;
    // A child has to enter its cgroup, which needs the right to move processes out of this one.
    File::options().write(true).open(Path::new(mount).join("cgroup.procs")).ok()?;
    sweep(&root);
    Some(root)
}

/// Limits every new tree to as many processes as this machine's memory can bear. A test that forks
/// without end then fails by itself, and leaves room for the agent to report it.
pub(crate) fn bound_forks(root: &Path) {
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let total_kb = memory.split_ascii_whitespace().nth(1).and_then(|kb| kb.parse::<u64>().ok());
    let most = total_kb.map_or(PROCESSES_MIN, |kb| (kb / KB_PER_PROCESS).max(PROCESSES_MIN));
    if let Some(mount) = root.parent() {
        write(&mount.join("cgroup.subtree_control"), "+pids");
    }
    write(&root.join("pids.max"), &most.to_string());
}

/// Removes the empty cgroups that killed agents have left in `root`.
fn sweep(root: &Path) {
    for entry in fs::read_dir(root).into_iter().flatten().flatten() {
        let name = entry.file_name().into_string().unwrap_or_default();
        let owner = name.split_once('-').and_then(|(pid, _)| pid.parse::<u32>().ok());
        if owner.is_some_and(|pid| !Path::new("/proc").join(pid.to_string()).exists()) {
            // The kernel refuses to remove a cgroup that holds processes.
            for_each_cgroup(&entry.path(), &mut |cgroup| _ = fs::remove_dir(cgroup));
        }
    }
}

impl ProcessTree {
    /// A tree without processes. `root` is where to make its cgroup, if that is possible.
    pub(crate) fn new(root: Option<&Path>) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let name = format!("{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let made = root.map(|root| root.join(&name)).and_then(|folder| {
            fs::create_dir(&folder).ok()?;
            let events = File::open(folder.join("cgroup.events")).ok()?;
            Some(Self::Cgroup { folder, events, outside: None })
        });
        made.unwrap_or(Self::Walk { mark: name, session: NOT_STARTED })
    }

    /// Makes the new processes of `from` belong to this tree.
    pub(crate) fn claim(&mut self, from: Option<Outside>) {
        if let Self::Cgroup { outside, .. } = self {
            *outside = from;
        }
    }

    /// The file through which the first process enters the tree's cgroup before it starts.
    pub(crate) fn procs(&self) -> Option<OwnedFd> {
        let Self::Cgroup { folder, .. } = self else { return None };
        let procs = File::options().write(true).open(folder.join("cgroup.procs"));
        procs.ok().map(OwnedFd::from)
    }

    /// The variable that the first process must have in its environment.
    pub(crate) fn mark(&self) -> Option<(&'static str, &str)> {
        match self {
            Self::Cgroup { .. } => None,
            Self::Walk { mark, .. } => Some((MARK, mark)),
        }
    }

    /// Notes the id of the first process, which leads a session.
    pub(crate) fn started(&mut self, pid: u32) {
        if let Self::Walk { session, .. } = self {
            *session = pid as i32;
        }
    }

    /// The ids of all processes that are alive.
    pub(crate) fn pids(&self) -> Vec<i32> {
        match self {
            Self::Cgroup { folder, outside, .. } => {
                let mut pids = Vec::new();
                for_each_cgroup(folder, &mut |cgroup| pids.extend(members(cgroup)));
                pids.extend(outside.iter().flat_map(Outside::strays));
                pids
            }
            Self::Walk { mark, session } => walk(mark, *session),
        }
    }

    /// Sends every process `signal`.
    pub(crate) fn signal(&self, signal: Signal) {
        for pid in self.pids() {
            // A process that has ended meanwhile needs no signal.
            _ = kill(Pid::from_raw(pid), signal);
        }
    }

    /// Sends KILL to every process, including those that are just being forked.
    pub(crate) fn kill(&self) {
        if let Self::Cgroup { folder, outside, .. } = self {
            if write(&folder.join("cgroup.kill"), "1") {
                for pid in outside.iter().flat_map(Outside::strays) {
                    _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
                }
                return;
            }
            // Linux before 5.14 has no `cgroup.kill`. Frozen processes cannot fork, but KILL ends
            // them.
            write(&folder.join("cgroup.freeze"), "1");
        }
        self.signal(Signal::SIGKILL);
    }

    /// Kills until no process is left, or until `deadline`. Returns whether none is left.
    pub(crate) fn end(&self, deadline: Instant) -> bool {
        loop {
            self.kill();
            if !self.is_populated() {
                return true;
            }
            let now = Instant::now();
            if now >= deadline {
                return false;
            }
            self.wait_for_change(deadline - now);
        }
    }

    /// Whether any process is alive.
    pub(crate) fn is_populated(&self) -> bool {
        match self {
            Self::Cgroup { events, outside, .. } => {
                is_populated(events) || outside.iter().any(|outside| !outside.strays().is_empty())
            }
            Self::Walk { .. } => {
                !self.pids().is_empty() || {
                    // The first look missed a process in the middle of an exec.
                    std::thread::sleep(WALK_TICK);
                    !self.pids().is_empty()
                }
            }
        }
    }

    /// Takes strays back into the cgroup, where what they start is found. One with a cgroup of its
    /// own keeps that.
    pub(crate) fn gather(&self) {
        let Self::Cgroup { folder, outside: Some(outside), .. } = self else { return };
        for _ in 0..GATHERED_MAX {
            let there = pids_in(&outside.procs);
            let strays = outside.strays().into_iter().filter(|pid| there.contains(pid));
            let moved = strays.filter(|pid| write(&folder.join("cgroup.procs"), &pid.to_string()));
            if moved.count() == 0 {
                return;
            }
        }
    }

    fn wait_for_change(&self, at_most: Duration) {
        let events = match self {
            Self::Cgroup { events, .. } if is_populated(events) => events,
            // Nothing tells of strays.
            _ => return std::thread::sleep(WALK_TICK.min(at_most)),
        };
        // Returns at once if the file has changed since it was last read.
        let mut fds = [PollFd::new(events.as_fd(), PollFlags::POLLPRI)];
        _ = poll(&mut fds, PollTimeout::try_from(at_most).unwrap_or(PollTimeout::MAX));
    }
}

impl Drop for ProcessTree {
    fn drop(&mut self) {
        if let Self::Cgroup { folder, .. } = self {
            for_each_cgroup(folder, &mut |cgroup| _ = fs::remove_dir(cgroup));
        }
    }
}

impl Outside {
    /// The state of now. `own` is where the agent makes cgroups.
    pub(crate) fn now(own: &Path) -> Option<Self> {
        let mount = own.parent()?.to_owned();
        let procs = File::open(mount.join("cgroup.procs")).ok()?;
        let (own, mut before, mut inhabited) = (own.to_owned(), pids_in(&procs), Vec::new());
        for_each_cgroup_outside(&mount, &own, &mut |cgroup| {
            let pids = members(cgroup);
            if !pids.is_empty() {
                inhabited.push(cgroup.to_owned());
                before.extend(pids);
            }
        });
        before.sort_unstable();
        Some(Self { own, mount, procs, before, inhabited })
    }

    fn members(&self) -> Vec<i32> {
        let mut pids = pids_in(&self.procs);
        for_each_cgroup_outside(&self.mount, &self.own, &mut |cgroup| {
            if !self.inhabited.iter().any(|inhabited| inhabited == cgroup) {
                pids.extend(members(cgroup));
            }
        });
        pids
    }

    /// The new processes, without the kernel's own and their helpers.
    fn strays(&self) -> Vec<i32> {
        let is_new = |pid: &i32| self.before.binary_search(pid).is_err();
        let is_kernels = |pid: i32| Process::read(pid).is_some_and(|process| process.is_kernels);
        let is_stray = |pid: &i32| {
            Process::read(*pid)
                .is_some_and(|process| !process.is_kernels && !is_kernels(process.parent))
        };
        self.members().into_iter().filter(is_new).filter(is_stray).collect()
    }
}

/// The processes in `cgroup` itself.
fn members(cgroup: &Path) -> Vec<i32> {
    File::open(cgroup.join("cgroup.procs")).map_or_else(|_| Vec::new(), |procs| pids_in(&procs))
}

/// The processes in the cgroup of this `cgroup.procs`.
fn pids_in(mut procs: &File) -> Vec<i32> {
    let mut text = String::new();
    // A cgroup that is gone counts as empty.
    _ = procs.seek(SeekFrom::Start(0)).and_then(|_| procs.read_to_string(&mut text));
    text.lines().filter_map(|line| line.parse().ok()).filter(|&pid| pid > 0).collect()
}

/// Whether any process lives in the cgroup of these `cgroup.events`, or below it.
fn is_populated(events: &File) -> bool {
    let mut text = [0; EVENTS_ROOM];
    // A cgroup that is gone counts as empty.
    let count = events.read_at(&mut text, 0).unwrap_or(0);
    text[..count].starts_with(b"populated 1")
}

/// Visits every cgroup below `mount`, except the agent's `own`.
fn for_each_cgroup_outside(mount: &Path, own: &Path, visit: &mut dyn FnMut(&Path)) {
    // A folder has two links, and one for each cgroup in it. As a rule, only the agent's is there.
    if fs::metadata(mount).is_ok_and(|meta| meta.nlink() == 3) {
        return;
    }
    for entry in fs::read_dir(mount).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) && entry.path() != own {
            for_each_cgroup(&entry.path(), visit);
        }
    }
}

/// Visits `folder` and every cgroup below it, the deepest first.
fn for_each_cgroup(folder: &Path, visit: &mut dyn FnMut(&Path)) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            for_each_cgroup(&entry.path(), visit);
        }
    }
    visit(folder);
}

fn write(path: &Path, text: &str) -> bool {
    File::options().write(true).open(path).is_ok_and(|mut f| f.write_all(text.as_bytes()).is_ok())
}

/// The name of process `pid`, fit for a line: a process can give itself any name.
pub(crate) fn name_of(pid: i32) -> String {
    let name = fs::read(format!("/proc/{pid}/comm")).unwrap_or_default();
    wire::single_word(name.trim_ascii_end())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reaper::for_tests;
    use crate::sys::{ChildSetup, set_up_child};
    use std::io::Read;
    use std::process::{Command, Stdio};

    /// A shell with a long-lived child, and a long-lived daemon that has left its session and
    /// parents.
    const FAMILY: &str = "sleep 1000 & (setsid sleep 1000 &) ; echo ready; wait";

    fn check(mut tree: ProcessTree) -> ProcessTree {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", FAMILY]).stdout(Stdio::piped());
        command.envs(tree.mark());
        set_up_child(&mut command, ChildSetup { cgroup: tree.procs(), ..ChildSetup::default() });
        let mut spawned = for_tests().spawn(&mut command).unwrap();
        tree.started(spawned.child.id());
        let mut ready = [0; 6];
        spawned.child.stdout.as_mut().unwrap().read_exact(&mut ready).unwrap();
        assert!(tree.is_populated());
        let deadline = Instant::now() + Duration::from_secs(30);
        let pids = loop {
            let pids = tree.pids();
            if pids.len() == 3 {
                break pids;
            }
            assert!(Instant::now() < deadline, "{pids:?}");
            std::thread::sleep(WALK_TICK); // the walk does not see what is in the middle of an exec
        };
        assert!(pids.contains(&(spawned.child.id() as i32)));
        assert!(tree.end(Instant::now() + Duration::from_secs(30)));
        assert_eq!(spawned.end.wait().signal, Some(9));
        assert_eq!(tree.pids(), []);
        tree
    }

    #[test]
    fn the_walk_finds_daemons() {
        check(ProcessTree::new(None));
    }

    #[test]
    fn a_cgroup_holds_daemons_and_goes_with_its_tree() {
        // Where this process cannot make a cgroup, a tree falls back to the walk.
        let root = cgroup_root();
        let tree = ProcessTree::new(root.as_deref());
        let folder = match &tree {
            ProcessTree::Cgroup { folder, .. } => folder.clone(),
            ProcessTree::Walk { .. } => PathBuf::from("/no/such/cgroup"),
        };
        assert_eq!(matches!(tree, ProcessTree::Cgroup { .. }), root.is_some());
        drop(check(tree));
        assert!(!folder.exists());
    }
}
