//! Faults of the host, the project and the user that need no VM to be seen: each gets one message
//! and the next step, or orca works in spite of it.

#![expect(clippy::unwrap_used, reason = "a test that panics is a test that fails")]

#[expect(dead_code, reason = "not every file has a test for every verdict")]
mod kit;
#[path = "kit/local.rs"]
mod local;
#[path = "kit/process.rs"]
mod process;

use kit::{Project, Ran};
use local::{local, orca};
use process::{is_alive, signal};
use serde_json::Value;
use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// The user `nobody`, for a test that must not have the rights of root.
const NOBODY: u32 = 65534;
const GOOD: &str = "echo 1..1; echo ok 1";
/// Never ends. The process that it starts does not end either: it has a session and a parent of its
/// own and ignores SIGTERM.
const ENDLESS: &str = "(setsid sh -c 'trap \"\" TERM; echo $$ >pid; : >started; exec sleep 1000' &)
while :; do sleep 1000; done";

/// A project with one good test.
fn good() -> Project {
    let project = Project::new();
    project.test("good", GOOD);
    project
}

/// Makes files that look like an image, and a QEMU that is a script: `version` answers `--version`,
/// and `body` is everything else. Returns the arguments that name them.
fn with_qemu(project: &Project, version: &str, body: &str) -> Vec<String> {
    let mut kernel = vec![0; 4096];
    kernel[0x202..0x206].copy_from_slice(b"HdrS");
    fs::write(project.root().join("kernel"), kernel).unwrap();
    fs::write(project.root().join("initrd"), b"\x1f\x8b\x08").unwrap();
    let script = format!("#!/bin/sh\n[ \"$1\" != --version ] || {{ {version}; exit; }}\n{body}\n");
    project.file("qemu", &script);
    fs::set_permissions(project.root().join("qemu"), Permissions::from_mode(0o755)).unwrap();
    let args = ["--qemu=./qemu", "--kernel=kernel", "--initrd=initrd", "--rootfs=none"];
    args.map(str::to_owned).to_vec()
}

/// Runs orca in a shell that has set limits first.
fn limited(project: &Project, limits: &str, args: &[&str]) -> Ran {
    let orca = project.command(args);
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("{limits}; exec \"$0\" \"$@\"")]).arg(orca.get_program());
    shell.args(orca.get_args()).current_dir(project.root());
    shell.env("XDG_STATE_HOME", project.root().join(".state"));
    Ran::from(shell.output().unwrap())
}

fn wait_for(path: &Path) {
    process::wait_for(&path.to_string_lossy(), || path.exists());
}

fn lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_qemu_that_is_missing_old_broken_or_another_program_gets_one_message() {
    let project = good();
    let run = |version: &str| {
        let image = with_qemu(&project, version, "exit 9");
        let words = image.iter().map(String::as_str);
        orca(&project, &[&["test", "--accel", "tcg"], &words.collect::<Vec<_>>()[..]].concat())
    };
    let old = run("echo QEMU emulator version 4.2.1");
    old.exits(2).complains("qemu` is QEMU 4.2, and 7 or later is needed\nhint: install a newer");
    assert_eq!(old.err.lines().count(), 2, "{}", old.err);
    run("echo no >&2; exit 3").exits(2).complains("does not work").complains("status: 3: no\n");
    run("echo GNU bash").exits(2).complains("its --version says `GNU bash`").complains("--qemu");
    let mut nowhere = project.command(&["test"]);
    Ran::from(nowhere.env("PATH", "/proc/nowhere").output().unwrap())
        .exits(2)
        .complains("there is no `qemu-system-")
        .complains("hint: install it");
    fs::set_permissions(project.root().join("qemu"), Permissions::from_mode(0o644)).unwrap();
    orca(&project, &["test", "--qemu", "./qemu"]).exits(2).complains("is not executable");
}

#[test]
fn a_truncated_image_gets_one_message() {
    let project = good();
    let image = with_qemu(&project, "echo QEMU emulator version 7.2.0", "exit 9");
    let image: Vec<&str> = image.iter().map(String::as_str).collect();
    let run = |more: &[&str]| {
        // Several --kernel would be a matrix, so the option under test replaces the good one.
        let mut words = [&["test"], &image[..]].concat();
        let at = words.iter().position(|word| more.first() == Some(word));
        at.into_iter().for_each(|at| drop(words.drain(at..at + 2)));
        orca(&project, &[&words[..], more].concat())
    };
    let kernel = fs::read(project.root().join("kernel")).unwrap();
    fs::write(project.root().join("cut"), &kernel[..2000]).unwrap();
    run(&["--kernel", "cut"])
        .exits(2)
        .complains("`cut` is cut off: 2000 bytes of 2560\nhint: copy or build it again");
    fs::write(project.root().join("cut"), format!("070701{}", "0".repeat(104))).unwrap();
    run(&["--initrd", "cut"]).exits(2).complains("`cut` is cut off\nhint: copy or build it again");
    run(&["--kernel", "t"]).exits(2).complains("there is no `arch/x86/boot/bzImage` in `t`");
    run(&["--arch", "aarch64"]).exits(2).complains("is a kernel for x86_64, not aarch64");
}

#[test]
fn a_hypervisor_that_runs_nothing_is_probed_once() {
    let project = good();
    let version = "echo QEMU emulator version 7.2.0";
    let image = with_qemu(&project, version, "echo probe >>probes; exec sleep 1000");
    let image: Vec<&str> = image.iter().map(String::as_str).collect();
    let opens = fs::File::options().read(true).write(true).open("/dev/kvm").is_ok();
    let tries = || fs::read_to_string(project.root().join("probes")).unwrap_or_default();
    for _ in 0..2 {
        let mut command = project.command(&[&["run", "--print-command"], &image[..]].concat());
        command.env("XDG_CACHE_HOME", project.root().join("cache"));
        Ran::from(command.output().unwrap()).exits(0).says("accel=tcg");
        assert_eq!(tries().lines().count(), usize::from(opens && cfg!(target_arch = "x86_64")));
    }
}

#[test]
fn a_test_by_hand_gets_the_machine_of_its_header_or_is_told_why_there_is_none() {
    let project = good();
    let image = with_qemu(&project, "echo QEMU emulator version 7.2.0", "exit 1");
    let image: Vec<&str> = image.iter().map(String::as_str).collect();
    let run = |header: &str, options: &[&str]| {
        project.test("asks", &format!("# orca: {header}\n{GOOD}"));
        let words = ["run", "--print-command", "--accel=tcg", "--test", "t/asks_test.sh"];
        let mut command = project.command(&[&words[..], &image[..], options].concat());
        Ran::from(command.env("XDG_CACHE_HOME", project.root().join("cache")).output().unwrap())
    };
    run("memory=1G cpus=2", &[])
        .exits(0)
        .says("-m 1024M")
        .says("-smp 2")
        .never_says("-netdev user");
    run("net=user", &[]).exits(0).says("-netdev user").says("-m 512M");
    run("net=none", &["--net=user"]).exits(0).never_says("-netdev user");
    run("requires=vm", &[]).exits(0);
    run("requires=kvm", &[])
        .exits(2)
        .complains("`t/asks_test.sh` requires kvm, which is not available here\n")
        .complains("hint: `orca test` skips it");
}

#[test]
fn a_low_limit_of_open_files_is_raised_or_gets_one_message() {
    let project = good();
    for limit in [20, 64] {
        let ran = limited(&project, &format!("ulimit -n {limit}"), &["test", "-j1"]);
        ran.exits(2).complains(&format!("1 worker needs 128 open files, and the limit is {limit}"));
        ran.complains("hint: raise it with `ulimit -n 128`");
    }
    project.test("another", GOOD);
    limited(&project, "ulimit -Sn 20", &["test", "--machine", "local", "-j2"]).exits(0);
    limited(&project, "ulimit -n 50", &["test", "--machine", "local", "-j2"])
        .exits(2)
        .complains("2 workers need 64 open files, and the limit is 50")
        .complains("or run fewer with -j1");
}

#[test]
fn a_folder_that_is_missing_or_a_file_is_named() {
    let project = good();
    project.file("file", "");
    let run = |name: &str, value: &str| {
        let mut command = project.command(&["test", "--machine", "local"]);
        Ran::from(command.env(name, value).output().unwrap())
    };
    run("TMPDIR", "/proc/nowhere").exits(2).complains("folder in `/proc/nowhere`: no such file");
    let file = project.root().join("file").to_string_lossy().into_owned();
    run("XDG_STATE_HOME", &file).exits(2).complains("not a directory").complains("--log-dir");
    local(&project, &["--log-dir", "file/x"]).exits(2).complains("cannot create `file/x`");
    let mut homeless = project.command(&["test", "--machine", "local", "--log-dir", "logs"]);
    for name in ["HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME"] {
        homeless.env_remove(name);
    }
    Ran::from(homeless.output().unwrap()).exits(0);
}

#[test]
fn a_temporary_folder_too_long_for_a_socket_still_works() {
    let project = good();
    let long = project.root().join("x".repeat(100));
    fs::create_dir(&long).unwrap();
    let mut command = project.command(&["test", "--machine", "local"]);
    Ran::from(command.env("TMPDIR", &long).output().unwrap()).exits(0).says("1 passed");
    let left: Vec<_> = fs::read_dir(&long).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_read_only_project_works() {
    let project = good();
    let state = Project::new();
    fs::set_permissions(state.root(), Permissions::from_mode(0o777)).unwrap();
    fs::set_permissions(project.root(), Permissions::from_mode(0o555)).unwrap();
    let mut command = project.command(&["test", "--machine", "local"]);
    without_root(&mut command).env("XDG_STATE_HOME", state.root().join("state"));
    let ran = Ran::from(command.output().unwrap());
    fs::set_permissions(project.root(), Permissions::from_mode(0o755)).unwrap();
    ran.exits(0).says("1 passed");
}

/// Drops the rights of root, who may read and write anything.
fn without_root(command: &mut Command) -> &mut Command {
    if nix::unistd::geteuid().is_root() { command.uid(NOBODY).gid(NOBODY) } else { command }
}

#[test]
fn tests_that_cannot_be_read_are_named() {
    let project = Project::new();
    project.test("folder/a", GOOD).test("b", GOOD);
    fs::set_permissions(project.root(), Permissions::from_mode(0o777)).unwrap();
    for (closed, said) in
        [("t/b_test.sh", "`t/b_test.sh`"), ("t/folder", "/t/folder`"), ("t", "/t`")]
    {
        let path = project.root().join(closed);
        let before = fs::metadata(&path).unwrap().permissions();
        fs::set_permissions(&path, Permissions::from_mode(0o0)).unwrap();
        let mut command = project.command(&["test", "--machine", "local", "--log-dir", "logs"]);
        let ran = Ran::from(without_root(&mut command).output().unwrap());
        fs::set_permissions(&path, before).unwrap();
        ran.exits(2).complains(&format!("{said}: permission denied\nhint: make it readable"));
    }
}

#[test]
fn an_empty_and_a_missing_test_folder_get_different_messages() {
    let project = Project::new();
    local(&project, &[]).exits(4).complains("no tests in");
    fs::remove_dir(project.root().join("t")).unwrap();
    local(&project, &[]).exits(2).complains("/t`\nhint: put tests in").complains("there is no");
    fs::write(project.root().join("t"), "").unwrap();
    local(&project, &[]).exits(2).complains("/t` is not a folder");
    fs::remove_file(project.root().join("t")).unwrap();
    symlink("t", project.root().join("t")).unwrap();
    local(&project, &[]).exits(2).complains("too many levels of symbolic links");
}

#[test]
fn links_and_pipes_named_like_tests_are_not_run() {
    let project = good();
    symlink(".", project.root().join("t/loop")).unwrap();
    symlink("self_test.sh", project.root().join("t/self_test.sh")).unwrap();
    symlink("/etc/passwd", project.root().join("t/out_test.sh")).unwrap();
    nix::unistd::mkfifo(&project.root().join("t/pipe_test.sh"), nix::sys::stat::Mode::S_IRWXU)
        .unwrap();
    local(&project, &[]).exits(0).says("1 test file, 1 check");
    for name in ["pipe", "out"] {
        let path = format!("t/{name}_test.sh");
        local(&project, &[&path]).exits(2).complains(&format!("`{path}` is not a test"));
    }
}

#[test]
fn a_test_whose_name_is_any_bytes_can_be_run_again() {
    let project = Project::new();
    let names: [&[u8]; 3] =
        [b"a\xff_test.sh", b"a\xfe_test.sh", b"q ' \" $(id) \x1b[31m\n_test.sh"];
    for name in names {
        fs::write(project.root().join("t").join(OsStr::from_bytes(name)), "echo not ok 1").unwrap();
    }
    let ran = local(&project, &["-j1", "--json", "r.json", "--junit", "r.xml"]);
    ran.exits(1).says("3 failed").never_says("\x1b[31m");
    let finished = lines(&project.root().join("r.json"));
    let finished = finished.iter().filter(|line| line["event"] == "test_finished");
    let mut seen: Vec<(String, String)> =
        finished.map(|line| (line["test"].to_string(), line["dir"].to_string())).collect();
    seen.sort();
    seen.dedup_by(|a, b| a.0 == b.0 || a.1 == b.1);
    assert_eq!(seen.len(), 3, "{seen:?}");
    assert!(fs::read_to_string(project.root().join("r.xml")).unwrap().contains(r"t/a\xff_test.sh"));
    let again: Vec<&str> =
        ran.out.lines().filter_map(|line| line.trim().strip_prefix("again: ")).collect();
    assert_eq!(again.len(), 3, "{}", ran.out);
    for line in again {
        let mut shell = Command::new("sh");
        shell.args(["-c", line]);
        shell.current_dir(project.root()).env("XDG_STATE_HOME", project.root().join(".state"));
        Ran::from(shell.output().unwrap()).exits(1).says("1 test file, 1 check");
    }
}

#[test]
fn four_thousand_tests_run_like_four() {
    let project = Project::new();
    for number in 0..4000 {
        project.test(&format!("n{number}"), GOOD);
    }
    local(&project, &["-q", "--reuse", "-j2"]).exits(0).says("4000 test files, 4000 checks");
}

#[test]
fn a_report_that_does_not_fit_on_its_disk_fails_the_run() {
    let project = good();
    let ran = local(&project, &["--json", "/dev/full"]);
    ran.exits(2).says("1 passed").complains("cannot write `/dev/full`: no space left on device");
    local(&project, &["--junit", "/dev/full"]).exits(2).complains("cannot write `/dev/full`");
    project.test("bad", "echo 1..1; echo not ok 1");
    local(&project, &["--json", "/dev/full"]).exits(1).complains("make room on its disk");
}

/// Starts a run of two tests. On return the first is over; the second has run its body `second` and
/// does not end.
fn half_done(project: &Project, second: &str) -> Child {
    project.test("a", GOOD).test("b", &format!("echo 1..1; {second}\n{ENDLESS}"));
    let args = ["test", "--machine", "local", "-j1", "--json", "r.json", "--junit", "r.xml"];
    fs::create_dir(project.root().join("tmp")).unwrap();
    let mut command = project.command(&args);
    command.env("TMPDIR", project.root().join("tmp")).stdout(Stdio::piped());
    let child = command.spawn().unwrap();
    wait_for(&project.root().join("started"));
    child
}

/// Whether nothing is left of the tests that [`half_done`] started: neither a folder nor the
/// process whose id is in the file `pid`.
fn is_cleared_away(project: &Project) -> bool {
    let pid = fs::read_to_string(project.root().join("pid")).unwrap();
    let mut folders = fs::read_dir(project.root().join("tmp")).unwrap().map(Result::unwrap);
    let has_folder =
        folders.any(|folder| folder.file_name().to_string_lossy().starts_with("orca-test."));
    !has_folder && !is_alive(&pid)
}

/// Fails unless the reports are complete, with these outcomes and this last event in the JSON.
fn check_reports(project: &Project, outcomes: &[&str], last: &str) {
    let lines = lines(&project.root().join("r.json"));
    let finished = lines.iter().filter(|line| line["event"] == "test_finished");
    let got: Vec<&str> = finished.map(|line| line["outcome"].as_str().unwrap()).collect();
    assert_eq!((&got[..], lines.last().unwrap()["event"].as_str()), (outcomes, Some(last)));
    let xml = fs::read_to_string(project.root().join("r.xml")).unwrap();
    assert!(xml.ends_with("</testsuites>\n"), "{xml}");
    assert_eq!(xml.matches("<testsuite ").count(), outcomes.len(), "{xml}");
}

#[test]
fn an_interrupted_run_has_complete_reports() {
    let project = Project::new();
    let child = half_done(&project, "");
    signal(&child, "INT");
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.signal(), Some(2));
    check_reports(&project, &["pass", "not run"], "finished");
    assert!(is_cleared_away(&project));
}

#[test]
fn a_second_interrupt_does_not_wait_for_the_grace_period() {
    let project = Project::new();
    let child = half_done(&project, "trap ': >asked' TERM");
    signal(&child, "INT");
    wait_for(&project.root().join("asked"));
    signal(&child, "TERM");
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.signal(), Some(2), "it dies of the first signal");
    assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed, 1 not run"));
    check_reports(&project, &["pass", "not run"], "finished");
    assert!(is_cleared_away(&project));
}

#[test]
fn a_killed_orca_leaves_reports_of_what_has_finished() {
    let project = Project::new();
    let mut child = half_done(&project, "");
    child.kill().unwrap();
    child.wait().unwrap();
    check_reports(&project, &["pass"], "test_started");
    process::wait_for("the test's folder and process to be gone", || is_cleared_away(&project));
}

#[test]
fn time_in_which_orca_was_stopped_does_not_count_against_a_test() {
    let project = Project::new();
    project.test("slow", "echo 1..1; : > started; sleep 5; echo ok 1");
    let args = ["test", "--machine", "local", "--timeout", "4s"];
    let child = project.command(&args).stdout(Stdio::piped()).spawn().unwrap();
    wait_for(&project.root().join("started"));
    signal(&child, "STOP");
    // This pause is the fault: it is longer than the timeout and shorter than the test.
    std::thread::sleep(Duration::from_millis(4500));
    signal(&child, "CONT");
    Ran::from(child.wait_with_output().unwrap()).exits(0).says("1 passed");
}
