//! Faults of the host, the project and the user that only real machines show. Built with
//! `--features vm`; needs the image in `build/`.

#![expect(clippy::unwrap_used, reason = "a test that panics is a test that fails")]

#[path = "kit/image.rs"]
mod image;
#[expect(dead_code, reason = "not every file has a test for every verdict")]
mod kit;
#[path = "kit/process.rs"]
#[expect(dead_code, reason = "not every file sends signals to its children")]
mod process;

use kit::{Project, Ran};
use process::wait_for;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

const GOOD: &str = "echo 1..1; echo ok 1";

/// A project whose runs leave their files in its own folders only, with the image in `image`.
struct Lab {
    project: Project,
    image: PathBuf,
}

impl Lab {
    fn new() -> Self {
        Self { project: Project::new(), image: image::build() }
    }

    fn root(&self) -> &Path {
        self.project.root()
    }

    fn command(&self, args: &[&str]) -> Command {
        image::command(&self.image, &self.project, args)
    }

    fn orca(&self, args: &[&str]) -> Ran {
        Ran::from(self.command(args).output().unwrap())
    }

    fn start(&self, args: &[&str]) -> Child {
        let mut command = self.command(args);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// Waits until the log of `test` in the folder `logs` has `text`.
    fn wait_for(&self, logs: &str, test: &str, text: &str) {
        let log = self.root().join(format!("{logs}/t/{test}_test.sh/output.log"));
        wait_for(&format!("`{text}` of {test}"), || {
            fs::read_to_string(&log).is_ok_and(|log| log.contains(text))
        });
    }

    /// Fails if anything of a run is left: a machine, a socket, an overlay.
    #[track_caller]
    fn is_clean(&self) {
        assert_eq!(image::machines(&self.project), []);
        assert_eq!(image::leftovers(&self.project), [] as [PathBuf; 0]);
    }
}

fn finish(child: Child) -> Ran {
    Ran::from(child.wait_with_output().unwrap())
}

#[test]
fn an_attacker_in_the_guest_reads_and_writes_nothing_outside() {
    let lab = Lab::new();
    let outside = Project::new();
    outside.file("secret", "HOST-SECRET\n");
    let secret = outside.root().join("secret");
    for (name, target) in
        [("absolute", secret.clone()), ("root", "/".into()), ("up", "../..".into())]
    {
        symlink(target, lab.root().join("t").join(name)).unwrap();
    }
    lab.project.file("t/inside", "as it was\n");
    // Every way to the share that root in the guest has: the overlay, the mount below it, links,
    // `..`, the share remounted.
    let read = format!(
        "set -u; secret={}; lower=/run/orca/share/lower
         for at in /mnt/glacic $lower; do
         for name in absolute root$secret up/..$secret ../../..$secret; do
         cat $at/t/$name 2>&1; done; done | grep HOST-SECRET && printf 'not '
         echo ok 1 - reads nothing outside\n",
        secret.display()
    );
    let write = "umount /mnt/glacic 2>/dev/null; mount -o remount,rw $lower 2>/dev/null
         for at in $lower; do
         echo x >$at/t/inside; echo x >$at/t/new; rm -f $at/t/inside; chmod 777 $at/t/inside
         mkdir $at/d; ln -s /etc/passwd $at/t/link; mknod $at/t/node c 1 3
         mv $at/t/inside $at/t/moved; done 2>/dev/null
         [ ! -e $lower/t ] || grep -q 'as it was' $lower/t/inside || printf 'not '
         echo ok 2 - the share is as it was\n";
    lab.project.test("enemy", &format!("echo 1..2\n{read}{write}"));
    // The agent has opened the port, and a port can be opened only once: no other program in the
    // guest can write to it, by any name.
    lab.project.test(
        "port",
        "echo 1..1; for at in /dev/vport*p1 /dev/virtio-ports/* /proc/1/fd/*; do
         case $(readlink -f $at) in /dev/vport*) echo garbage >$at && printf 'not ';; esac; done
         echo ok 1 - belongs to the agent alone",
    );
    for share in ["overlay", "disk"] {
        let ran = lab.orca(&["test", "-j2", "--timeout", "20s", "--share", share]);
        ran.exits(0).says("2 test files, 3 checks");
    }
    let mut names: Vec<_> =
        fs::read_dir(lab.root().join("t")).unwrap().map(|e| e.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["absolute", "enemy_test.sh", "inside", "port_test.sh", "root", "up"]);
    assert_eq!(fs::read(lab.root().join("t/inside")).unwrap(), b"as it was\n");
    assert_eq!(fs::read(&secret).unwrap(), b"HOST-SECRET\n");
    lab.is_clean();
}

#[test]
fn secrets_reach_the_test_and_are_nowhere_to_be_seen_on_the_host() {
    let lab = Lab::new();
    let body = "echo 1..1; echo waiting >&2; sleep 3
                [ \"$TOKEN-$GIVEN\" = kept-secret-given-secret ] && echo ok 1";
    lab.project.test("env", body);
    let args = [
        "test",
        "--env",
        "TOKEN",
        "--env",
        "GIVEN=given-secret",
        "--log-dir",
        "logs",
        "--json",
        "r.json",
    ];
    let more = ["--junit", "r.xml", "-vv", "--share", "overlay"];
    let mut command = lab.command(&[&args[..], &more].concat());
    command.env("TOKEN", "kept-secret");
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    lab.wait_for("logs", "env", "waiting");
    let machines = image::machines(&lab.project);
    assert!(!machines.is_empty());
    for (_, line) in machines {
        assert!(!line.contains("-secret") && line.contains("-sandbox on,"), "{line}");
        assert!(line.contains("readonly=on") && line.contains("-nic none"), "{line}");
    }
    let run = fs::read_dir(lab.root().join("tmp")).unwrap().next().unwrap().unwrap();
    assert_eq!(run.metadata().unwrap().permissions().mode() & 0o777, 0o700);
    let ran = finish(child);
    ran.exits(0).never_says("-secret");
    assert!(!ran.err.contains("-secret"), "{}", ran.err);
    let mut grep = Command::new("grep");
    grep.args(["-rl", "e[a-z]*-secret", "logs", "r.json", "r.xml"]).current_dir(lab.root());
    let grep = grep.output().unwrap();
    assert_eq!(String::from_utf8_lossy(&grep.stdout), "");
}

#[test]
fn two_runs_and_a_killed_one_in_one_project_do_not_touch_each_other() {
    let lab = Lab::new();
    lab.project.test("a", "echo 1..1; echo waiting >&2; sleep 4; echo ok 1").test("b", GOOD);
    lab.project.test("endless", "echo 1..1; echo waiting >&2; exec sleep 1000");
    let two = ["t/a_test.sh", "t/b_test.sh", "--log-dir"];
    let first = lab.start(&[&["test"], &two[..], &["one"]].concat());
    let second = lab.start(&[&["test"], &two[..], &["two"]].concat());
    let mut third = lab.start(&["test", "t/endless_test.sh", "--log-dir", "three"]);
    for (logs, test) in [("one", "a"), ("two", "a"), ("three", "endless")] {
        lab.wait_for(logs, test, "waiting");
    }
    third.kill().unwrap();
    assert_eq!(third.wait().unwrap().signal(), Some(9));
    for child in [first, second] {
        finish(child).exits(0).says("2 passed").never_says("no template").never_says("again");
    }
    lab.orca(&["test", "t/b_test.sh"]).exits(0); // and removes what the killed run left
    lab.is_clean();
}

#[test]
fn an_image_replaced_during_a_run_changes_the_next_one() {
    let mut lab = Lab::new();
    lab.image = lab.root().join("image");
    fs::create_dir(&lab.image).unwrap();
    let link = |name: &str, to: &str| {
        fs::copy(image::build().join(name), lab.image.join(to)).unwrap();
    };
    for name in ["vmlinux", "initramfs", "rootfs.ext4"] {
        link(name, name);
    }
    lab.project
        .test("a", "echo 1..1; echo waiting >&2; sleep 4; cat /usr/bin/* >/dev/null; echo ok 1");
    lab.project.test("b", GOOD).test("c", GOOD);
    let orca = |args: &[&str]| {
        let mut command = lab.command(args);
        command.env("XDG_CACHE_HOME", lab.root().join("cache")).stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let child = orca(&["test", "-j1", "--log-dir", "logs"]);
    lab.wait_for("logs", "a", "waiting");
    // As scripts/build-image.sh does it: a new file beside the old one is renamed over it.
    for name in ["vmlinux", "initramfs", "rootfs.ext4"] {
        link(name, "new");
        fs::rename(lab.image.join("new"), lab.image.join(name)).unwrap();
    }
    finish(child).exits(0).says("3 passed");
    finish(orca(&["test"])).exits(0).says("3 passed");
    fs::write(lab.image.join("vmlinux"), "half").unwrap();
    finish(orca(&["test"])).exits(2).complains("is not a kernel that QEMU can start");
    lab.is_clean();
}

#[test]
fn a_disk_that_fills_up_during_a_run_is_the_hosts_fault() {
    let lab = Lab::new();
    let small = lab.root().join("small");
    fs::create_dir(&small).unwrap();
    let mount = ["-t", "tmpfs", "-o", "size=12m", "none"];
    if !Command::new("mount").args(mount).arg(&small).status().is_ok_and(|status| status.success())
    {
        return; // only root can mount, and CI runs as root
    }
    // The factor of fast hardware, so that a machine that does not answer is found hung sooner.
    let args = ["test", "-j1", "--timeout-factor", "0.5", "--boot-timeout", "300s"];
    lab.project.test(
        "fill",
        "echo 1..1; dd if=/dev/urandom of=/root/big bs=1M count=64 2>&1; sync; sleep 100
         echo ok 1",
    );
    let ran = Ran::from(lab.command(&args).env("TMPDIR", &small).output().unwrap());
    let umount = Command::new("umount").arg(&small).status().unwrap();
    ran.exits(3).says("the host cannot write `").says("1 without a verdict");
    assert!(umount.success());
    lab.is_clean();
}
