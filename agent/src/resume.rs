//! `RESUME`: makes a copy of a frozen machine a machine of its own.

use crate::agent::Agent;
use crate::cmdline::CommandLine;
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

/// Does everything that `resume` asks for; what fails does not keep the rest from being done.
///
/// # Errors
/// All that failed, fit to follow `ERR `.
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
        // First: the rest writes to it.
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

/// Mounts the project as `to` says, whatever it was before.
pub(crate) fn mount_share(agent: &Agent, to: Share) -> Result<(), String> {
    agent.share.lock().unwrap_or_else(PoisonError::into_inner).change(to)
}

/// `SETTLE`: does ahead of a freeze what every copy would have to do after it.
///
/// # Errors
/// What could not be done, fit to follow `ERR `.
pub(crate) fn settle(agent: &Agent) -> Result<(), String> {
    if !agent.owns_machine {
        return Err("this machine is not the agent's to change".into());
    }
    agent.share.lock().unwrap_or_else(PoisonError::into_inner).prepare()?;
    agent.prestart_shell();
    agent.threads.run(|| ()).map_err(|e| e.to_string())?;
    // What is not dirty is not written back in every copy.
    nix::unistd::sync();
    restart_watchdog();
    Ok(())
}

/// Has the kernel look for stuck CPUs a full period from now on, and not somewhere in the first seconds of every copy.
fn restart_watchdog() {
    const SWITCH: &str = "/proc/sys/kernel/soft_watchdog";
    if fs::read_to_string(SWITCH).is_ok_and(|state| state.trim() == "1") {
        for state in ["0", "1"] {
            // At worst copies look sooner.
            _ = fs::write(SWITCH, state);
        }
    }
}

/// Sets the name of the machine, also where a login or a restart of a service would look for it.
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

/// Gives the machine's network cards addresses of their own, each the next one; a machine without a card has none to give.
fn set_macs(mut mac: [u8; 6]) -> io::Result<()> {
    let cards = fs::read_dir("/sys/class/net").into_iter().flatten().flatten();
    // What is no device of the machine's, such as `lo`, has no `device`.
    let cards = cards.filter(|card| card.path().join("device").exists());
    let mut names: Vec<_> = cards.map(|card| card.file_name()).collect();
    names.sort();
    for name in names {
        sys::set_mac(name.as_bytes(), mac)?;
        mac[5] = mac[5].wrapping_add(1);
    }
    Ok(())
}

/// Makes `text` all that the file holds, in its place: emptying a file and finding room for it again is ten times the work, and
/// every copy of a machine does it with cold code.
fn overwrite(path: &Path, text: &str) -> io::Result<()> {
    let mut file = File::options().write(true).create(true).truncate(false).open(path)?;
    file.write_all(text.as_bytes())?;
    let len = text.len() as u64;
    if file.metadata()?.len() > len { file.set_len(len) } else { Ok(()) }
}

/// Mounts the project as the kernel's command line says, if it is not there already: `orca.share=`,
/// `later` for a copy to come.
pub(crate) fn mount_at_boot(agent: &Agent, line: &CommandLine) -> Result<(), String> {
    let to = match line.value("orca.share") {
        None => Share::default(),
        Some("later") => return Ok(()),
        Some(name) => Share::from_name(name).ok_or_else(|| format!("unknown way `{name}`"))?,
    };
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    if mounts.lines().any(|mount| mount.split(' ').nth(4) == Some(SHARE_DIR)) {
        return Ok(());
    }
    mount_share(agent, to)
}
