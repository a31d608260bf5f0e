//! What a machine needs to start on a kernel that was not built with an image: the kernel in its
//! fastest form, an initramfs with the kernel's own modules, and a disk with all of them for the
//! guest's `modprobe`. Features that the kernel lacks are reported before anything boots, as far as
//! its modules, its configuration or its own bytes show them.

use super::artifacts::{ArtifactCache, Key};
use super::decompress::{Format, decompress};
use super::ext4::{self, Purpose};
use super::fingerprint::Fingerprint;
use super::format::KernelFormat;
use super::initramfs::{self, Recipe};
use super::kernel;
use super::requirements::{self, BUILT_IN, Needs, REQUIREMENTS};
use crate::arch::Arch;
use crate::error::{Error, Result};
use std::fs;
use std::path::{Path, PathBuf};

/// The text before the release in a kernel's bytes: `Linux version 6.1.0 (user@host) …`.
const BANNER: &[u8] = b"Linux version ";
/// The marks around the configuration in a kernel that carries its own (`CONFIG_IKCONFIG`).
const CONFIG_BEGINS: &[u8] = b"IKCFG_ST";
const CONFIG_ENDS: &[u8] = b"IKCFG_ED";
/// The kernels that a build leaves in its folder, best first.
const BUILT_X86_64: [&str; 2] = ["arch/x86/boot/bzImage", "vmlinux"];
const BUILT_AARCH64: [&str; 1] = ["arch/arm64/boot/Image"];

/// A kernel, and what its initramfs and its disk of modules are made from.
#[derive(Clone, Copy, Debug)]
pub struct KernelSource<'a> {
    /// The kernel's file, which has been checked.
    pub kernel: &'a Path,
    /// Its modules, if they are named.
    pub modules: Option<&'a Path>,
    /// The static agent.
    pub agent: &'a Path,
    /// What the machines use.
    pub needs: Needs,
}

/// The files that a machine starts on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelFiles {
    /// The kernel.
    pub kernel: PathBuf,
    /// The initramfs, whose `/init` is the agent.
    pub initrd: PathBuf,
    /// A disk with the kernel's modules; `None` if the root has them or there are none.
    pub modules: Option<PathBuf>,
    /// The kernel's release, as `uname -r` prints it, or else its file's name; `None` if nobody has
    /// looked yet.
    pub release: Option<String>,
}

/// Makes the files that a machine starts on from `source`. What takes time to make goes to `cache`.
///
/// # Errors
/// The kernel's modules cannot be used, or it lacks a feature.
pub fn prepare(cache: &ArtifactCache, source: &KernelSource) -> Result<KernelFiles> {
    let path = source.kernel.to_owned();
    let data = fs::read(&path).map_err(|e| Error::io("read", &path, &e))?;
    let unpacked = unpack(cache, &path, &data)?;
    let bytes = unpacked.as_ref().map_or(&data, |unpacked| &unpacked.bytes);
    let release = kernel::release(&data).or_else(|| banner(bytes));
    let modules = modules(&path, source.modules, release.as_deref())?;
    match &modules {
        Some(dir) => check_release(&path, release.as_deref(), dir)?,
        None => check_built_in(&path, release.as_deref(), bytes, source.needs)?,
    }
    let release = match (release, &modules) {
        (Some(release), _) => release,
        (None, Some(dir)) => initramfs::release_of(dir)?,
        (None, None) => name_of(&path),
    };
    let fingerprint = modules.as_deref().map(Fingerprint::of).transpose()?;
    let modules = modules.as_deref().zip(fingerprint.as_ref());
    let initrd = initrd(cache, source, modules)?;
    let modules = modules.map(|(dir, fingerprint)| disk(cache, dir, fingerprint)).transpose()?;
    let kernel = unpacked.filter(|unpacked| unpacked.enterable).map_or(path, |u| u.path);
    Ok(KernelFiles { kernel, initrd, modules, release: Some(release) })
}

/// The name of the kernel at `path` for people: its release, or else the name of its file.
///
/// # Errors
/// It cannot be read.
pub fn release_of(path: &Path) -> Result<String> {
    let data = fs::read(path).map_err(|e| Error::io("read", path, &e))?;
    let release = kernel::release(&data).or_else(|| banner(&data));
    Ok(release.unwrap_or_else(|| name_of(path)))
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// The disk with all modules of `dir`, for a guest whose root does not have them.
///
/// # Errors
/// The folder cannot be read, or `mke2fs` fails.
pub fn modules_disk(cache: &ArtifactCache, dir: &Path) -> Result<PathBuf> {
    disk(cache, dir, &Fingerprint::of(dir)?)
}

fn disk(cache: &ArtifactCache, dir: &Path, fingerprint: &Fingerprint) -> Result<PathBuf> {
    let key = Key::new().with(fingerprint.digest);
    cache.file("modules", &key, |out| ext4::from_folder(dir, fingerprint, Purpose::Modules, out))
}

/// The file of the kernel that `path` names: `path` itself, or the kernel that was built in that
/// folder.
///
/// # Errors
/// A folder without a kernel for `arch`.
pub fn locate(path: &Path, arch: Arch) -> Result<PathBuf> {
    if !path.is_dir() {
        return Ok(path.to_owned());
    }
    let built: &[&str] = match arch {
        Arch::X86_64 => &BUILT_X86_64,
        Arch::Aarch64 => &BUILT_AARCH64,
    };
    let found = built.iter().map(|name| path.join(name)).find(|path| path.is_file());
    found.ok_or_else(|| {
        Error::new(format!("there is no `{}` in `{}`", built[0], path.display()))
            .hint("build the kernel there (`make`), or name the file")
    })
}

/// A kernel taken out of its bzImage.
struct Unpacked {
    path: PathBuf,
    bytes: Vec<u8>,
    /// Whether QEMU can enter it.
    enterable: bool,
}

/// `None` for a kernel that is not packed, or that cannot be unpacked here: QEMU boots it as it is.
fn unpack(cache: &ArtifactCache, path: &Path, data: &[u8]) -> Result<Option<Unpacked>> {
    if kernel::kind(data) != Ok(KernelFormat::BzImage) {
        return Ok(None);
    }
    let key = Key::new().file(path)?;
    let made = cache.file("vmlinux", &key, |out| {
        let elf = kernel::unpack(data)?;
        fs::write(out, elf).map_err(|e| Error::io("write", out, &e))
    });
    let Ok(path) = made else { return Ok(None) };
    let bytes = fs::read(&path).map_err(|e| Error::io("read", &path, &e))?;
    Ok(Some(Unpacked { enterable: kernel::has_pvh_entry(&bytes), bytes, path }))
}

fn banner(bytes: &[u8]) -> Option<String> {
    // The first one may be a format, `Linux version %s`.
    memchr::memmem::find_iter(bytes, BANNER).find_map(|at| {
        let rest = &bytes[at + BANNER.len()..];
        let end = rest.iter().take(128).position(|b| !b.is_ascii_graphic())?;
        let text = std::str::from_utf8(&rest[..end]).ok()?;
        text.starts_with(|c: char| c.is_ascii_digit()).then(|| text.to_owned())
    })
}

/// The folder of a kernel's modules: the one that is named, or the one that distributions and
/// builds put beside a kernel.
fn modules(kernel: &Path, named: Option<&Path>, release: Option<&str>) -> Result<Option<PathBuf>> {
    let is_modules =
        |dir: &Path| dir.join("modules.dep").exists() || dir.join("modules.order").exists();
    if let Some(dir) = named {
        let below = release.into_iter().flat_map(|release| {
            ["lib/modules", "usr/lib/modules", "."].map(|lib| dir.join(lib).join(release))
        });
        let mut candidates = std::iter::once(dir.to_owned()).chain(below);
        let found = candidates.find(|dir| dir.join("modules.dep").exists());
        return Ok(Some(found.unwrap_or_else(|| dir.to_owned())));
    }
    let Some(release) = release else { return Ok(None) };
    let mut candidates = Vec::new();
    if let Some(dir) = kernel.parent() {
        candidates.push(dir.to_owned()); // …/lib/modules/RELEASE/vmlinuz
        candidates.push(dir.join("modules").join(release)); // scripts/build-image.sh
        let root = dir.parent().unwrap_or(dir); // …/boot/vmlinuz-RELEASE
        candidates
            .extend(["lib", "usr/lib"].map(|lib| root.join(lib).join("modules").join(release)));
    }
    candidates.push(Path::new("/lib/modules").join(release));
    Ok(candidates.into_iter().find(|dir| dir.ends_with(release) && is_modules(dir)))
}

/// Checks that the modules in the folder `modules` are for the kernel at `kernel`, whose release is
/// `release`. The kernel itself would refuse them one by one, at boot.
///
/// # Errors
/// They are for another one, or the folder cannot be read.
pub fn check_release(kernel: &Path, release: Option<&str>, modules: &Path) -> Result<()> {
    let theirs = initramfs::release_of(modules)?;
    match release {
        Some(own) if own != theirs => {
            let (kernel, modules) = (kernel.display(), modules.display());
            let text =
                format!("`{kernel}` is release {own}, the modules in `{modules}` are for {theirs}");
            Err(Error::new(text).hint("name the folder of that release with --modules"))
        }
        _ => Ok(()),
    }
}

/// Checks that a kernel without modules has everything built in: by its configuration, beside the
/// kernel or in it, or else by the strings in its code.
fn check_built_in(path: &Path, release: Option<&str>, bytes: &[u8], needs: Needs) -> Result<()> {
    let shown = format!("`{}`", path.display());
    let Some(config) = config(path, release, bytes) else {
        // A kernel that cannot be unpacked shows nothing; the agent will say what is missing.
        let is_open = memchr::memmem::find(bytes, BANNER).is_some();
        let missing = needs.missing(|requirement| !is_open || requirement.shows_in(bytes));
        return if missing.is_empty() {
            Ok(())
        } else {
            Err(requirements::lacking(&shown, &missing))
        };
    };
    let value =
        |option: &str| config.lines().find_map(|line| line.strip_prefix(option)?.strip_prefix('='));
    let absent: Vec<&str> = REQUIREMENTS
        .iter()
        .filter(|requirement| needs.includes(requirement))
        .map(|requirement| requirement.option)
        .chain(BUILT_IN)
        .filter(|option| value(option).is_none())
        .collect();
    if !absent.is_empty() {
        return Err(requirements::lacking(&shown, &absent));
    }
    let outside: Vec<&str> = REQUIREMENTS
        .iter()
        .filter(|requirement| needs.includes(requirement) && value(requirement.option) == Some("m"))
        .map(|requirement| requirement.option)
        .collect();
    if outside.is_empty() {
        return Ok(());
    }
    let text =
        format!("the kernel {shown} has {} as modules, which were not found", outside.join(", "));
    Err(Error::new(text).hint(
        "name their folder with --modules (`make modules_install INSTALL_MOD_PATH=DIR` makes \
         DIR/lib/modules), or build them in",
    ))
}

/// A kernel's configuration: where it was built, where packages put it, or in its own bytes.
fn config(path: &Path, release: Option<&str>, bytes: &[u8]) -> Option<String> {
    let dir = path.parent()?;
    let mut candidates = Vec::new();
    if dir.ends_with("arch/x86/boot") || dir.ends_with("arch/arm64/boot") {
        candidates.extend(dir.ancestors().nth(3).map(|top| top.join(".config")));
    } else if path.ends_with("vmlinux") {
        candidates.push(dir.join(".config"));
    }
    candidates.extend(release.map(|release| dir.join(format!("config-{release}"))));
    if let Some(text) = candidates.iter().find_map(|path| fs::read_to_string(path).ok()) {
        return Some(text);
    }
    let from = memchr::memmem::find(bytes, CONFIG_BEGINS)? + CONFIG_BEGINS.len();
    let len = memchr::memmem::find(&bytes[from..], CONFIG_ENDS)?;
    let packed = &bytes[from..from + len];
    let text = decompress(Format::of(packed)?, packed).ok()?;
    String::from_utf8(text).ok()
}

fn initrd(
    cache: &ArtifactCache,
    source: &KernelSource,
    modules: Option<(&Path, &Fingerprint)>,
) -> Result<PathBuf> {
    let KernelSource { agent, needs, .. } = *source;
    let key = Key::new().with(needs).file(agent).map_err(|e| e.hint(initramfs::BUILD_AGENT))?;
    let key = key.with(modules.map(|(_, fingerprint)| fingerprint.digest));
    let modules = modules.map(|(dir, _)| dir);
    cache.file("initramfs", &key, |out| {
        let bytes = initramfs::build(&Recipe { agent, modules, with: &[], needs })?;
        fs::write(out, bytes).map_err(|e| Error::io("write", out, &e))
    })
}
