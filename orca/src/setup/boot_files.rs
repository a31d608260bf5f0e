//! What machines start on: the kernels that the configuration names, each with its initramfs and
//! its modules, and the root.
//!
//! Every command goes the same way: [`kernel_paths`], [`find_kernel`], [`find_initrd`] and
//! [`find_root`] find and check files and make nothing; [`resolve`] calls each of them and makes
//! what has to be made. `orca doctor` calls the first four only.

use crate::arch::Arch;
use crate::cli::config::Config;
use crate::error::{Error, Result};
use crate::image::artifacts::{ArtifactCache, Key};
use crate::image::check::{self, Origin};
use crate::image::custom_kernel::{self, KernelFiles, KernelSource};
use crate::image::ext4::{self, Purpose};
use crate::image::fingerprint::Fingerprint;
use crate::image::format::DiskFormat;
use crate::image::initramfs;
use crate::image::requirements::Needs;
use crate::qemu::arch;
use agent::wire::Share;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

/// The name of the initramfs in an image, beside the kernel.
pub const IMAGE_INITRD: &str = "initramfs";
/// The name of the root disk in an image.
pub const IMAGE_ROOT: &str = "rootfs.ext4";
/// The name of the folder of modules in an image.
const IMAGE_MODULES: &str = "modules";
/// The names of the static agent's file, best first.
const AGENT: [&str; 2] = ["agent", "toolbox-linux"];

/// What the machines of a run start on, complete and checked.
#[derive(Clone, Debug)]
pub struct BootFiles {
    /// The files of each kernel that the configuration names: at least one. If there are several,
    /// each has a release.
    pub kernels: Vec<KernelFiles>,
    /// The root of all machines.
    pub root: Root,
}

/// The root of a guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Root {
    /// None: the guest stays in its initramfs.
    None,
    /// A disk, and QEMU's name for its format.
    Disk(PathBuf, &'static str),
    /// This host's own root. What a machine writes stays in the machine's memory.
    Host,
}

/// A root that was found and checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RootSource {
    /// None: `--rootfs none`.
    None,
    /// This host's own: `--rootfs host`.
    Host,
    /// A disk that machines can use as it is.
    Disk(PathBuf, DiskFormat),
    /// A folder, from which a disk is made.
    Folder(PathBuf),
    /// A tar archive, from which a disk is made.
    Archive(PathBuf),
}

impl fmt::Display for RootSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none: machines stay in their initramfs"),
            Self::Host => f.write_str("this host's own, read-only under a tmpfs"),
            Self::Disk(path, _) => write!(f, "{}", path.display()),
            Self::Folder(path) => write!(f, "{}, from which a disk is made", path.display()),
            Self::Archive(path) => write!(f, "{}, from which a disk is made", path.display()),
        }
    }
}

/// The initramfs of a kernel, found and checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InitrdSource {
    /// A file that is ready.
    File(PathBuf),
    /// None: one is made from the static agent in this file and the kernel's modules.
    Agent(PathBuf),
}

impl fmt::Display for InitrdSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Agent(path) => write!(f, "made for the kernel from {}", path.display()),
        }
    }
}

/// Finds and checks everything that the configuration names, and makes what has to be made.
///
/// # Errors
/// A kernel, an initramfs or a root that cannot be read or used.
pub fn resolve(config: &Config, arch: Arch, share: Share) -> Result<BootFiles> {
    let named = kernel_paths(config, arch);
    let paths =
        named.iter().map(|path| find_kernel(config, path, arch)).collect::<Result<Vec<_>>>()?;
    let source = find_root(config)?;
    let cache = ArtifactCache::new(&config.cache);
    let root = make_root(&cache, source)?;
    let needs = needs(share, &root);
    let each = paths.iter().map(|path| kernel_files(config, &cache, arch, (&root, needs), path));
    let mut kernels = each.collect::<Result<Vec<_>>>()?;
    if kernels.len() > 1 {
        tell_apart(&mut kernels, &named)?;
    }
    Ok(BootFiles { kernels, root })
}

/// The kernels that the configuration names: files, or folders that one was built in. If it names
/// none, the kernel of the image; or the host's own kernel, if the root is the host's own and there
/// is no image.
pub fn kernel_paths(config: &Config, arch: Arch) -> Vec<PathBuf> {
    let named = &config.raw.kernels;
    if !named.is_empty() {
        return named.to_vec();
    }
    let built = config.image_file(arch::target(arch).kernels);
    let is_host = config.raw.rootfs.as_deref() == Some(Path::new("host")) && arch == Arch::HOST;
    let own = if is_host && !built.exists() { host_kernel() } else { None };
    vec![own.unwrap_or(built)]
}

/// The files of the image, whether or not they are there.
pub fn image_files(config: &Config, arch: Arch) -> Vec<PathBuf> {
    let names = arch::target(arch).kernels.iter().chain(&[IMAGE_INITRD, IMAGE_ROOT, IMAGE_MODULES]);
    let dirs = [Arch::X86_64, Arch::Aarch64].map(|arch| arch.name());
    let build = config.root.join("build");
    let folders = dirs.iter().map(|dir| build.join(dir)).chain([build.clone()]);
    folders.flat_map(|dir| names.clone().map(move |name| dir.join(name))).collect()
}

/// The kernel that this host runs on, where distributions keep it.
fn host_kernel() -> Option<PathBuf> {
    let release = nix::sys::utsname::uname().ok()?.release().to_string_lossy().into_owned();
    let places = [format!("/boot/vmlinuz-{release}"), format!("/lib/modules/{release}/vmlinuz")];
    places.into_iter().map(PathBuf::from).find(|path| path.exists())
}

fn origin(is_named: bool) -> Origin {
    if is_named { Origin::Named } else { Origin::Image }
}

/// The file of the kernel that `path` names, checked.
///
/// # Errors
/// It cannot be read, or is no kernel that QEMU can start for `arch`.
pub fn find_kernel(config: &Config, path: &Path, arch: Arch) -> Result<PathBuf> {
    let file = custom_kernel::locate(path, arch)?;
    let is_named = config.raw.kernels.iter().any(|named| named == path);
    check::kernel(&file, arch, origin(is_named))?;
    Ok(file)
}

/// The initramfs for the kernel at `path`: the one that is named, or the one of the kernel's image,
/// or an agent to make one from.
///
/// # Errors
/// It cannot be used, or there is neither an initramfs nor an agent.
pub fn find_initrd(config: &Config, arch: Arch, path: &Path) -> Result<InitrdSource> {
    let beside = image_of(path, arch).map(|dir| dir.join(IMAGE_INITRD));
    let beside = beside.filter(|initrd| initrd.exists());
    if let Some(initrd) = config.raw.initrd.clone().or(beside) {
        check::initrd(&initrd, origin(config.raw.initrd.is_some()))?;
        return Ok(InitrdSource::File(absolute(&initrd)));
    }
    let agent = config.image_file(&AGENT);
    initramfs::check_agent(&agent)?;
    Ok(InitrdSource::Agent(agent))
}

/// The root that the configuration names, or that of the image.
///
/// # Errors
/// It cannot be read, or cannot be a root.
pub fn find_root(config: &Config) -> Result<RootSource> {
    let path = match &config.raw.rootfs {
        Some(path) if path == Path::new("none") => return Ok(RootSource::None),
        Some(path) if path == Path::new("host") && config.raw.init => {
            return Err(Error::new("--init own would start this host's services in the guest")
                .hint("leave --init out, or name another root"));
        }
        Some(path) if path == Path::new("host") => return Ok(RootSource::Host),
        Some(path) => path.clone(),
        None => config.image_file(&[IMAGE_ROOT]),
    };
    if path.is_dir() {
        let dir = absolute(&path);
        if dir == Path::new("/") {
            return Err(Error::new("`/` is this host's own root").hint("say --rootfs host"));
        }
        ext4::check_root(&dir, &dir)?;
        return Ok(RootSource::Folder(dir));
    }
    if check::is_archive(&path) {
        return Ok(RootSource::Archive(path));
    }
    let format = check::disk(&path, origin(config.raw.rootfs.is_some()))?;
    Ok(RootSource::Disk(absolute(&path), format))
}

/// Makes a disk of a folder or an archive. A folder could be shared instead of copied, but then
/// every guest would read every file through the host, and no template could hold it.
fn make_root(cache: &ArtifactCache, source: RootSource) -> Result<Root> {
    let disk = match source {
        RootSource::None => return Ok(Root::None),
        RootSource::Host => return Ok(Root::Host),
        RootSource::Disk(path, format) => return Ok(Root::Disk(path, format.name())),
        RootSource::Folder(dir) => {
            let fingerprint = Fingerprint::of(&dir)?;
            let make = |out: &Path| ext4::from_folder(&dir, &fingerprint, Purpose::Root, out);
            cache.file("rootfs", &Key::new().with(fingerprint.digest), make)?
        }
        RootSource::Archive(path) => {
            cache.file("rootfs", &Key::new().file(&path)?, |out| ext4::from_tar(&path, out))?
        }
    };
    Ok(Root::Disk(disk, "raw"))
}

/// The folder of modules that the configuration names, if it names one.
///
/// # Errors
/// It is not there, or is no folder.
pub fn find_modules(config: &Config) -> Result<Option<&Path>> {
    let Some(dir) = config.raw.modules.as_deref() else { return Ok(None) };
    fs::read_dir(dir).map_err(|e| {
        Error::io("read", dir, &e).hint("--modules takes the folder of a kernel's modules")
    })?;
    Ok(Some(dir))
}

fn kernel_files(
    config: &Config,
    cache: &ArtifactCache,
    arch: Arch,
    (root, needs): (&Root, Needs),
    path: &Path,
) -> Result<KernelFiles> {
    let named = find_modules(config)?;
    let initrd = match find_initrd(config, arch, path)? {
        InitrdSource::File(initrd) => initrd,
        InitrdSource::Agent(agent) => {
            let kernel = absolute(path);
            let source = KernelSource { kernel: &kernel, modules: named, agent: &agent, needs };
            return custom_kernel::prepare(cache, &source);
        }
    };
    let image = image_of(path, arch);
    let other_root = image.filter(|_| config.raw.initrd.is_none() && !is_own(path, root));
    let modules = named.map(Path::to_owned).or_else(|| image_modules(other_root?));
    let modules = modules.map(|dir| custom_kernel::modules_disk(cache, &dir)).transpose()?;
    // A single kernel needs no release, which would have to be found in 60 MB.
    Ok(KernelFiles { kernel: absolute(path), initrd, modules, release: None })
}

/// Gives each of several kernels its release, and refuses two kernels of the same release.
fn tell_apart(kernels: &mut [KernelFiles], named: &[PathBuf]) -> Result<()> {
    for kernel in kernels.iter_mut().filter(|kernel| kernel.release.is_none()) {
        kernel.release = Some(custom_kernel::release_of(&kernel.kernel)?);
    }
    for (at, kernel) in kernels.iter().enumerate() {
        if let Some(twin) = kernels[..at].iter().position(|other| other.release == kernel.release) {
            let (one, two) = (named[twin].display(), named[at].display());
            let release = kernel.release.as_deref().unwrap_or_default();
            return Err(Error::new(format!("`{one}` and `{two}` are both {release}"))
                .hint("leave one out: results of kernels of the same release look the same"));
        }
    }
    Ok(())
}

/// Refuses several kernels, which are for `orca test` alone.
///
/// # Errors
/// More than one.
pub fn only_one(config: &Config) -> Result<()> {
    if config.raw.kernels.len() <= 1 {
        return Ok(());
    }
    Err(Error::new("several kernels are for `orca test` only").hint("name one --kernel"))
}

/// The features of a kernel that the machines of a run use.
fn needs(share: Share, root: &Root) -> Needs {
    let is_folder = matches!(share, Share::Overlay | Share::Ro | Share::Rw);
    Needs {
        disk: matches!(root, Root::Disk(..)) || share == Share::Disk,
        shares: is_folder || *root == Root::Host,
        overlay: share == Share::Overlay || *root == Root::Host,
    }
}

/// The folder of the image that the kernel at `path` belongs to, going by the kernel's name.
fn image_of(path: &Path, arch: Arch) -> Option<&Path> {
    let is_named = |name: &&str| path.file_name().is_some_and(|own| own == *name);
    arch::target(arch).kernels.iter().any(is_named).then(|| path.parent())?
}

/// Whether the root and the kernel belong to the same image: then the root has the modules.
fn is_own(kernel: &Path, root: &Root) -> bool {
    match root {
        Root::None => true,
        Root::Host => false,
        Root::Disk(disk, _) => absolute(kernel).parent() == disk.parent(),
    }
}

/// The modules of the image in `dir`: the one folder there.
fn image_modules(dir: &Path) -> Option<PathBuf> {
    let entries = fs::read_dir(dir.join(IMAGE_MODULES)).ok()?;
    entries.flatten().map(|entry| entry.path()).find(|path| path.is_dir())
}

fn absolute(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}
