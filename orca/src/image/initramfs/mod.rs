//! The initramfs: the agent as `/init`, the modules that a boot needs in the order in which they
//! load, and empty mount points. Nothing else.
//!
//! It is not compressed. The guest would have to unpack it, and under emulation that costs more
//! than reading the bytes.

pub mod modules;

use super::cpio::Archive;
use super::decompress::{Format, decompress};
use super::format;
use super::requirements::{self, Needs, REQUIREMENTS};
use crate::error::{Error, Result};
use modules::Tree;
use std::fs::{self, File};
use std::path::Path;

/// Empty folders that the agent mounts things on before it has a root.
const MOUNT_POINTS: [&str; 7] = ["dev", "proc", "sys", "run", "tmp", "mnt", "newroot"];
/// The agent reads this: the modules to load, one path a line, in order, relative to `/`.
const LIST: &str = "modules.list";
/// The hint if there is no agent.
pub const BUILD_AGENT: &str = "build it with `scripts/build-toolbox.sh`";

/// What an initramfs is made of.
#[derive(Debug)]
pub struct Recipe<'a> {
    /// The static agent.
    pub agent: &'a Path,
    /// A `/lib/modules/<release>` with the tables that `depmod` writes; `None` for a kernel that
    /// has everything built in.
    pub modules: Option<&'a Path>,
    /// Modules to load besides those that every boot needs.
    pub with: &'a [String],
    /// The features that the machines use, so the kernel must have them.
    pub needs: Needs,
}

/// The bytes of the initramfs: the same for the same recipe and files.
///
/// # Errors
/// A file cannot be read or decompressed, the agent is not a program, or the kernel lacks a module.
/// The message names the module with its option.
pub fn build(recipe: &Recipe) -> Result<Vec<u8>> {
    let mut archive = Archive::new();
    archive.file("init", 0o755, agent(recipe.agent)?);
    for folder in MOUNT_POINTS {
        archive.dir(folder, 0o755);
    }
    // The kernel opens the console, and the agent's runtime asks for /dev/null, before anything is
    // mounted.
    archive.device("dev/console", 0o600, 5, 1);
    archive.device("dev/null", 0o666, 1, 3);
    let mut list = String::new();
    if let Some(dir) = recipe.modules {
        for (path, data) in modules(dir, recipe)? {
            list.push_str(&path);
            list.push('\n');
            archive.file(&path, 0o644, data);
        }
    }
    archive.file(LIST, 0o644, list.into_bytes());
    archive.bytes().ok_or_else(|| Error::new("a file of the initramfs is over 4 GiB"))
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).map_err(|e| Error::io("read", path, &e))
}

fn agent(path: &Path) -> Result<Vec<u8>> {
    check_agent(path)?;
    read(path).map_err(|e| e.hint(BUILD_AGENT))
}

/// Checks that `path` is a program that an initramfs can be made around.
///
/// # Errors
/// It cannot be read, or is not an ELF file.
pub fn check_agent(path: &Path) -> Result<()> {
    let head = File::open(path).and_then(|file| format::read_up_to(&file, 0, 4));
    let head = head.map_err(|e| Error::io("read", path, &e).hint(BUILD_AGENT))?;
    if head == b"\x7fELF" {
        return Ok(());
    }
    Err(Error::new(format!("`{}` is not a Linux program", path.display())).hint(BUILD_AGENT))
}

/// The kernel release whose modules are in `dir`: the name of the folder.
///
/// # Errors
/// The folder cannot be read.
pub fn release_of(dir: &Path) -> Result<String> {
    let real = dir.canonicalize().map_err(|e| Error::io("read", dir, &e))?;
    Ok(real.file_name().unwrap_or_default().to_string_lossy().into_owned())
}

/// The modules to load, each with its path in the guest and its bytes.
fn modules(dir: &Path, recipe: &Recipe) -> Result<Vec<(String, Vec<u8>)>> {
    let tree = Tree::read(dir)?;
    check(&tree, dir, recipe)?;
    let release = release_of(dir)?;
    let with = recipe.with.iter().map(String::as_str);
    let wanted = REQUIREMENTS.iter().map(|requirement| requirement.module).chain(with);
    let files = tree.closure(wanted);
    files.iter().map(|file| module(dir, &release, file)).collect()
}

fn module(dir: &Path, release: &str, file: &str) -> Result<(String, Vec<u8>)> {
    let path = dir.join(file);
    let mut data = read(&path)?;
    if let Some(format) = Format::of(&data) {
        data = decompress(format, &data)
            .map_err(|e| e.context(&format!("cannot unpack `{}`", path.display())))?;
    }
    // `finit_module` is given plain modules only: not every kernel can decompress.
    let plain = file.split_once(".ko").map_or(file, |(stem, _)| stem);
    Ok((format!("lib/modules/{release}/{plain}.ko"), data))
}

/// Checks that the kernel has every module. One message names all that are missing.
fn check(tree: &Tree, dir: &Path, recipe: &Recipe) -> Result<()> {
    let kernel = format!("of `{}`", dir.display());
    let missing = recipe.needs.missing(|requirement| tree.has(requirement.module));
    if !missing.is_empty() {
        return Err(requirements::lacking(&kernel, &missing));
    }
    let unknown: Vec<String> =
        recipe.with.iter().filter(|name| !tree.has(name)).map(|name| format!("`{name}`")).collect();
    if unknown.is_empty() {
        return Ok(());
    }
    Err(Error::new(format!("the kernel {kernel} has no {}", unknown.join(", no ")))
        .hint("check the names, or whether these modules are in another package"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    /// A folder that is gone when the test is.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path =
                std::env::temp_dir().join(format!("orca-initramfs-{name}-{}", std::process::id()));
            fs::create_dir_all(path.join("6.1.0/kernel")).unwrap();
            Self(path)
        }

        fn file(&self, path: &str, data: impl AsRef<[u8]>) -> PathBuf {
            let path = self.0.join(path);
            fs::write(&path, data).unwrap();
            path
        }

        fn modules(&self) -> PathBuf {
            self.0.join("6.1.0")
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn names(data: &[u8]) -> Vec<String> {
        let text = String::from_utf8_lossy(data).into_owned();
        let headers = text.split("070701").skip(1);
        headers.map(|h| h[104..].split('\0').next().unwrap().to_owned()).collect()
    }

    const BUILTIN: &str =
        "k/virtio_pci.ko\nk/virtio_console.ko\nk/virtio_blk.ko\nk/overlay.ko\nk/9pnet_virtio.ko\n";

    #[test]
    fn agent_list_modules_and_mount_points() {
        let folder = Folder::new("all");
        let agent = folder.file("agent", "\x7fELF agent");
        folder.file("6.1.0/modules.builtin", BUILTIN);
        folder.file(
            "6.1.0/modules.dep",
            "kernel/9p.ko.gz: kernel/9pnet.ko\nkernel/9pnet.ko:\nkernel/ext4.ko:\n\
             kernel/veth.ko:\n",
        );
        for name in ["9pnet.ko", "ext4.ko", "veth.ko"] {
            folder.file(&format!("6.1.0/kernel/{name}"), name);
        }
        // gzip -9 -n of "nine\n"
        let packed =
            b"\x1f\x8b\x08\0\0\0\0\0\x02\x03\xcb\xcb\xccK\xe5\x02\0n\x16\x18\x1c\x05\0\0\0";
        folder.file("6.1.0/kernel/9p.ko.gz", packed);
        let with = [String::from("veth")];
        let recipe = Recipe {
            agent: &agent,
            modules: Some(&folder.modules()),
            with: &with,
            needs: Needs::ALL,
        };
        let data = build(&recipe).unwrap();
        let text = String::from_utf8_lossy(&data);
        let list = "lib/modules/6.1.0/kernel/ext4.ko\nlib/modules/6.1.0/kernel/9pnet.ko\n\
                    lib/modules/6.1.0/kernel/9p.ko\nlib/modules/6.1.0/kernel/veth.ko\n";
        assert!(text.contains(list), "{text}");
        assert!(text.contains("nine\n"), "the packed module is unpacked");
        let names = names(&data);
        for name in ["init", "newroot", "proc", "modules.list", "lib/modules/6.1.0/kernel/9p.ko"] {
            assert!(names.iter().any(|n| n == name), "{name} in {names:?}");
        }
    }

    #[test]
    fn every_missing_option_is_named() {
        let folder = Folder::new("missing");
        folder.file("6.1.0/modules.dep", "kernel/ext4.ko:\n");
        folder.file("6.1.0/modules.builtin", BUILTIN.replace("k/overlay.ko\n", ""));
        let tree = Tree::read(&folder.modules()).unwrap();
        let with = [String::from("vethh")];
        let recipe =
            Recipe { agent: Path::new("agent"), modules: None, with: &[], needs: Needs::ALL };
        let error = check(&tree, Path::new("6.1.0"), &recipe).unwrap_err();
        let expected =
            "the kernel of `6.1.0` has no `overlay` (CONFIG_OVERLAY_FS), no `9p` (CONFIG_9P_FS)";
        assert_eq!(error.to_string(), expected);
        folder.file("6.1.0/modules.dep", "kernel/ext4.ko:\nkernel/overlay.ko:\nkernel/9p.ko:\n");
        let tree = Tree::read(&folder.modules()).unwrap();
        let recipe = Recipe { with: &with, ..recipe };
        let error = check(&tree, Path::new("6.1.0"), &recipe).unwrap_err();
        assert_eq!(error.to_string(), "the kernel of `6.1.0` has no `vethh`");
    }

    #[test]
    fn an_agent_that_is_none_is_refused() {
        let folder = Folder::new("agent");
        let script = folder.file("agent", "#!/bin/sh\n");
        let recipe = Recipe { agent: &script, modules: None, with: &[], needs: Needs::ALL };
        let error = build(&recipe).unwrap_err();
        assert!(error.to_string().ends_with("is not a Linux program"), "{error}");
        let recipe = Recipe { agent: Path::new("/proc/nowhere"), ..recipe };
        assert!(build(&recipe).unwrap_err().next_step().is_some());
    }
}
