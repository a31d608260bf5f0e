//! What a run needs of this host, looked at one by one, each on its own: what is missing keeps nothing else from being looked at.

use crate::arch::{Accel, Arch};
use crate::cli::config::{self, Config};
use crate::cli::raw::Raw;
use crate::error::{Error, Result};
use crate::image::files;
use crate::qemu::template::Store;
use crate::qemu::{accel, arch, process};
use crate::select::discover::discover;
use crate::setup;
use nix::sys::resource::{Resource, getrlimit};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The oldest QEMU that orca is tried with, major and minor.
const QEMU_MIN: (u32, u32) = (7, 2);
/// What a template and a few runs need of a disk, in MiB.
const SPACE_MIN_MIB: u64 = 1024;
/// Open files that each machine needs of orca, and what orca needs besides.
const FILES_PER_MACHINE: u64 = 24;
const FILES_BASE: u64 = 64;

/// How it stands with one thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// In order.
    Good,
    /// Runs work, and could do better.
    Fair,
    /// No run works.
    Bad,
}

/// One thing that was looked at.
#[derive(Debug)]
pub struct Finding {
    /// What.
    pub what: &'static str,
    /// How it stands.
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
}

/// Looks at everything that needs no machine.
pub fn examine(raw: &Raw, complaint: Option<&Error>) -> Vec<Finding> {
    let mut found = vec![settings(complaint)];
    let config = Config::new(raw.clone());
    found.push(project(config.as_ref()));
    let arch = raw.arch.unwrap_or(Arch::HOST);
    let program = setup::find_program(raw.qemu.as_deref(), arch);
    found.extend(qemu(program.as_deref(), arch));
    found.push(qemu_img());
    if let Ok(program) = &program {
        found.push(accelerator(raw.accel, arch, program));
    }
    if let Ok(config) = &config {
        found.extend(image(config, arch));
        found.push(memory(config));
        found.push(open_files(config.jobs));
        found.push(folder("cache", &config.cache, &templates(&config.cache)));
        found.push(folder("state", &config.state, ""));
    }
    found.push(sockets());
    found.push(terminal());
    found
}

fn settings(complaint: Option<&Error>) -> Finding {
    match complaint {
        Some(error) => Finding::bad("settings", error),
        None => Finding::good("settings", "`orca config` shows them"),
    }
}

fn project(config: Result<&Config, &Error>) -> Finding {
    let config = match config {
        Ok(config) => config,
        Err(error) => return Finding::bad("project", error),
    };
    match discover(&config.root, &[]) {
        Ok(tests) if !tests.is_empty() => {
            Finding::good("project", format!("{}, {} tests", config.root.display(), tests.len()))
        }
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

fn qemu(program: Result<&Path, &Error>, arch: Arch) -> Vec<Finding> {
    let program = match program {
        Ok(program) => program,
        Err(error) => return vec![Finding::bad("QEMU", error)],
    };
    let Some(version) = process::version(program) else {
        let text = format!("`{}` does not say its version", program.display());
        let advice = "name another emulator with --qemu";
        return vec![Finding { state: Health::Bad, ..Finding::fair("QEMU", text, advice) }];
    };
    let text = format!("{}, {version}", program.display());
    let mut parts = version.split('.').map(|part| part.parse().unwrap_or(0));
    let (major, minor) = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
    let mut found = vec![if (major, minor) < QEMU_MIN {
        let advice = format!("{}.{} is the oldest that is tried", QEMU_MIN.0, QEMU_MIN.1);
        Finding::fair("QEMU", text, &advice)
    } else {
        Finding::good("QEMU", text)
    }];
    let devices = Command::new(program).args(["-device", "help"]).output();
    let devices = devices.map(|out| String::from_utf8_lossy(&out.stdout).into_owned());
    let has = |name: &str| devices.as_ref().is_ok_and(|text| text.contains(&format!("\"{name}\"")));
    found.push(if has("virtio-9p-pci") {
        Finding::good("share", "this QEMU has 9p")
    } else {
        let error = Error::new("this QEMU has no 9p, by which machines see the project");
        Finding::bad("share", &error.hint(format!("install the full {}", arch::row(arch).package)))
    });
    found
}

fn qemu_img() -> Finding {
    match Command::new("qemu-img").arg("--version").output() {
        Ok(out) if out.status.success() => Finding::good("qemu-img", "makes the disks"),
        Ok(_) => Finding::bad("qemu-img", &Error::new("`qemu-img --version` fails")),
        Err(e) => {
            let error = Error::new(format!("cannot run `qemu-img`: {}", crate::error::plain(&e)));
            let hint = "install qemu-utils (Debian, Ubuntu) or qemu-img (Fedora, Alpine)";
            Finding::bad("qemu-img", &error.hint(hint))
        }
    }
}

/// Tried anew, not remembered.
fn accelerator(wanted: Option<Accel>, arch: Arch, program: &Path) -> Finding {
    if let Some(accel) = wanted {
        return Finding::good("accelerator", format!("{}, as --accel says", accel.name()));
    }
    let choice = accel::choose(arch, program, Path::new("/dev/null/nowhere"));
    let name = choice.accel.name();
    match choice.fallback {
        None => Finding::good("accelerator", format!("{name}, tried")),
        Some(why) => Finding::fair(
            "accelerator",
            format!("{name}: {why}"),
            "tests work, several times slower; timeouts are scaled",
        ),
    }
}

fn image(config: &Config, arch: Arch) -> Vec<Finding> {
    let raw = &config.raw;
    let file = |given: &Option<PathBuf>, names: &[&str]| {
        given.clone().unwrap_or_else(|| config.image_file(names))
    };
    let show = |what: &'static str, path: &Path, checked: Result<()>| match checked {
        Ok(()) => Finding::good(what, path.display().to_string()),
        Err(error) => Finding::bad(what, &error),
    };
    let kernel = file(&raw.kernels.first().cloned(), arch::row(arch).kernels);
    let initrd = file(&raw.initrd, &["initramfs"]);
    let rootfs = file(&raw.rootfs, &["rootfs.ext4"]);
    vec![
        show("kernel", &kernel, files::check_kernel(&kernel, arch)),
        show("initramfs", &initrd, files::check_initrd(&initrd)),
        if rootfs == Path::new("none") || rootfs == Path::new("host") || rootfs.is_dir() {
            Finding::good("root", format!("{}, as --rootfs says", rootfs.display()))
        } else {
            show("root disk", &rootfs, files::rootfs_format(&rootfs).map(|_| ()))
        },
    ]
}

fn memory(config: &Config) -> Finding {
    let Some(available) = crate::host::sys::available_mib() else {
        return Finding::fair("memory", "unknown on this host", "choose --jobs yourself");
    };
    let each = config::machine_mib(config.shape.memory_mib);
    let fit = available / each;
    let text =
        format!("{available} MiB are free, {fit} machines of {} MiB", config.shape.memory_mib);
    match fit {
        0 => Finding::bad(
            "memory",
            &Error::new(text).hint("free some, or give machines less with --memory"),
        ),
        _ => Finding::good("memory", format!("{text}; {} run at once", config.jobs)),
    }
}

fn open_files(jobs: usize) -> Finding {
    let needed = FILES_BASE + FILES_PER_MACHINE * 2 * jobs as u64;
    match getrlimit(Resource::RLIMIT_NOFILE) {
        Ok((soft, _)) if soft < needed => Finding::fair(
            "open files",
            format!("at most {soft}, and {jobs} machines want {needed}"),
            "raise it: ulimit -n 4096",
        ),
        Ok((soft, _)) => Finding::good("open files", format!("at most {soft}")),
        Err(e) => Finding::fair("open files", e.desc(), "nothing, most likely"),
    }
}

fn templates(cache: &Path) -> String {
    let entries = Store::new(cache).list();
    let mib: u64 = entries.iter().map(|entry| entry.bytes >> 20).sum();
    let plural = if entries.len() == 1 { "" } else { "s" };
    format!(", {} template{plural} of {mib} MiB", entries.len())
}

/// Whether files can be made in `dir`, and for how many there is room. Nothing stays there that was not there.
fn folder(what: &'static str, dir: &Path, more: &str) -> Finding {
    let there = dir.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/"));
    let made = nix::unistd::mkdtemp(&there.join(".orca-doctor-XXXXXX"));
    let variable = if what == "cache" { "XDG_CACHE_HOME" } else { "XDG_STATE_HOME" };
    match made {
        Ok(path) => drop(fs::remove_dir(path)),
        Err(e) => {
            let error = Error::io("write to", there, &e.into());
            let hint = format!("point {variable} at a writable folder");
            return Finding::bad(what, &error.hint(hint));
        }
    }
    let free = crate::host::limits::free_bytes(there).map(|bytes| bytes >> 20);
    let text = format!("{}{more}", dir.display());
    match free {
        Some(mib) if mib < SPACE_MIN_MIB => Finding::fair(
            what,
            format!("{text}; only {mib} MiB are free"),
            &format!("free some, `orca clean`, or point {variable} elsewhere"),
        ),
        Some(mib) => Finding::good(what, format!("{text}; {mib} MiB free")),
        None => Finding::good(what, text),
    }
}

fn sockets() -> Finding {
    match crate::host::rundir::RunDir::create() {
        Ok(dir) => {
            let path = dir.path().join("vm10000.shell");
            let bound = std::os::unix::net::UnixListener::bind(&path);
            match bound {
                Ok(_) => Finding::good("sockets", format!("in {}", dir.path().display())),
                Err(e) => Finding::bad(
                    "sockets",
                    &Error::io("make", &path, &e)
                        .hint("point TMPDIR at a short path on a local disk"),
                ),
            }
        }
        Err(error) => Finding::bad("sockets", &error),
    }
}

fn terminal() -> Finding {
    let size = crate::host::tty::size(&crate::host::tty::output());
    match size {
        Some((columns, rows)) => Finding::good("terminal", format!("{columns} by {rows}")),
        None => Finding::good("terminal", "none: plain lines, no --shell-on-fail"),
    }
}
