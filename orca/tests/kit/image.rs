//! The binary on the Debian image, and the machines it starts.

use crate::kit::Project;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Where the image is.
pub fn build() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../build")
}

/// `toolbox orca <args>` in this project on the image in a folder, without input, not started yet. Its temporary files go to the
/// project's folder `tmp`, which must be there.
pub fn command(image: &Path, project: &Project, args: &[&str]) -> Command {
    let mut command = project.command(args);
    command
        .env("ORCA_KERNEL", image.join("vmlinux"))
        .env("ORCA_INITRD", image.join("initramfs"))
        .env("ORCA_ROOTFS", image.join("rootfs.ext4"))
        .env("TMPDIR", project.root().join("tmp"))
        .stdin(Stdio::null());
    command
}

/// The QEMU processes that work for this project: the id and the command line of each.
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
