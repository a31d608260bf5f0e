//! From a [`Config`] to machines: finds and checks the emulator and the image, tries the
//! accelerator, makes the folders.
//!
//! Whatever is wrong with the host or the image is found here, before a test runs, and reported in
//! one message.

pub mod boot_files;
pub mod emulator;
pub mod project;

use crate::arch::{Accel, Arch};
use crate::cli::config::Config;
use crate::cli::raw::Raw;
use crate::error::{Error, Result};
use crate::events::attempt::Kernel;
use crate::host::rundir::RunDir;
use crate::host::{logdir, sys};
use crate::image::custom_kernel::KernelFiles;
use crate::image::leaving;
use crate::image::project::ProjectImage;
use crate::machine::Maker;
use crate::machine::drive::GuestTimeouts;
use crate::machine::launch::Launcher;
use crate::machine::layers::ProjectDisk;
use crate::machine::local::LocalMaker;
use crate::machine::maker::VmMaker;
use crate::qemu::accel;
use crate::qemu::argv::{PROJECT_DISK_BYTES, Project, Spec};
use crate::qemu::overlay::Overlays;
use crate::qemu::template::Store;
use crate::report::console;
use crate::select::header::NODES;
use agent::wire::Share;
use boot_files::{BootFiles, Root};
use emulator::Emulator;
use project::ProjectShare;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

/// How long a guest may leave a `PING` unanswered, with hardware virtualisation.
const HUNG: Duration = Duration::from_secs(20);
/// How long a cut test may take to end, with hardware virtualisation: the agent's grace of 2 s, and
/// its clearing up.
const CUT: Duration = Duration::from_secs(10);
/// How long a machine that waits for a debugger may take to boot.
const DEBUGGED: Duration = Duration::from_secs(86_400);

/// The maker of a run's machines, the folders of the run, and what is known before it.
pub struct Lab<M> {
    /// Makes the machines.
    pub maker: M,
    /// The private folder: removed when dropped; the machines must be gone by then.
    pub run_dir: RunDir,
    /// The log folder: it stays.
    pub log_dir: PathBuf,
    /// What timeouts are multiplied by.
    pub factor: f64,
    /// Whether a machine can be frozen in the middle of its work, for set-ups and forks.
    pub freezes: bool,
    /// The words of [`crate::select::header::NEEDS`] that the machines satisfy.
    pub has: Vec<&'static str>,
    /// The machines in words.
    pub description: String,
    /// The kernels that every test runs on, if there are several.
    pub kernels: Vec<Kernel>,
    /// Warnings for the user before the run.
    pub warnings: Vec<String>,
}

/// The machines that the configuration asks for, of either kind.
///
/// # Errors
/// What is wrong with the host or the image.
pub fn lab(config: &Config) -> Result<Lab<Arc<dyn Maker>>> {
    if config.raw.local {
        return local(config);
    }
    let lab = vms(config)?;
    let Lab { run_dir, log_dir, factor, freezes, has, description, kernels, warnings, .. } = lab;
    let maker: Arc<dyn Maker> = Arc::new(lab.maker);
    Ok(Lab { maker, run_dir, log_dir, factor, freezes, has, description, kernels, warnings })
}

/// This host itself as the only machine.
fn local(config: &Config) -> Result<Lab<Arc<dyn Maker>>> {
    if !sys::IS_LINUX {
        let error = Error::new("tests cannot be run on this host itself: the agent is for Linux");
        return Err(error.hint("leave `--machine local` out"));
    }
    let program =
        std::env::current_exe().map_err(|e| Error::io("find", Path::new("/proc/self/exe"), &e))?;
    let factor = config.raw.timeout_factor.unwrap_or(1.0);
    let maker = LocalMaker {
        program,
        project: config.root.clone(),
        timeouts: timeouts(factor),
        made: AtomicU32::new(0),
    };
    Ok(Lab {
        maker: Arc::new(maker),
        run_dir: RunDir::create()?,
        log_dir: log_dir(config)?,
        factor,
        freezes: false,
        has: vec![Arch::HOST.name()],
        description: "this host itself, unprotected".to_owned(),
        kernels: Vec::new(),
        warnings: Vec::new(),
    })
}

/// Virtual machines.
///
/// # Errors
/// What is wrong with the host or the image.
pub fn vms(config: &Config) -> Result<Lab<VmMaker>> {
    let raw = &config.raw;
    let emulator = Emulator::find(config)?;
    let project = project::resolve(config, emulator.arch)?;
    let files = boot_files::resolve(config, emulator.arch, project.share)?;
    let choice = emulator.accelerator(raw.accel, Some(&config.cache))?;
    let factor = raw.timeout_factor.unwrap_or_else(|| accel::timeout_factor(choice.accel));
    let run_dir = RunDir::create()?;
    let log_dir = log_dir(config)?;
    let spec = spec(config, &emulator, choice.accel, (&files, &project));
    let description = describe(config, &emulator, choice.accel, &project);
    let is_disk = project.share == Share::Disk;
    let launcher = launcher(config, spec, (&files, project), (run_dir.path(), &log_dir), factor)?;
    let store = (!raw.cold && !raw.gdb).then(|| Store::new(&config.cache));
    // A guest that has mounted a folder of the host cannot be frozen.
    let freezes = is_disk && !(raw.cold || raw.reuse || raw.gdb || files.root == Root::Host);
    Ok(Lab {
        maker: VmMaker::new(launcher, store, config.jobs, freezes),
        run_dir,
        log_dir,
        factor,
        freezes,
        has: has(&emulator, choice.accel),
        description,
        kernels: matrix(config, &files),
        warnings: choice.warning().into_iter().collect(),
    })
}

fn log_dir(config: &Config) -> Result<PathBuf> {
    logdir::create(config.raw.log_dir.as_deref(), &config.state, &config.root)
}

/// The spec of the machines. They boot the first kernel unless a test is for another.
fn spec(
    config: &Config,
    emulator: &Emulator,
    accel: Accel,
    (files, project): (&BootFiles, &ProjectShare),
) -> Spec {
    let raw = &config.raw;
    let first = files.kernels[0].clone(); // there is one at least
    let rootfs = match &files.root {
        Root::Disk(path, _) => Some(path.clone()),
        Root::None | Root::Host => None,
    };
    Spec {
        program: emulator.program.clone(),
        arch: emulator.arch,
        accel,
        kernel: first.kernel,
        initrd: first.initrd,
        rootfs,
        host_root: files.root == Root::Host,
        modules: first.modules,
        own_init: raw.init,
        memory_mib: config.shape.memory_mib,
        cpus: config.shape.cpus,
        project: match project.share {
            Share::Disk => Project::Disk,
            share => Project::Folder { path: config.root.clone(), writable: share == Share::Rw },
        },
        net: config.shape.net,
        wired_cards: 0,
        append: append(raw, project.share),
    }
}

/// More words for the kernel's command line. A debugger finds symbols where the linker put them
/// only without address randomisation. Behind a person's console no host mounts the project.
fn append(raw: &Raw, share: Share) -> String {
    let console = format!("orca.share={} orca.console=shell loglevel=7", share.name());
    let words =
        [raw.console.then_some(&console[..]), raw.gdb.then_some("nokaslr"), raw.append.as_deref()];
    words.into_iter().flatten().collect::<Vec<_>>().join(" ")
}

/// What the machines have in common; `dirs` are the private folder and the log folder.
fn launcher(
    config: &Config,
    spec: Spec,
    (files, project): (&BootFiles, ProjectShare),
    dirs: (&Path, &Path),
    factor: f64,
) -> Result<Launcher> {
    let raw = &config.raw;
    let (run_dir, log_dir) = dirs;
    let root = match &files.root {
        Root::Disk(path, format) => Some((path.clone(), (*format).to_owned())),
        Root::None | Root::Host => None,
    };
    let over = |(path, format): &(PathBuf, String)| Overlays::new(path, format, run_dir);
    let project_disk = |image: ProjectImage| {
        let overlays = Overlays::sized(&image.path, "raw", Some(PROJECT_DISK_BYTES), run_dir)?;
        Ok::<_, Error>(ProjectDisk { image, root: config.root.clone(), overlays })
    };
    fs::create_dir_all(&config.cache).map_err(|e| Error::io("create", &config.cache, &e))?;
    Ok(Launcher {
        overlays: root.as_ref().map(over).transpose()?,
        root,
        project: project.image.map(project_disk).transpose()?,
        spool: config.cache.clone(),
        spec,
        kernels: files.kernels.clone(),
        share: project.share,
        run_dir: run_dir.to_owned(),
        log_dir: log_dir.to_owned(),
        boot_limit: if raw.gdb { DEBUGGED } else { config.raw.boot_timeout.mul_f64(factor) },
        timeouts: timeouts(factor),
        socket: raw.socket.clone(),
        tee: match (raw.console, raw.debug) {
            (true, _) => Some(console::terminal),
            (false, true) => Some(console::console),
            (false, false) => None,
        },
        gdb: raw.gdb,
    })
}

fn timeouts(factor: f64) -> GuestTimeouts {
    GuestTimeouts { ping: HUNG.mul_f64(factor), cut: CUT.mul_f64(factor) }
}

/// The requirements of tests that the machines satisfy.
fn has(emulator: &Emulator, accel: Accel) -> Vec<&'static str> {
    let hardware = accel.is_hardware().then_some("kvm");
    let nodes = emulator.has_wires().then_some(NODES);
    ["vm", emulator.arch.name()].into_iter().chain(hardware).chain(nodes).collect()
}

fn describe(config: &Config, emulator: &Emulator, accel: Accel, project: &ProjectShare) -> String {
    let (arch, mib) = (emulator.arch, config.shape.memory_mib);
    format!("{arch}, {}, {mib} MiB; {}", accel.name(), project.description)
}

/// A warning about what leads out of the project, and so to nothing in the guest.
pub fn leaving(config: &Config) -> Option<String> {
    let raw = &config.raw;
    let seen = !raw.local && raw.share != Some(Share::None);
    let host_root = raw.rootfs.as_deref() == Some(Path::new("host"));
    seen.then(|| leaving::leaving(&config.root, host_root))
        .and_then(|found| leaving::warning(&found))
}

/// The kernels that every test runs on, if there are several.
fn matrix(config: &Config, files: &BootFiles) -> Vec<Kernel> {
    if files.kernels.len() == 1 {
        return Vec::new();
    }
    let named = config.raw.kernels.iter().zip(&files.kernels);
    let kernel = |(path, kernel): (&PathBuf, &KernelFiles)| Kernel {
        release: kernel.release.clone().unwrap_or_default(),
        path: path.clone(),
    };
    named.map(kernel).collect()
}
