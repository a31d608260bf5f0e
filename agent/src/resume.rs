//! `RESUME`: makes a copy of a frozen machine a machine of its own.

use crate::agent::Agent;
use crate::cmdline::CommandLine;
use crate::mounts::mount_point;
use crate::wire::{Resume, SHARE_DIR, Share};
use crate::{root, sys};
use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_settime};
use nix::unistd::sethostname;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

/// Does everything that `resume` asks for. If one thing fails, the others are still done, unless it
/// is the root.
///
/// # Errors
/// Everything that failed, fit to follow `ERR `.
pub(crate) fn resume(agent: &Agent, resume: &Resume) -> Result<(), String> {
    if *resume == Resume::default() {
        return Ok(());
    }
    if !agent.owns_machine {
        return Err("this machine is not the agent's to change".into());
    }
    let mut failed = Vec::new();
    let mut check = |what: &str, result: Result<(), String>| {
        if let Err(why) = result {
            failed.push(format!("{what}: {why}"));
        }
    };
    if agent.root_pending.swap(false, Ordering::Relaxed) {
        // First: the rest writes to the root.
        root::enter_host(&CommandLine::of_this_boot()).map_err(|why| format!("root: {why}"))?;
    }
    if let Some(ns) = resume.time_ns {
        check("time", set_clock(ns));
    }
    if !resume.seed.is_empty() {
        check("seed", add_entropy(&resume.seed).map_err(|e| e.to_string()));
    }
    if let Some(name) = &resume.hostname {
        check("hostname", set_hostname(name).map_err(|e| e.to_string()));
    }
    if let Some(id) = &resume.machine_id {
        check("machine-id", set_machine_id(id).map_err(|e| e.to_string()));
    }
    if let Some(mac) = resume.mac {
        check("mac", set_macs(mac).map_err(|e| e.to_string()));
    }
    if let Some(share) = resume.share {
        check("share", mount_share(agent, share));
    }
    if failed.is_empty() { Ok(()) } else { Err(failed.join("; ")) }
}

/// Mounts the project as `to` says, and undoes how it was mounted before.
pub(crate) fn mount_share(agent: &Agent, to: Share) -> Result<(), String> {
    agent.share.lock().unwrap_or_else(PoisonError::into_inner).change(to)
}

/// `SETTLE`: does before a freeze what every copy would have to do after it. It may be done again,
/// also in the middle of a test.
///
/// # Errors
/// Why something could not be done, fit to follow `ERR `.
pub(crate) fn settle(agent: &Agent) -> Result<(), String> {
    if !agent.owns_machine {
        return Err("this machine is not the agent's to change".into());
    }
    agent.share.lock().unwrap_or_else(PoisonError::into_inner).prepare()?;
    if !agent.fork_requests.is_test_running() {
        agent.prestart_shell();
    }
    // If this fails, the next test tries again.
    _ = agent.fork_requests.open(&agent.threads, agent.owns_machine);
    agent.threads.run(|| ()).map_err(|e| e.to_string())?;
    // Pages that are dirty now would be written back in every copy.
    nix::unistd::sync();
    restart_watchdog();
    Ok(())
}

/// Restarts the period after which the kernel looks for stuck CPUs. It would otherwise end in the
/// first seconds of every copy.
fn restart_watchdog() {
    const SWITCH: &str = "/proc/sys/kernel/soft_watchdog";
    if fs::read_to_string(SWITCH).is_ok_and(|state| state.trim() == "1") {
        for state in ["0", "1"] {
            // At worst, copies look for stuck CPUs sooner.
            _ = fs::write(SWITCH, state);
        }
    }
}

/// Sets the name of the machine, also in the file from which a login or a restarted service reads
/// it.
pub(crate) fn set_hostname(name: &str) -> io::Result<()> {
    sethostname(name)?;
    overwrite(Path::new("/etc/hostname"), &format!("{name}\n"))
}

fn set_clock(ns: u64) -> Result<(), String> {
    let time = TimeSpec::new((ns / 1_000_000_000) as i64, (ns % 1_000_000_000) as i64);
    clock_settime(ClockId::CLOCK_REALTIME, time).map_err(|e| e.desc().to_owned())
}

fn add_entropy(seed: &[u8]) -> io::Result<()> {
    sys::add_entropy(File::options().write(true).open("/dev/urandom")?.as_fd(), seed)
}

fn set_machine_id(id: &str) -> io::Result<()> {
    let line = format!("{id}\n");
    overwrite(Path::new("/etc/machine-id"), &line)?;
    let dbus = Path::new("/var/lib/dbus/machine-id");
    match fs::symlink_metadata(dbus) {
        Ok(meta) if meta.is_file() => overwrite(dbus, &line),
        _ => Ok(()),
    }
}

/// Gives the first network card the address `mac`, and each further card the next one. A machine
/// without cards is fine.
fn set_macs(mut mac: [u8; 6]) -> io::Result<()> {
    let cards = fs::read_dir("/sys/class/net").into_iter().flatten().flatten();
    // An interface that is not a device of the machine, such as `lo`, has no `device`.
    let cards = cards.filter(|card| card.path().join("device").exists());
    let mut names: Vec<_> = cards.map(|card| card.file_name()).collect();
    names.sort();
    for name in names {
        sys::set_mac(name.as_bytes(), mac)?;
        mac[5] = mac[5].wrapping_add(1);
    }
    Ok(())
}

/// Makes `text` the whole content of the file, in place. To empty a file and to find room for it
/// again is ten times the work, and every copy of a machine would do it with cold code.
fn overwrite(path: &Path, text: &str) -> io::Result<()> {
    let open = || File::options().write(true).create(true).truncate(false).open(path);
    let mut file = match open() {
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            path.parent().map_or(Ok(()), fs::create_dir_all)?; // an initramfs may have no /etc
            open()?
        }
        first => first?,
    };
    file.write_all(text.as_bytes())?;
    let len = text.len() as u64;
    if file.metadata()?.len() > len { file.set_len(len) } else { Ok(()) }
}

/// Mounts the project as `orca.share=` on the kernel's command line says, unless it is mounted
/// already. `later` leaves it to a copy's `RESUME`.
pub(crate) fn mount_at_boot(agent: &Agent, line: &CommandLine) -> Result<(), String> {
    let to = match line.value("orca.share") {
        None => Share::default(),
        Some("later") => return Ok(()),
        Some(name) => Share::from_name(name).ok_or_else(|| format!("unknown way `{name}`"))?,
    };
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    if mounts.lines().any(|line| mount_point(line) == Some(SHARE_DIR)) {
        return Ok(());
    }
    mount_share(agent, to)
}
