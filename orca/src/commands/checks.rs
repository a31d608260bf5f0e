//! Checks of what a run needs of this host. A check that fails keeps no other from being made.
//!
//! Nothing is decided here. Each check calls the function that `orca test` calls, so that the
//! doctor calls nothing bad that a run accepts. That is why this file has no limits of its own.

use crate::arch::{Accel, Arch};
use crate::cli::config::{self, Config};
use crate::cli::raw::Raw;
use crate::error::{Error, Result};
use crate::host::limits::{self, MachineKind};
use crate::host::rundir::{RunDir, SHELL_SOCKET};
use crate::host::tty;
use crate::qemu::template::Store;
use crate::qemu::{arch, overlay, version};
use crate::select::discover::discover;
use crate::setup::boot_files::{self, RootSource};
use crate::setup::emulator::Emulator;
use crate::setup::project as project_share;
use crate::text::count::count;
use agent::wire::Share;
use nix::unistd::{AccessFlags, access};
use std::fs;
use std::os::unix::net::UnixListener;
use std::path::Path;

/// The state of one thing that a run needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// In order.
    Good,
    /// Runs work, but could work better.
    Fair,
    /// No run works.
    Bad,
}

/// The result of one check.
#[derive(Debug)]
pub struct Finding {
    /// The thing that was checked.
    pub what: &'static str,
    /// Its state.
    pub state: Health,
    /// What was found, or what is wrong.
    pub text: String,
    /// What to do about it.
    pub advice: Option<String>,
}

impl Finding {
    /// All is well.
    pub fn good(what: &'static str, text: impl Into<String>) -> Self {
        Self { what, state: Health::Good, text: text.into(), advice: None }
    }

    /// It could be better.
    pub fn fair(what: &'static str, text: impl Into<String>, advice: &str) -> Self {
        let advice = Some(advice.to_owned());
        Self { what, state: Health::Fair, text: text.into(), advice }
    }

    /// It keeps runs from working.
    pub fn bad(what: &'static str, error: &Error) -> Self {
        let advice = error.next_step().map(str::to_owned);
        Self { what, state: Health::Bad, text: error.to_string(), advice }
    }

    /// The same, for something that runs work without.
    fn softened(self) -> Self {
        let state = if self.state == Health::Bad { Health::Fair } else { self.state };
        Self { state, ..self }
    }

    /// Good with the text that was found, or bad.
    fn of(what: &'static str, found: Result<String>) -> Self {
        match found {
            Ok(text) => Self::good(what, text),
            Err(error) => Self::bad(what, &error),
        }
    }
}

/// Makes every check that needs no machine. `complaint` is what is wrong with the settings, if they
/// cannot be used.
pub fn examine(raw: &Raw, complaint: Option<&Error>) -> Vec<Finding> {
    let mut found = vec![settings(complaint)];
    let config = match Config::new(raw.clone()) {
        Ok(config) => config,
        Err(error) => {
            found.extend([Finding::bad("project", &error), terminal()]);
            return found;
        }
    };
    found.push(project(&config));
    if config.raw.local {
        found.push(Finding::good("machine", "this host itself, unprotected"));
    } else {
        found.extend(machines(&config));
    }
    found.push(open_files(&config));
    found.push(cache(&config));
    found.extend(folders(&config));
    found.push(private_folder(&config));
    found.push(terminal());
    found
}

/// What virtual machines are made of.
fn machines(config: &Config) -> Vec<Finding> {
    let mut found = Vec::new();
    let root = boot_files::find_root(config);
    match Emulator::find(config) {
        Ok(emulator) => {
            found.push(emulator_version(&emulator));
            found.push(share(config, &emulator, root.as_ref().ok()));
            found.push(accelerator(config.raw.accel, &emulator));
        }
        Err(error) => found.push(Finding::bad("QEMU", &error)),
    }
    if !matches!(root, Ok(RootSource::None | RootSource::Host)) {
        found
            .push(Finding::of("qemu-img", overlay::check().map(|()| "makes the disks".to_owned())));
    }
    found.extend(kernels(config));
    if let Err(error) = boot_files::find_modules(config) {
        found.push(Finding::bad("modules", &error));
    }
    found.push(Finding::of("root", root.map(|root| root.to_string())));
    found.push(memory(config));
    found
}

fn settings(complaint: Option<&Error>) -> Finding {
    match complaint {
        Some(error) => Finding::bad("settings", error),
        None => Finding::good("settings", "`orca config` shows them"),
    }
}

fn project(config: &Config) -> Finding {
    match discover(&config.root, &[]) {
        Ok(tests) if !tests.is_empty() => Finding::good(
            "project",
            format!("{}, {}", config.root.display(), count(tests.len(), "test")),
        ),
        Ok(_) => Finding::fair(
            "project",
            format!("no tests in {}", config.root.display()),
            "a test is called t/…/NAME_test.sh",
        ),
        Err(error) => {
            let advice = error.next_step().unwrap_or_default();
            Finding::fair("project", error.to_string(), advice)
        }
    }
}

fn emulator_version(emulator: &Emulator) -> Finding {
    let (major, minor) = emulator.version;
    let text = format!("{}, {major}.{minor}", emulator.program.display());
    if emulator.has_wires() {
        return Finding::good("QEMU", text);
    }
    Finding::fair("QEMU", text, "tests with `nodes=` are skipped: they need a newer one")
}

/// How machines get the project, and whether this QEMU can share folders of the host with its
/// guests, if the machines use any.
fn share(config: &Config, emulator: &Emulator, root: Option<&RootSource>) -> Finding {
    const WHAT: &str = "share";
    let (share, text) = match project_share::foresee(config, emulator.arch) {
        Ok(found) => found,
        Err(error) => return Finding::bad(WHAT, &error),
    };
    if matches!(share, Share::Overlay | Share::Ro | Share::Rw) || root == Some(&RootSource::Host) {
        match version::has_shares(&emulator.program) {
            Ok(true) => {}
            Ok(false) => {
                let error = Error::new(format!("{text}; this QEMU has no 9p, which that needs"));
                let package = arch::target(emulator.arch).package;
                return Finding::bad(WHAT, &error.hint(format!("install the full {package}")));
            }
            Err(e) => return Finding::bad(WHAT, &Error::io("run", &emulator.program, &e)),
        }
    }
    match share {
        Share::None => {
            Finding::fair(WHAT, text, "machines do not see the project's tests; `orca run` works")
        }
        Share::Overlay if config.raw.share.is_none() => Finding::fair(
            WHAT,
            text,
            "tests work, but machines cannot be frozen for set-ups and forks, which take longer",
        ),
        _ => Finding::good(WHAT, text),
    }
}

/// The accelerator, tried again: a remembered answer may be out of date.
fn accelerator(wanted: Option<Accel>, emulator: &Emulator) -> Finding {
    let choice = match emulator.accelerator(wanted, None) {
        Ok(choice) => choice,
        Err(error) => return Finding::bad("accelerator", &error),
    };
    let name = choice.accel.name();
    match choice.fallback {
        None if wanted.is_some() => {
            Finding::good("accelerator", format!("{name}, as --accel says"))
        }
        None => Finding::good("accelerator", format!("{name}, tried")),
        Some(why) => Finding::fair(
            "accelerator",
            format!("{name}: {why}"),
            "tests work, several times slower; timeouts are scaled",
        ),
    }
}

/// Each kernel, with its initramfs.
fn kernels(config: &Config) -> Vec<Finding> {
    let arch = config.raw.arch.unwrap_or(Arch::HOST);
    let mut found = Vec::new();
    for path in boot_files::kernel_paths(config, arch) {
        let kernel = boot_files::find_kernel(config, &path, arch);
        let file = kernel.as_ref().map_or(path, Clone::clone);
        let initrd = boot_files::find_initrd(config, arch, &file);
        found.push(Finding::of("kernel", kernel.map(|path| path.display().to_string())));
        found.push(Finding::of("initramfs", initrd.map(|initrd| initrd.to_string())));
    }
    found
}

fn memory(config: &Config) -> Finding {
    let each = config.shape.memory_mib;
    match config::machines_in_memory(each) {
        None => Finding::fair("memory", "unknown on this host", "choose --jobs yourself"),
        Some(0) => Finding::fair(
            "memory",
            format!("not enough is free for a machine of {each} MiB"),
            "free some, or give machines less with --memory",
        ),
        Some(fit) => Finding::good(
            "memory",
            format!(
                "enough is free for {} of {each} MiB; at most {} at once",
                count(fit, "machine"),
                config.jobs
            ),
        ),
    }
}

/// A run has no more workers than tests, so only a limit that is too low for one keeps all from
/// working.
fn for_workers(what: &'static str, jobs: usize, ask: impl Fn(usize) -> Result<()>) -> Finding {
    match (ask(jobs), ask(1)) {
        (Ok(()), _) => Finding::good(what, format!("enough for -j{jobs}")),
        (Err(_), Err(error)) => Finding::bad(what, &error),
        (Err(error), Ok(())) => Finding::bad(what, &error).softened(),
    }
}

fn open_files(config: &Config) -> Finding {
    let kind = if config.raw.local { MachineKind::Local } else { MachineKind::Virtual };
    for_workers("open files", config.jobs, |workers| limits::open_files(workers, kind))
}

/// The cache. Without it runs work, but every machine is booted.
fn cache(config: &Config) -> Finding {
    let entries = Store::new(&config.cache).list();
    let mib: u64 = entries.iter().map(|entry| entry.bytes >> 20).sum();
    let more = format!(", {} of {mib} MiB", count(entries.len(), "template"));
    let finding = folder("cache", &config.cache, &more, "XDG_CACHE_HOME").softened();
    let memory_mib = u64::from(config.shape.memory_mib);
    match limits::free_bytes(existing(&config.cache)) {
        // The memory of a machine is the most that its template takes.
        Some(free) if finding.state == Health::Good && free >> 20 < memory_mib => {
            let advice = "a template may not fit: free some, `orca clean`, or point \
                          XDG_CACHE_HOME elsewhere";
            Finding::fair("cache", finding.text, advice)
        }
        _ => finding,
    }
}

/// The folders that a run writes logs, histories and reports to.
fn folders(config: &Config) -> Vec<Finding> {
    let raw = &config.raw;
    let state = folder("state", &config.state, "", "XDG_STATE_HOME");
    let Some(logs) = &raw.log_dir else {
        return vec![state].into_iter().chain(reports(raw)).collect();
    };
    // Only the history is lost then.
    let found = [state.softened(), folder("logs", logs, "", "--log-dir")];
    found.into_iter().chain(reports(raw)).collect()
}

/// What keeps a report that is asked for from being written.
fn reports(raw: &Raw) -> impl Iterator<Item = Finding> {
    [&raw.json, &raw.junit].into_iter().flatten().filter_map(|path| {
        let parent = path.parent().filter(|parent| *parent != Path::new(""));
        let parent = parent.unwrap_or(Path::new("."));
        let error = access(parent, AccessFlags::W_OK).err()?;
        let error = Error::io("write", path, &error.into());
        Some(Finding::bad("report", &error.hint("name a writable file")))
    })
}

fn existing(dir: &Path) -> &Path {
    dir.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/"))
}

/// Whether files can be made in `dir`, which `setting` names, and how much room there is. What this
/// makes is removed again.
fn folder(what: &'static str, dir: &Path, more: &str, setting: &str) -> Finding {
    let there = existing(dir);
    match nix::unistd::mkdtemp(&there.join(".orca-doctor-XXXXXX")) {
        Ok(path) => drop(fs::remove_dir(path)),
        Err(e) => {
            let error = Error::io("write to", there, &e.into());
            let hint = format!("point {setting} at a writable folder");
            return Finding::bad(what, &error.hint(hint));
        }
    }
    let free = limits::free_bytes(there).map(|bytes| format!("; {} MiB free", bytes >> 20));
    Finding::good(what, format!("{}{more}{}", dir.display(), free.unwrap_or_default()))
}

/// Whether a run's private folder can be made, with room for the disks of its machines and with
/// their sockets.
fn private_folder(config: &Config) -> Finding {
    const WHAT: &str = "private folder";
    let dir = match RunDir::create() {
        Ok(dir) => dir,
        Err(error) => return Finding::bad(WHAT, &error),
    };
    if !config.raw.local {
        let room = |workers| limits::room_for_disks(dir.path(), workers);
        let disks = for_workers(WHAT, config.jobs, room);
        if disks.state != Health::Good {
            return disks;
        }
    }
    let socket = dir.path().join("vm10000").with_extension(SHELL_SOCKET);
    match UnixListener::bind(&socket) {
        Ok(_) => Finding::good(WHAT, format!("sockets and disks in {}", base(dir.path()))),
        Err(e) => Finding::bad(
            WHAT,
            &Error::io("make", &socket, &e).hint("point TMPDIR at a short path on a local disk"),
        ),
    }
}

fn base(dir: &Path) -> String {
    dir.parent().unwrap_or(dir).display().to_string()
}

fn terminal() -> Finding {
    match tty::size(&tty::output()) {
        Some((columns, rows)) => Finding::good("terminal", format!("{columns} by {rows}")),
        None => Finding::good("terminal", "none: plain lines, no --shell-on-fail"),
    }
}
