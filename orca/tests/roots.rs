//! Kernels and root file systems that users bring: every message before a machine starts.

#![expect(clippy::unwrap_used, reason = "a test that panics is a test that fails")]

#[expect(dead_code, reason = "not every file uses all of the kit")]
mod kit;

use kit::{Project, Ran};
use std::fs;
use std::process::Command;

/// A file whose superblock says that it is an ext4 of four blocks.
fn ext4() -> Vec<u8> {
    let mut disk = vec![0; 8192];
    disk[0x438..0x43a].copy_from_slice(&[0x53, 0xef]);
    disk[0x404] = 4;
    disk
}

/// A vmlinux of release 6.6.6 that has the features whose strings are in `signs`.
fn kernel(signs: &str) -> Vec<u8> {
    let mut elf = vec![0; 64];
    elf[..5].copy_from_slice(b"\x7fELF\x02");
    elf[18] = 62;
    elf.extend(b"Linux version %s\0Linux version 6.6.6 (me@here)\0");
    elf.extend(signs.as_bytes());
    elf
}

const SIGNS: &str = "virtio-pci\0virtio_console\0virtio_blk\0ext4_inode_cache\0ovl_inode\0\
                     v9fs_inode_cache\09pnet_virtio\0";

/// A project with a test, an agent and a root file system.
fn project() -> Project {
    let project = Project::new();
    project.test("a", "echo 1..1; echo ok 1").file("build/agent", "\x7fELF agent");
    fs::write(project.root().join("build/rootfs.ext4"), ext4()).unwrap();
    project
}

fn orca(project: &Project, args: &[&str]) -> Ran {
    let mut command = project.command(&[&["test", "--accel", "tcg"], args].concat());
    Ran::from(command.env("XDG_CACHE_HOME", project.root().join(".cache")).output().unwrap())
}

fn write(project: &Project, path: &str, bytes: &[u8]) {
    project.file(path, "");
    fs::write(project.root().join(path), bytes).unwrap();
}

#[test]
fn a_missing_feature_is_found_in_the_bytes_of_a_kernel() {
    let project = project();
    write(&project, "mine", &kernel(&SIGNS.replace("v9fs_inode_cache", "")));
    orca(&project, &["--kernel", "mine", "--share", "overlay"])
        .exits(2)
        .complains("orca: the kernel `")
        .complains("mine` has no `9p` (CONFIG_9P_FS)\nhint: take a kernel with these options");
    // A project on a disk needs no 9p, and no overlay.
    let bare = SIGNS.replace("v9fs_inode_cache\0", "").replace("ext4_inode_cache\0", "");
    write(&project, "mine", &kernel(&bare.replace("ovl_inode\0", "")));
    let ran = orca(&project, &["--kernel", "mine", "--share", "disk"]);
    ran.exits(2).complains("mine` has no `ext4` (CONFIG_EXT4_FS)\nhint: ");
}

#[test]
fn a_missing_feature_is_found_in_the_configuration_of_a_kernel() {
    let project = project();
    let all = "CONFIG_VIRTIO_PCI=y\nCONFIG_VIRTIO_CONSOLE=y\nCONFIG_VIRTIO_BLK=m\n\
               CONFIG_EXT4_FS=y\nCONFIG_NET_9P_VIRTIO=m\nCONFIG_9P_FS=y\n\
               CONFIG_BLK_DEV_INITRD=y\nCONFIG_DEVTMPFS=y\nCONFIG_TMPFS=y\n\
               CONFIG_PCI=y\nCONFIG_UNIX=y\nCONFIG_BINFMT_ELF=y\n";
    write(&project, "tree/vmlinux", &kernel(""));
    project.file("tree/.config", &format!("{all}# CONFIG_OVERLAY_FS is not set\n"));
    let overlay = ["--kernel", "tree", "--share", "overlay"];
    orca(&project, &overlay).exits(2).complains("has no CONFIG_OVERLAY_FS\n");
    // Without an overlay its feature is not required. A feature that is a module needs its file.
    orca(&project, &["--kernel", "tree", "--share", "ro"])
        .exits(2)
        .complains("has CONFIG_VIRTIO_BLK, CONFIG_NET_9P_VIRTIO as modules, which were not found")
        .complains("--modules");
}

#[test]
fn modules_have_to_exist_and_to_fit_the_kernel() {
    let project = project();
    write(&project, "boot/vmlinuz-6.6.6", &kernel(SIGNS));
    project.file("lib/modules/6.6.6/modules.order", "");
    orca(&project, &["--kernel", "boot/vmlinuz-6.6.6"])
        .exits(2)
        .complains("/lib/modules/6.6.6/modules.dep`: no such file or directory")
        .complains("hint: run `depmod -b ")
        .complains(" 6.6.6`, or name another folder");
    project.file("lib/modules/6.6.6/modules.dep", "kernel/9p.ko:\n");
    project.file("lib/modules/6.6.6/modules.builtin", "virtio_pci\nvirtio_console\nvirtio_blk\n");
    orca(&project, &["--kernel", "boot/vmlinuz-6.6.6", "--share", "overlay"])
        .exits(2)
        .complains("has no `ext4` (CONFIG_EXT4_FS), no `overlay` (CONFIG_OVERLAY_FS), no `9pnet");
    project.file("lib/modules/5.5.5/modules.dep", "");
    orca(&project, &["--kernel", "boot/vmlinuz-6.6.6", "--modules", "lib/modules/5.5.5"])
        .exits(2)
        .complains("is release 6.6.6, the modules in `lib/modules/5.5.5` are for 5.5.5");
}

#[test]
fn a_kernel_and_an_agent_have_to_be_there_and_be_programs() {
    let project = project();
    fs::create_dir(project.root().join("empty")).unwrap();
    let kernel = orca(&project, &["--kernel", "empty"]);
    kernel.exits(2).complains("/bzImage` in `empty`").complains("hint: build the kernel there");
    let project = self::project();
    write(&project, "mine", &self::kernel(SIGNS));
    project.file("build/agent", "#!/bin/sh\n");
    orca(&project, &["--kernel", "mine"]).exits(2).complains("build/agent` is not a Linux program");
}

#[test]
fn several_kernels_have_to_differ_and_are_for_orca_test_only() {
    let project = project();
    write(&project, "a", &kernel(SIGNS));
    write(&project, "b", &kernel(SIGNS));
    let several = ["--kernel", "a", "--kernel", "b"];
    orca(&project, &several).exits(2).complains("orca: `a` and `b` are both 6.6.6\nhint: ");
    let run = project.command(&[&["run"], &several[..]].concat()).output().unwrap();
    Ran::from(run).exits(2).complains("several kernels are for `orca test` only");
}

#[test]
fn a_root_has_to_hold_a_root_file_system() {
    let project = project();
    write(&project, "mine", &kernel(SIGNS));
    let root = |root: &str| orca(&project, &["--kernel", "mine", "--rootfs", root]);
    root("nothing")
        .exits(2)
        .complains("cannot read `nothing`: no such file or directory\nhint: --rootfs takes");
    root("build").exits(2).complains("build` holds no root file system");
    root("/").exits(2).complains("`/` is this host's own root\nhint: say --rootfs host");
    root("mine").exits(2).complains("`mine` is no ext4 or qcow2 image, no folder and no tar");
    let own = orca(&project, &["--kernel", "mine", "--rootfs", "host", "--init", "own"]);
    own.exits(2).complains("--init own would start this host's services in the guest");
    project.file("saved/manifest.json", "[]");
    let tar = project.root().join("saved.tar");
    let mut command = Command::new("tar");
    command.current_dir(project.root().join("saved")).arg("-cf").arg(&tar).arg(".");
    assert!(command.status().unwrap().success());
    root("saved.tar").exits(2).complains("hint: it is a saved image of layers: `docker export`");
    let bytes = fs::read(&tar).unwrap();
    fs::write(&tar, &bytes[..bytes.len() / 8]).unwrap();
    root("saved.tar").exits(2).complains("cannot unpack `saved.tar`: `tar` failed: ");
}
