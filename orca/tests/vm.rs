//! Behaviour that only real machines show. Built with `--features vm`; needs the image in `build/`,
//! which scripts/check.sh makes.

#![expect(clippy::unwrap_used, reason = "a test that panics is a test that fails")]

#[path = "kit/image.rs"]
mod image;
mod kit;
#[path = "kit/process.rs"]
#[expect(dead_code, reason = "not every file asks whether a process is alive")]
mod process;

use kit::{Project, Ran, VERDICTS};
use process::{signal, wait_for};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

/// A project whose runs leave their files in its own folders only.
struct Lab {
    project: Project,
}

impl Lab {
    fn new() -> Self {
        Self { project: Project::new() }
    }

    fn test(&self, name: &str, body: &str) -> &Self {
        self.project.test(name, body);
        self
    }

    fn command(&self, args: &[&str]) -> Command {
        image::command(&image::build(), &self.project, args)
    }

    fn orca(&self, args: &[&str]) -> Ran {
        Ran::from(self.command(args).output().unwrap())
    }

    /// Starts `orca test` on a test that does not end, and waits until the test runs.
    fn start_endless(&self) -> Child {
        self.test("endless", "echo 1..1; echo '# it runs' >&2; exec sleep 1000");
        let mut child = self
            .command(&["test", "--log-dir", "logs", "-j1"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let log = self.project.root().join("logs/t/endless_test.sh/output.log");
        let runs = || fs::read_to_string(&log).is_ok_and(|text| text.contains("it runs"));
        wait_for("the test to run", || runs() || child.try_wait().unwrap().is_some());
        assert!(runs(), "orca ended early");
        child
    }

    /// The folders of runs that are still there.
    fn leftovers(&self) -> Vec<PathBuf> {
        image::leftovers(&self.project)
    }

    /// How many QEMU processes run for this project.
    fn machines(&self) -> usize {
        image::machines(&self.project).len()
    }
}

#[test]
fn every_verdict_in_a_vm_is_reported_for_what_it_is() {
    let lab = Lab::new();
    for (name, body, _) in VERDICTS {
        lab.test(name, body);
    }
    for policy in [&["--reuse"][..], &[]] {
        let ran = lab.orca(&[&["test", "-j2"], policy].concat());
        ran.exits(1).says("3 passed, 5 failed, 1 skipped").never_says("ERROR");
        ran.says_every_verdict();
    }
    assert!(lab.leftovers().is_empty(), "{:?}", lab.leftovers());
    assert_eq!(lab.machines(), 0);
}

#[test]
fn a_command_in_a_vm_has_our_streams_and_gives_us_its_status() {
    let lab = Lab::new();
    let script = "cat; echo out; echo err >&2; pwd; exit 7";
    let mut child = lab
        .command(&["run", "--", "sh", "-c", script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"typed\n").unwrap();
    let ran = Ran::from(child.wait_with_output().unwrap());
    ran.exits(7).complains("err\n");
    assert_eq!(ran.out, "typed\nout\n/mnt/glacic\n");
    assert!(lab.leftovers().is_empty());
}

#[test]
fn copies_have_identities_of_their_own_and_the_right_time() {
    let lab = Lab::new();
    let script = "date +%s%N; cat /etc/machine-id; hostname; head -c 16 /dev/urandom | od -An -tx1";
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
    let slack = 50_000_000; // 50 ms
    let mut seen: Vec<Vec<String>> = Vec::new();
    for _ in 0..2 {
        let before = now();
        let ran = lab.orca(&["run", "--", "sh", "-c", script]);
        let after = now();
        ran.exits(0);
        let lines: Vec<String> = ran.out.lines().map(str::to_owned).collect();
        let clock: u128 = lines[0].parse().unwrap();
        assert!(before < clock + slack && clock < after + slack, "{before} {clock} {after}");
        assert_eq!(lines[1].len(), 32, "{lines:?}");
        assert_eq!(lines[2], "vm1");
        seen.push(lines);
    }
    assert_ne!(seen[0][1], seen[1][1], "machine-id");
    assert_ne!(seen[0][3], seen[1][3], "random bytes");
}

#[test]
fn a_test_finds_nothing_of_what_the_last_one_did() {
    let lab = Lab::new();
    let probe = "state() { ls /root/mark t/mark /tmp/mark /run/mark 2>/dev/null | wc -l; \
                 nft list ruleset | wc -l; sysctl -n net.ipv4.ip_forward; ip netns list | wc -l; \
                 pgrep -c sleep; grep -c ^wireguard /proc/modules; date +%Y; }; ";
    let dirty = "touch /root/mark t/mark /tmp/mark /run/mark; nft add table inet mark; \
                 sysctl -qw net.ipv4.ip_forward=1; ip netns add mark; setsid sleep 1000 & \
                 modprobe wireguard; date -s 2001-01-01 >/dev/null; ";
    let clean = "set -- $(state); echo 1..1; \
                 [ \"$1 $2 $3 $4 $5 $6\" = '0 0 0 0 0 0' ] && [ $7 != 2001 ] || \
                 { echo \"# $*\"; printf 'not '; }; echo ok 1; ";
    for name in ["a", "b", "c", "d"] {
        lab.test(name, &format!("{probe}{clean}{dirty}"));
    }
    lab.orca(&["test", "-j2"]).exits(0).says("4 passed");
    assert!(!lab.project.root().join("t/mark").exists());
}

#[test]
fn a_test_gets_the_machine_that_its_header_asks_for() {
    let lab = Lab::new();
    let check = "echo 1..1; kib=$(awk '/MemTotal/ { print $2 }' /proc/meminfo); \
                 [ $(nproc) = 2 ] && [ $kib -gt 600000 ] || printf 'not '; echo ok 1";
    lab.test("big", &format!("#!/bin/sh\n# orca: memory=768M cpus=2\n{check}"));
    lab.test("usual", &format!("#!/bin/sh\n{}", check.replace("|| printf", "&& printf")));
    let card =
        "echo 1..1; modprobe virtio_net; [ -e /sys/class/net/eth0 ] || printf 'not '; echo ok 1";
    lab.test("card", &format!("#!/bin/sh\n# orca: net=user\n{card}"));
    lab.test("none", &format!("#!/bin/sh\n{}", card.replace("||", "&&")));
    let foreign = if cfg!(target_arch = "aarch64") { "x86_64" } else { "aarch64" };
    lab.test("foreign", &format!("#!/bin/sh\n# orca: requires={foreign}\nexit 1"));
    lab.orca(&["test", "-j1"]).exits(0).says("4 passed, 1 skipped");
    lab.orca(&["test", "-j1", "--reuse"]).exits(0).says("4 passed, 1 skipped");
}

#[test]
fn cold_boots_and_copies_give_the_same_verdicts() {
    let lab = Lab::new();
    lab.test("good", "echo 1..1; echo ok 1").test("bad", "echo 1..1; echo not ok 1");
    for policy in ["--cold", "--reuse"] {
        lab.orca(&["test", policy]).exits(1).says("1 passed, 1 failed");
    }
}

#[test]
fn a_damaged_template_is_made_anew() {
    let lab = Lab::new();
    lab.test("good", "echo 1..1; echo ok 1");
    let cache = lab.project.root().join("cache");
    let run = || Ran::from(lab.command(&["test"]).env("XDG_CACHE_HOME", &cache).output().unwrap());
    run().exits(0).never_says("warning: made");
    let template = fs::read_dir(cache.join("orca/templates")).unwrap().flatten();
    let template = template.map(|e| e.path()).find(|path| path.join("ram").exists()).unwrap();
    for part in ["ram", "state", "disk.qcow2", "meta.json"] {
        let path = template.join(part);
        let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
        let middle = if part == "meta.json" { 0 } else { file.metadata().unwrap().len() / 2 };
        std::os::unix::fs::FileExt::write_all_at(&file, &[0x5a; 64], middle).unwrap();
        run().exits(0).says("1 passed").says("made the template again").says(part);
    }
    run().exits(0).never_says("made the template again");
}

#[test]
fn a_kernel_panic_costs_one_test_its_verdict() {
    let lab = Lab::new();
    lab.test("panic", "echo 1..1; echo ok 1; echo c > /proc/sysrq-trigger; sleep 100");
    lab.test("good", "echo 1..1; echo ok 1");
    let ran = lab.orca(&["test", "-j1"]);
    ran.exits(3).says("kernel panicked: Kernel panic - not syncing: sysrq triggered crash");
    ran.says("trying again").says("1 passed, 1 without a verdict");
}

#[test]
fn a_machine_that_powers_off_is_lost_and_never_a_pass() {
    let lab = Lab::new();
    lab.test("off", "echo 1..1; echo ok 1; echo o > /proc/sysrq-trigger; sleep 100");
    lab.orca(&["test"]).exits(3).says("machine lost").says("1 without a verdict");
}

#[test]
fn an_interrupt_leaves_nothing_behind() {
    let lab = Lab::new();
    let mut child = lab.start_endless();
    assert!(lab.machines() > 0 && !lab.leftovers().is_empty());
    signal(&child, "INT");
    let out = BufReader::new(child.stdout.take().unwrap());
    let lines: Vec<String> = out.lines().map(Result::unwrap).collect();
    assert_eq!(child.wait().unwrap().signal(), Some(2), "{lines:#?}");
    assert!(lines.iter().any(|line| line.contains("1 not run")), "{lines:#?}");
    assert_eq!(lab.machines(), 0);
    assert!(lab.leftovers().is_empty(), "{:?}", lab.leftovers());
}

#[test]
fn machines_end_with_a_killed_orca_and_the_next_run_cleans_up() {
    let lab = Lab::new();
    let mut child = lab.start_endless();
    child.kill().unwrap();
    child.wait().unwrap();
    wait_for("QEMU to be gone", || lab.machines() == 0);
    assert!(!lab.leftovers().is_empty(), "kill -9 leaves the folder");
    fs::remove_file(lab.project.root().join("t/endless_test.sh")).unwrap();
    lab.test("good", "echo 1..1; echo ok 1");
    lab.orca(&["test"]).exits(0);
    assert!(lab.leftovers().is_empty(), "{:?}", lab.leftovers());
}

#[test]
fn a_missing_interpreter_gets_one_message_from_copies_and_booted_machines() {
    let lab = Lab::new();
    lab.test("missing", "#!/no/such/program\n");
    let path = lab.project.root().join("t/missing_test.sh");
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    for how in [&["test"][..], &["test", "--cold"]] {
        let told = "agent: cannot run t/missing_test.sh: No such file or directory";
        lab.orca(how).exits(1).says(told).never_says("exec");
    }
}

#[test]
fn the_share_is_an_overlay_or_read_only_or_writable() {
    let lab = Lab::new();
    let write = ["run", "--", "sh", "-c", "echo x > mark"];
    lab.orca(&write).exits(0);
    assert!(!lab.project.root().join("mark").exists());
    let with = |how| [&["run", "--share", how][..], &write[1..]].concat();
    assert_ne!(lab.orca(&with("ro")).status, Some(0));
    lab.orca(&with("rw")).exits(0);
    assert!(lab.project.root().join("mark").exists());
}

#[test]
fn network_cards_of_copies_have_different_addresses() {
    let lab = Lab::new();
    let body = "# orca: net=user\necho 1..1; cat /sys/class/net/eth0/address >&2; echo ok 1";
    lab.test("a", body).test("b", body);
    lab.orca(&["test", "-j2", "--log-dir", "logs"]).exits(0).says("2 passed");
    let address = |name: &str| {
        let log = lab.project.root().join(format!("logs/t/{name}_test.sh/output.log"));
        let text = fs::read_to_string(log).unwrap();
        text.lines().find(|line| line.starts_with("52:54:00:")).unwrap().to_owned()
    };
    assert_ne!(address("a"), address("b"));
}

#[test]
fn a_set_up_is_kept_until_a_file_of_its_cache_changes() {
    let lab = Lab::new();
    let setup = "# orca: cache=rows\ncd /; sleep 1000 &\necho $! >/run/pid; cp mnt/glacic/rows run";
    lab.project.file("rows", "1\n").file("t/setup.sh", setup);
    lab.test("reads", "echo 1..1; kill -0 $(cat /run/pid) && echo \"ok 1 - $(cat /run/rows)\"");
    lab.orca(&["test", "-vv"]).exits(0).says("ok 1 - 1").never_says("(set-up; kept)");
    lab.orca(&["template"]).says(&format!("t/setup.sh in {}; ", lab.project.root().display()));
    lab.project.file("other", "");
    lab.orca(&["test"]).exits(0).says("(set-up; kept)");
    lab.project.file("rows", "2\n");
    lab.orca(&["test", "-vv"]).exits(0).says("ok 1 - 2").never_says("(set-up; kept)");
}

#[test]
fn set_ups_and_cases_do_without_a_disk_and_in_machines_that_are_used_again() {
    let lab = Lab::new();
    lab.project.file("t/setup.sh", "echo 1 >/run/by");
    lab.test("f", "echo 1..1; echo \"ok 1 - $(cat /run/by) $(orca-fork x y)\"");
    for args in [&["--share", "overlay"][..], &["--reuse"]] {
        let ran = lab.orca(&[&["test", "-vv"], args].concat());
        ran.exits(0).says("ok 1 - 1 x").says("ok 1 - 1 y").says("2 tests");
    }
}
