//! What machines start on: the kernels that the configuration names, each with its initramfs and its modules, and the root.

use crate::arch::Arch;
use crate::cli::config::Config;
use crate::error::{Error, Result};
use crate::image::cache::{ArtifactCache, Key};
use crate::image::custom_kernel::{self, Boot, KernelSource};
use crate::image::ext4::{self, Purpose};
use crate::image::files;
use crate::image::fingerprint::Fingerprint;
use crate::image::requirements::Needs;
use crate::qemu::arch;
use agent::wire::Share;
use std::path::{Path, PathBuf};

/// What is beside the kernel of an image that `scripts/build-image.sh` made.
const IMAGE_INITRD: &str = "initramfs";
const IMAGE_MODULES: &str = "modules";

/// Where a guest's root comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Root {
    /// It stays in its initramfs.
    None,
    /// A disk, in the format that QEMU calls so.
    Disk(PathBuf, &'static str),
    /// This host's own root, over which a machine writes to its memory.
    Host,
}

/// What each of the kernels that the configuration names starts on, one at least, and the root of all their machines.
///
/// # Errors
/// A kernel or a root that cannot be read or used.
pub fn find(config: &Config, arch: Arch) -> Result<(Vec<Boot>, Root)> {
    let mut paths = config.raw.kernels.clone();
    if paths.is_empty() {
        paths.push(default_kernel(config, arch));
    }
    for path in paths.iter().filter(|path| !path.is_dir()) {
        files::check_kernel(path, arch)?;
    }
    let root = root(config)?;
    let kernels = paths.iter().map(|path| kernel(config, arch, &root, path));
    let mut kernels = kernels.collect::<Result<Vec<_>>>()?;
    if kernels.len() > 1 {
        name(&mut kernels, &paths)?;
    }
    Ok((kernels, root))
}

/// Makes sure that every kernel is called something, and no two the same.
fn name(kernels: &mut [Boot], paths: &[PathBuf]) -> Result<()> {
    for (kernel, path) in kernels.iter_mut().zip(paths) {
        if kernel.release.is_empty() {
            kernel.release = custom_kernel::release_of(path)?;
        }
    }
    for (at, kernel) in kernels.iter().enumerate() {
        if let Some(twin) = kernels[..at].iter().position(|other| other.release == kernel.release) {
            let (one, two) = (paths[twin].display(), paths[at].display());
            return Err(Error::new(format!("`{one}` and `{two}` are both {}", kernel.release))
                .hint("results of kernels of one release could not be told apart"));
        }
    }
    Ok(())
}

/// Tells that several kernels are for `orca test` alone.
///
/// # Errors
/// More than one.
pub fn only_one(config: &Config) -> Result<()> {
    if config.raw.kernels.len() <= 1 {
        return Ok(());
    }
    Err(Error::new("several kernels are for `orca test` only").hint("name one --kernel"))
}

fn root(config: &Config) -> Result<Root> {
    let path = match &config.raw.rootfs {
        Some(path) if path == Path::new("none") => return Ok(Root::None),
        Some(path) if path == Path::new("host") && config.raw.init => {
            return Err(Error::new("--init own would start this host's services in the guest")
                .hint("leave --init out, or name another root"));
        }
        Some(path) if path == Path::new("host") => return Ok(Root::Host),
        Some(path) => path.clone(),
        None => config.image_file(&["rootfs.ext4"]),
    };
    if path.is_dir() {
        return folder(config, &absolute(&path));
    }
    if files::is_archive(&path) {
        let key = Key::new().file(&path)?;
        let disk = ArtifactCache::new(&config.cache)
            .file("rootfs", &key, |out| ext4::from_tar(&path, out))?;
        return Ok(Root::Disk(disk, "raw"));
    }
    let format = files::rootfs_format(&path)?;
    Ok(Root::Disk(absolute(&path), format))
}

/// A folder as a root: a file system with what is in it now, which is made again when that has changed. It could be shared instead,
/// but then every guest would read every file through the host, and no template could hold it.
fn folder(config: &Config, dir: &Path) -> Result<Root> {
    if dir == Path::new("/") {
        return Err(Error::new("`/` is this host's own root").hint("say --rootfs host"));
    }
    ext4::check_root(dir, dir)?;
    let census = Fingerprint::of(dir)?;
    let key = Key::new().with(census.digest);
    let disk = ArtifactCache::new(&config.cache)
        .file("rootfs", &key, |out| ext4::from_folder(dir, &census, Purpose::Root, out))?;
    Ok(Root::Disk(disk, "raw"))
}

/// The kernel of the image that was built; for the host's own root, where there is no such image, the host's own.
fn default_kernel(config: &Config, arch: Arch) -> PathBuf {
    let built = config.image_file(arch::row(arch).kernels);
    let is_host = config.raw.rootfs.as_deref() == Some(Path::new("host")) && arch == Arch::HOST;
    let release = nix::sys::utsname::uname().ok().filter(|_| is_host && !built.exists());
    let own = release.and_then(|uname| {
        let release = uname.release().to_string_lossy().into_owned();
        let places =
            [format!("/boot/vmlinuz-{release}"), format!("/lib/modules/{release}/vmlinuz")];
        places.into_iter().map(PathBuf::from).find(|path| path.exists())
    });
    own.unwrap_or(built)
}

fn kernel(config: &Config, arch: Arch, root: &Root, path: &Path) -> Result<Boot> {
    let raw = &config.raw;
    let kept = ArtifactCache::new(&config.cache);
    let image = path.parent().filter(|_| is_named(path, arch::row(arch).kernels));
    let beside = image.map(|dir| dir.join(IMAGE_INITRD)).filter(|initrd| initrd.exists());
    let Some(initrd) = raw.initrd.clone().or(beside) else {
        let agent = config.image_file(&["agent", "toolbox-linux"]);
        let modules = raw.modules.as_deref();
        let needs = needs(config, root);
        return custom_kernel::prepare(
            &kept,
            &KernelSource { kernel: path, modules, agent: &agent, arch, needs },
        );
    };
    files::check_initrd(&initrd)?;
    let own = image.filter(|_| raw.initrd.is_none() && !is_own(path, root));
    let modules = raw.modules.clone().or_else(|| image_modules(own?));
    Ok(Boot {
        kernel: absolute(path),
        initrd: absolute(&initrd),
        modules: modules.map(|dir| custom_kernel::modules_disk(&kept, &dir)).transpose()?,
        release: String::new(), // of use only among several
    })
}

/// What the machines of a run use of a kernel.
fn needs(config: &Config, root: &Root) -> Needs {
    let share = config.raw.share;
    Needs {
        disk: matches!(root, Root::Disk(..)),
        files: share != Share::None || *root == Root::Host,
        overlay: share == Share::Overlay || *root == Root::Host,
    }
}

fn is_named(path: &Path, names: &[&str]) -> bool {
    path.file_name().is_some_and(|name| names.iter().any(|other| name == *other))
}

/// Whether the root is of the same image as the kernel: then it has its modules.
fn is_own(kernel: &Path, root: &Root) -> bool {
    match root {
        Root::None => true,
        Root::Host => false,
        Root::Disk(disk, _) => absolute(kernel).parent() == disk.parent(),
    }
}

/// The modules of the image in `dir`: the one folder there.
fn image_modules(dir: &Path) -> Option<PathBuf> {
    let entries = std::fs::read_dir(dir.join(IMAGE_MODULES)).ok()?;
    let mut found = entries.flatten().map(|entry| entry.path()).filter(|path| path.is_dir());
    found.next()
}

fn absolute(path: &Path) -> PathBuf {
    std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}
