//! What is different about aarch64 guests: their image is elsewhere, and only the agent can tell a
//! copy that it is one. Built with `--features vm`; needs the image in `build/aarch64/debian`,
//! which scripts/check.sh makes.

#![expect(clippy::unwrap_used, reason = "a test that panics is a test that fails")]

mod kit;

use kit::{Project, Ran, VERDICTS};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// How far a copy's clock may be from the host's, in nanoseconds.
const CLOCK_SLACK_NS: u128 = 50_000_000;

fn image() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../build/aarch64/debian")
}

fn orca(project: &Project, args: &[&str]) -> Ran {
    Ran::from(project.command(args).output().unwrap())
}

/// A project with the image at its default place.
fn with_image() -> Project {
    let project = Project::new();
    std::fs::create_dir(project.root().join("build")).unwrap();
    let place = project.root().join("build/aarch64");
    std::os::unix::fs::symlink(image().canonicalize().unwrap(), place).unwrap();
    project
}

#[test]
fn aarch64_copies_have_identities_of_their_own_and_the_right_time() {
    let project = with_image();
    let script = "date +%s%N; cat /etc/machine-id; head -c 16 /dev/urandom | od -An -tx1
                  uname -m; cat /proc/sys/kernel/random/uuid; grep -c GICv3 /proc/interrupts
                  nproc";
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
    let mut seen: Vec<Vec<String>> = Vec::new();
    for _ in 0..2 {
        let before = now();
        let ran = orca(&project, &["run", "--arch", "aarch64", "--", "sh", "-c", script]);
        let after = now();
        ran.exits(0);
        let lines: Vec<String> = ran.out.lines().map(|line| line.trim().to_owned()).collect();
        let clock: u128 = lines[0].parse().unwrap();
        let (early, late) = (before < clock + CLOCK_SLACK_NS, clock < after + CLOCK_SLACK_NS);
        assert!(early && late, "{before} {clock} {after}");
        assert_eq!(lines[1].len(), 32, "{lines:?}");
        assert_eq!((lines[3].as_str(), lines[6].as_str()), ("aarch64", "1"), "{lines:?}");
        assert_ne!(lines[5], "0", "interrupts by a GICv3: {lines:?}");
        seen.push(lines);
    }
    for (line, what) in [(1, "machine-id"), (2, "random bytes"), (4, "uuid")] {
        assert_ne!(seen[0][line], seen[1][line], "{what}");
    }
}

#[test]
fn every_verdict_on_aarch64_is_reported_for_what_it_is() {
    let project = with_image();
    for (name, body, _) in VERDICTS {
        project.test(name, body);
    }
    let check = "# orca: memory=768M cpus=2\n\
                 echo 1..1; kib=$(awk '/MemTotal/ { print $2 }' /proc/meminfo); \
                 [ $(nproc) = 2 ] && [ $kib -gt 600000 ] || printf 'not '; echo ok 1";
    project.test("big", &format!("#!/bin/sh\n{check}"));
    project.test("panic", "echo 1..1; echo c > /proc/sysrq-trigger; sleep 100");
    let ran = orca(&project, &["test", "--arch", "aarch64", "--retries", "0", "-j2"]);
    ran.exits(1).says("4 passed, 5 failed, 1 without a verdict, 1 skipped");
    ran.says("kernel panicked").never_says("no template").says_every_verdict();
}

#[test]
fn a_missing_aarch64_image_and_one_for_another_architecture_are_refused() {
    let project = Project::new();
    project.test("good", "echo 1..1; echo ok 1");
    let ran = orca(&project, &["test", "--arch", "aarch64"]);
    ran.exits(2).complains("build/aarch64/vmlinuz`: no such file or directory");
    ran.complains("scripts/build-image.sh --arch aarch64");
    let kernel = image().join("vmlinuz");
    let ran = orca(&project, &["test", "--arch", "x86_64", "--kernel", kernel.to_str().unwrap()]);
    ran.exits(2).complains("is a kernel for aarch64, not x86_64");
    let ran = orca(&project, &["test", "--arch", "aarch64", "--accel", "kvm"]);
    ran.exits(2);
}
