//! The binary on the Debian image.

use crate::kit::Project;
use std::path::Path;
use std::process::{Command, Stdio};

/// `toolbox orca <args>` in this project on the image in `build/`, without input, not started yet. Its temporary files go to
/// the project's folder `tmp`, which must be there.
pub fn command(project: &Project, args: &[&str]) -> Command {
    let build = Path::new(env!("CARGO_MANIFEST_DIR")).join("../build");
    let mut command = project.command(args);
    command
        .env("ORCA_KERNEL", build.join("vmlinux"))
        .env("ORCA_INITRD", build.join("initramfs"))
        .env("ORCA_ROOTFS", build.join("rootfs.ext4"))
        .env("TMPDIR", project.root().join("tmp"))
        .stdin(Stdio::null());
    command
}
