//! What goes wrong while machines are frozen and copied: orca is interrupted, there is no room, a
//! frozen machine is damaged. Built with `--features vm`; needs the Debian image in `build/`.

#![expect(clippy::unwrap_used, reason = "a test that panics is a test that fails")]

#[path = "kit/image.rs"]
mod image;
#[expect(dead_code, reason = "not every file uses all of the kit")]
mod kit;
#[path = "kit/lab.rs"]
#[expect(dead_code, reason = "not every file uses all of the kit")]
mod lab;
#[path = "kit/process.rs"]
#[expect(dead_code, reason = "not every file asks whether a process is alive")]
mod process;

use kit::Ran;
use lab::Lab;
use process::{signal, wait_for};
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Forks again and again, so that some machine is being frozen or thawed at any time.
const FORKS: &str =
    "echo 1..1; for i in $(seq 500); do orca-fork a$i b$i >/dev/null; done; echo ok 1";

/// The files in the cache, at any depth, that are no locks and have no entry of their own.
fn strays(lab: &Lab) -> Vec<PathBuf> {
    let (mut found, mut folders) = (Vec::new(), vec![lab.beside("cache")]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let name = entry.file_name().into_string().unwrap();
            if name.starts_with(".new") || name.starts_with("orca-unnamed") {
                found.push(entry.path());
            } else if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            }
        }
    }
    found
}

#[test]
fn a_run_that_is_interrupted_among_forks_leaves_nothing() {
    let lab = Lab::with_cache();
    lab.test("x", FORKS).test("good", "echo 1..1; echo ok 1");
    let forked = || lab.beside("logs/t/x_test.sh.case-a1+a2").exists();
    for name in ["INT", "KILL"] {
        let mut child = lab.start(&["-j2", "t/x_test.sh"]);
        wait_for("some forks", || forked() || child.try_wait().unwrap().is_some());
        signal(&child, name);
        let output = child.wait_with_output().unwrap();
        let killed = output.status.signal();
        let ran = Ran::from(output);
        if name == "INT" {
            assert_eq!(killed, Some(2), "{ran:?}");
            ran.says("interrupted: ending ").says("0 passed, ").says(" not run");
            lab.is_clean();
            assert_eq!(strays(&lab), [] as [PathBuf; 0]);
        } else {
            assert_eq!(killed, Some(9), "{ran:?}");
        }
        fs::remove_dir_all(lab.beside("logs")).unwrap();
    }
    lab.orca(&["t/good_test.sh"]).0.exits(0).never_says("warning: made");
    assert_eq!(strays(&lab), [] as [PathBuf; 0]);
}

/// Changes a byte in the middle of a file.
fn damage(path: &Path) {
    let file = File::options().read(true).write(true).open(path).unwrap();
    let middle = file.metadata().unwrap().len() / 2;
    let mut byte = [0];
    file.read_exact_at(&mut byte, middle).unwrap();
    file.write_all_at(&[!byte[0]], middle).unwrap();
}

#[test]
fn a_frozen_machine_that_is_damaged_or_gone_is_made_again() {
    let lab = Lab::with_cache();
    lab.file("t/setup.sh", "# orca: cache=src\necho made >/srv/made").file("src/a", "");
    lab.test("x", "echo 1..1; [ $(cat /srv/made) = made ] && echo ok 1");
    let templates = || {
        let all = fs::read_dir(lab.beside("cache/orca/templates")).unwrap().map(Result::unwrap);
        let mut all: Vec<_> =
            all.map(|e| e.path()).filter(|path| path.join("ram").exists()).collect();
        all.sort();
        all
    };
    let run = || {
        let (ran, report) = lab.orca(&[]);
        ran.exits(0).says("1 passed");
        (ran, report.one("t/setup.sh", "pass")["notes"][0] == "kept from an earlier run")
    };
    assert!(!run().1);
    assert_eq!(templates().len(), 2, "that of the image and that of the set-up");
    assert!(run().1);
    for part in ["ram", "state"] {
        for template in templates() {
            let meta = fs::read_to_string(template.join("meta.json")).unwrap();
            if part == "ram" || meta.contains("setup.sh") {
                damage(&template.join(part));
            }
        }
        let (ran, kept) = run();
        ran.says(&format!("t/setup.sh: made again: `{part}` is damaged"));
        let template = format!("made the template again: `{part}` is damaged");
        assert_eq!(ran.out.contains(&template), part == "ram", "{ran:?}");
        assert!(!kept, "{part}");
        assert_eq!(templates().len(), 2, "{part}");
    }
    assert!(run().1);
    fs::remove_dir_all(lab.beside("cache/orca/templates")).unwrap();
    assert!(!run().1);
}

#[test]
fn without_room_for_a_frozen_machine_the_cases_are_run_from_the_start() {
    let lab = Lab::with_cache();
    lab.test("x", "echo 1..1; head -c 120M /dev/urandom >/run/x; orca-fork a b; echo ok 1");
    let cache = lab.beside("cache");
    fs::create_dir(&cache).unwrap();
    let mount = ["-t", "tmpfs", "-o", "size=200m", "none"];
    if !Command::new("mount").args(mount).arg(&cache).status().is_ok_and(|status| status.success())
    {
        return; // only root can mount, and CI runs as root
    }
    let (ran, report) = lab.orca(&["-j1"]);
    assert!(Command::new("umount").arg(&cache).status().unwrap().success());
    ran.exits(0).says("2 passed").says("cannot be frozen");
    for case in ["a", "b"] {
        report.one(&format!("t/x_test.sh [{case}]"), "pass");
    }
}
