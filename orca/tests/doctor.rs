//! `orca doctor` and `orca test` agree: the doctor calls bad what a run refuses, and nothing else.

#![expect(clippy::unwrap_used, reason = "a test that panics is a test that fails")]

#[expect(dead_code, reason = "the table of verdicts is for other tests")]
mod kit;

use kit::{Project, Ran};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

/// A project with an emulator that is version `version` and can nothing else, a kernel and an
/// agent.
fn project(version: &str) -> Project {
    let project = Project::new();
    project.test("good", "echo 1..1; echo ok 1");
    let qemu = format!(
        "#!/bin/sh\ncase $1 in --version) echo 'QEMU emulator version {version}' ;;\n\
         -device) echo 'name \"virtio-9p-pci\", bus PCI' ;; *) exit 9 ;; esac\n"
    );
    project.file("qemu", &qemu);
    fs::set_permissions(project.root().join("qemu"), Permissions::from_mode(0o755)).unwrap();
    let mut kernel = vec![0; 4096];
    let magic: [(usize, &[u8]); 2] = if cfg!(target_arch = "aarch64") {
        [(0x38, b"ARMd"), (0, b"MZ")]
    } else {
        [(0x202, b"HdrS"), (0x1f1, &[1])]
    };
    for (at, bytes) in magic {
        kernel[at..at + bytes.len()].copy_from_slice(bytes);
    }
    fs::write(project.root().join("kernel"), kernel).unwrap();
    project.file("build/agent", "\x7fELF agent");
    project
}

fn doctor(project: &Project, args: &[&str]) -> Ran {
    let all = [&["doctor", "--qemu=./qemu", "--kernel=kernel", "--accel=tcg"], args].concat();
    let mut command: Command = project.command(&all);
    command.env("XDG_CACHE_HOME", project.root().join(".cache"));
    Ran::from(command.output().unwrap())
}

#[test]
fn a_qemu_that_runs_accept_is_accepted_and_an_older_one_is_not() {
    let accepted = doctor(&project("7.0.0"), &["--rootfs=none"]);
    accepted.never_says("BAD  QEMU").says("tests with `nodes=` are skipped");
    doctor(&project("7.2.0"), &["--rootfs=none"]).says("ok   QEMU").never_says("`nodes=`");
    doctor(&project("6.2.0"), &["--rootfs=none"]).exits(2).says("BAD  QEMU");
}

#[test]
fn a_kernel_without_an_initramfs_gets_one_around_the_agent() {
    let project = project("7.2.0");
    let made = doctor(&project, &["--rootfs=none"]);
    made.says("ok   initramfs      made for the kernel from");
    project.file("build/agent", "#!/bin/sh\n");
    doctor(&project, &["--rootfs=none"]).exits(2).says("BAD  initramfs").says("build-toolbox.sh");
}

#[test]
fn an_archive_and_a_folder_are_roots() {
    let project = project("7.2.0");
    fs::create_dir_all(project.root().join("root/bin")).unwrap();
    let mut tar = Command::new("tar");
    tar.current_dir(project.root()).args(["-cf", "root.tar", "root"]);
    assert!(tar.status().unwrap().success());
    doctor(&project, &["--rootfs=root.tar"]).says("ok   root").says("from which a disk is made");
    doctor(&project, &["--rootfs=root"]).says("ok   root").says("from which a disk is made");
    doctor(&project, &["--rootfs=qemu"]).exits(2).says("BAD  root");
}

#[test]
fn what_the_machines_do_not_use_is_not_missed() {
    let project = project("7.2.0");
    project.file("qemu", "#!/bin/sh\necho QEMU emulator version 7.2.0\n");
    fs::set_permissions(project.root().join("qemu"), Permissions::from_mode(0o755)).unwrap();
    doctor(&project, &["--rootfs=none"]).says("ok   share          a disk with ").never_says("9p");
    project.file(".orcarc", "--share=overlay");
    doctor(&project, &["--rootfs=none"]).exits(2).says("BAD  share").never_says("qemu-img");
    project.file(".orcarc", "--share=none");
    doctor(&project, &["--rootfs=none"]).says("note share").never_says("9p");
}

#[test]
fn a_project_that_is_no_disk_is_a_note() {
    let project = project("7.2.0");
    let huge = fs::File::create(project.root().join("huge")).unwrap();
    nix::fcntl::posix_fallocate(&huge, 0, 513 << 20).unwrap();
    let why = "overlay, since the project holds more than the 512 MiB or 50000 files of a disk";
    doctor(&project, &["--rootfs=none"]).says("note share").says(why);
    project.file(".orcarc", "--share=disk");
    doctor(&project, &["--rootfs=none"]).exits(2).says("BAD  share          the project holds");
}

/// The doctor looks at what a run would be, and a run reads more settings.
#[test]
fn settings_that_runs_refuse_are_bad() {
    let project = project("7.2.0");
    for (setting, what) in [
        ("--retries=x", "BAD  settings"),
        ("--share=bogus", "BAD  settings"),
        ("--env=1=", "BAD  settings"),
        ("--modules=/proc/nowhere", "BAD  modules"),
        ("--junit=/proc/nowhere/x", "BAD  report"),
        ("--log-dir=/proc/x", "BAD  logs"),
    ] {
        project.file(".orcarc", setting);
        doctor(&project, &["--rootfs=none"]).exits(2).says(what);
    }
    project.file(".orcarc", "--init=own");
    doctor(&project, &["--rootfs=host"]).exits(2).says("BAD  root");
}

#[test]
fn a_run_without_machines_needs_none_of_what_they_need() {
    let project = project("7.2.0");
    project.file(".orcarc", "--machine=local");
    let mut command = project.command(&["doctor"]);
    command.env("PATH", "/proc/nowhere").env("XDG_CACHE_HOME", project.root().join(".cache"));
    let ran = Ran::from(command.output().unwrap());
    ran.exits(0).never_says("QEMU").never_says("kernel").says("tests can run here");
}

#[test]
fn folders_that_runs_do_without_are_no_reason_against_them() {
    let project = project("7.2.0");
    project.file(".orcarc", "--machine=local\n--log-dir=logs");
    let mut command = project.command(&["doctor"]);
    command.env("XDG_CACHE_HOME", "/proc/x").env("XDG_STATE_HOME", "/proc/x");
    let ran = Ran::from(command.output().unwrap());
    ran.exits(0).says("note cache").says("note state").says("ok   logs");
}

#[test]
fn open_files_are_counted_as_a_run_counts_them() {
    let project = project("7.2.0");
    let limited = |limit: &str, word: &str| {
        let mut command = Command::new("sh");
        let script = format!("ulimit -n {limit}; exec \"$0\" orca {word} --qemu=./qemu \"$@\"");
        command.args(["-c", &script, env!("CARGO_BIN_EXE_toolbox"), "--kernel=kernel", "-j1"]);
        command.args(["--rootfs=none", "--accel=tcg"]).current_dir(project.root());
        command.env("XDG_CACHE_HOME", project.root().join(".cache"));
        command.env("XDG_STATE_HOME", project.root().join(".state"));
        Ran::from(command.output().unwrap())
    };
    let refused = "1 worker needs 128 open files, and the limit is 100";
    limited("100", "test").exits(2).complains(refused);
    limited("100", "doctor").exits(2).says("BAD  open files").says(refused);
    limited("128", "doctor").says("ok   open files");
}
