//! The binary run on the image in `build/`, the machines that it starts, and what it leaves behind.

use crate::kit::Project;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The folder of the image.
pub fn build() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../build")
}

/// `toolbox orca <args>` in this project, on the image in the folder `image`, without input and not
/// started yet. Its temporary files go to the project's folder `tmp`.
pub fn command(image: &Path, project: &Project, args: &[&str]) -> Command {
    fs::create_dir_all(temporary(project)).unwrap();
    let mut command = project.command(args);
    command
        .env("ORCA_KERNEL", image.join("vmlinux"))
        .env("ORCA_INITRD", image.join("initramfs"))
        .env("ORCA_ROOTFS", image.join("rootfs.ext4"))
        .env("TMPDIR", temporary(project))
        .stdin(Stdio::null());
    command
}

fn temporary(project: &Project) -> PathBuf {
    project.root().join("tmp")
}

/// The temporary files that runs have left in this project.
pub fn leftovers(project: &Project) -> Vec<PathBuf> {
    fs::read_dir(temporary(project)).unwrap().map(|entry| entry.unwrap().path()).collect()
}

/// The QEMU processes that run for this project: the id and the command line of each.
pub fn machines(project: &Project) -> Vec<(i32, String)> {
    let root = project.root().to_string_lossy().into_owned();
    let read = |entry: fs::DirEntry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        let line = fs::read(entry.path().join("cmdline")).ok()?;
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        (line.starts_with("/usr/bin/qemu-system") && line.contains(&root)).then_some((pid, line))
    };
    fs::read_dir("/proc").unwrap().flatten().filter_map(read).collect()
}
