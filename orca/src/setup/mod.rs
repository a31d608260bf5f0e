//! From a [`Config`] to machines: finds and checks the image, tries the accelerator, makes the folders.
//!
//! Everything that could be wrong with the host or the image is found here, before a test runs, and said in one message.

pub mod boot_files;

use crate::arch::{Accel, Arch};
use crate::cli::config::Config;
use crate::error::{Error, Result};
use crate::events::attempt::Kernel;
use crate::host::logdir;
use crate::host::rundir::RunDir;
use crate::machine::Maker;
use crate::machine::drive::Bounds;
use crate::machine::launch::Launcher;
use crate::machine::local::LocalMaker;
use crate::machine::maker::VmMaker;
use crate::qemu::accel::{self, Choice};
use crate::qemu::argv::Spec;
use crate::qemu::overlay::Overlays;
use crate::qemu::template::Store;
use crate::qemu::{arch, version};
use crate::report::console;
use crate::select::header::NODES;
use agent::wire::Share;
use boot_files::Root;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

/// How long a guest may leave a `PING` unanswered, with hardware virtualisation.
const HUNG: Duration = Duration::from_secs(20);
/// How long a cut test may take to end, with hardware virtualisation: the agent's grace of 2 s, and its clearing up.
const CUT: Duration = Duration::from_secs(10);

/// How long a machine that waits for a debugger may take to boot.
const DEBUGGED: Duration = Duration::from_secs(86_400);

/// What a run works in.
pub struct Lab<M> {
    /// Makes the machines.
    pub maker: M,
    /// Removed when dropped; the machines must be gone by then.
    pub run_dir: RunDir,
    /// Kept.
    pub log_dir: PathBuf,
    /// What timeouts are multiplied by.
    pub factor: f64,
    /// What the machines have, of what tests can require (see [`crate::select::header::NEEDS`]).
    pub has: Vec<&'static str>,
    /// The machines in words.
    pub description: String,
    /// The kernels that every test runs on, where there are several.
    pub kernels: Vec<Kernel>,
    /// What the user should know before the run.
    pub warnings: Vec<String>,
}

/// Machines as the configuration wants them.
///
/// # Errors
/// Whatever is wrong with the host or the image.
pub fn lab(config: &Config) -> Result<Lab<Arc<dyn Maker>>> {
    if config.raw.local {
        return local(config);
    }
    let Lab { maker, run_dir, log_dir, factor, has, description, kernels, warnings } = vms(config)?;
    let maker: Arc<dyn Maker> = Arc::new(maker);
    Ok(Lab { maker, run_dir, log_dir, factor, has, description, kernels, warnings })
}

fn local(config: &Config) -> Result<Lab<Arc<dyn Maker>>> {
    if cfg!(not(target_os = "linux")) {
        let error = Error::new("tests cannot be run on this host itself: the agent is for Linux");
        return Err(error.hint("leave `--machine local` out"));
    }
    let program =
        std::env::current_exe().map_err(|e| Error::io("find", Path::new("/proc/self/exe"), &e))?;
    let factor = config.raw.timeout_factor.unwrap_or(1.0);
    let maker = LocalMaker {
        program,
        project: config.root.clone(),
        bounds: bounds(factor),
        made: AtomicU32::new(0),
    };
    Ok(Lab {
        maker: Arc::new(maker),
        run_dir: RunDir::create()?,
        log_dir: logdir::create(config.raw.log_dir.as_deref(), &config.state, &config.root)?,
        factor,
        has: vec![Arch::HOST.name()],
        description: "this host itself, unprotected".to_owned(),
        kernels: Vec::new(),
        warnings: Vec::new(),
    })
}

/// Virtual machines as the configuration wants them.
///
/// # Errors
/// Whatever is wrong with the host or the image.
pub fn vms(config: &Config) -> Result<Lab<VmMaker>> {
    let raw = &config.raw;
    let arch = raw.arch.unwrap_or(Arch::HOST);
    let program = find_program(raw.qemu.as_deref(), arch)?;
    let version = version::check(&program, &config.cache)?;
    let (kernels, root) = boot_files::find(config, arch)?;
    let kernel = kernels[0].clone(); // there is one at least
    let choice = accelerator(raw.accel, arch, &program, &config.cache)?;
    let factor = raw.timeout_factor.unwrap_or_else(|| accel::timeout_factor(choice.accel));
    let run_dir = RunDir::create()?;
    let log_dir = logdir::create(raw.log_dir.as_deref(), &config.state, &config.root)?;
    let share = raw.share;
    let host_root = root == Root::Host;
    let (rootfs, overlays) = match root {
        Root::Disk(path, format) => {
            let overlays = Overlays::new(&path, format, run_dir.path())?;
            (Some(path), Some(overlays))
        }
        Root::None | Root::Host => (None, None),
    };
    let spec = Spec {
        program,
        arch,
        accel: choice.accel,
        kernel: kernel.kernel,
        initrd: kernel.initrd,
        rootfs,
        host_root,
        modules: kernel.modules,
        own_init: raw.init,
        memory_mib: config.shape.memory_mib,
        cpus: config.shape.cpus,
        share: config.root.clone(),
        share_writable: share == Share::Rw,
        net: config.shape.net,
        wires: 0,
        append: if raw.gdb { with_debugger(raw) } else { raw.append.clone().unwrap_or_default() },
    };
    let description = format!("{arch}, {}, {} MiB", choice.accel.name(), config.shape.memory_mib);
    let blueprint = Launcher {
        overlays,
        spec,
        kernels: kernels.clone(),
        share,
        run_dir: run_dir.path().to_owned(),
        log_dir: log_dir.clone(),
        boot_limit: if raw.gdb { DEBUGGED } else { raw.boot_timeout.mul_f64(factor) },
        bounds: bounds(factor),
        socket: raw.socket.clone(),
        tee: match (raw.console, raw.debug) {
            (true, _) => Some(console::terminal),
            (false, true) => Some(console::console),
            (false, false) => None,
        },
        gdb: raw.gdb,
    };
    let store = (!raw.cold && !raw.gdb).then(|| Store::new(&config.cache));
    let several = kernels.len() > 1;
    let named = raw.kernels.iter().zip(kernels).filter(|_| several);
    let kernels = named.map(|(path, boot)| Kernel { release: boot.release, path: path.clone() });
    let kernels = kernels.collect();
    let warnings = choice
        .fallback
        .map(|why| format!("no hardware virtualisation: {why}; emulating, which is slower"));
    let warnings = warnings.into_iter().collect();
    let nodes = (version >= version::WIRES).then_some(NODES);
    let hardware = choice.accel.is_hardware().then_some("kvm");
    Ok(Lab {
        maker: VmMaker::new(blueprint, store, config.jobs),
        run_dir,
        log_dir,
        factor,
        has: ["vm", arch.name()].into_iter().chain(hardware).chain(nodes).collect(),
        description,
        kernels,
        warnings,
    })
}

/// A debugger finds symbols where the linker put them only without address randomisation.
fn with_debugger(raw: &crate::cli::raw::Raw) -> String {
    format!("nokaslr {}", raw.append.as_deref().unwrap_or_default()).trim_end().to_owned()
}

fn bounds(factor: f64) -> Bounds {
    Bounds { hung: HUNG.mul_f64(factor), cut: CUT.mul_f64(factor) }
}

fn accelerator(wanted: Option<Accel>, arch: Arch, program: &Path, cache: &Path) -> Result<Choice> {
    match wanted {
        None => Ok(accel::choose(arch, program, cache)),
        Some(accel) if accel.is_hardware() && arch != Arch::HOST => {
            let error = format!("{} cannot run {arch} guests on this host", accel.name());
            Err(Error::new(error).hint("leave --accel out, or say --accel tcg"))
        }
        Some(accel) => Ok(Choice { accel, fallback: None }),
    }
}

/// The emulator, as an absolute path.
///
/// # Errors
/// None in PATH, or one that is not executable.
pub fn find_program(given: Option<&Path>, arch: Arch) -> Result<PathBuf> {
    use std::os::unix::fs::PermissionsExt;
    let row = arch::row(arch);
    let name = given.unwrap_or(Path::new(row.program));
    let candidates: Vec<PathBuf> = if name.components().count() > 1 {
        vec![name.to_owned()]
    } else {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).map(|dir| dir.join(name)).collect()
    };
    let found = candidates.iter().find(|path| path.is_file());
    let Some(found) = found else {
        let error = Error::new(format!("there is no `{}`", name.display()));
        return Err(error.hint(format!(
            "install it (Debian, Ubuntu: apt install {}), or name one with --qemu",
            row.package
        )));
    };
    let mode =
        std::fs::metadata(found).map_err(|e| Error::io("read", found, &e))?.permissions().mode();
    if mode & 0o111 == 0 {
        let error = Error::new(format!("`{}` is not executable", found.display()));
        return Err(error.hint("name another emulator with --qemu"));
    }
    std::fs::canonicalize(found).map_err(|e| Error::io("find", found, &e))
}
