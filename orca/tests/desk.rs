//! What surrounds a run, without VMs: shells in failed tests, the doctor, settings, completions,
//! the manual page, and watching.

#![expect(clippy::unwrap_used, reason = "a test that panics is a test that fails")]

#[expect(dead_code, reason = "not every file has a test for every verdict")]
mod kit;
#[path = "kit/process.rs"]
mod process;
#[path = "kit/pty.rs"]
mod pty;

use kit::{Project, Ran};
use process::{PATIENCE, is_alive, signal, wait_for};
use pty::Terminal;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

/// Leaves a process and a file behind, and fails.
const MESSY: &str = "echo 1..1; sleep 1000 & echo $! >$TMPDIR/pid; echo mess >$TMPDIR/left
echo 'not ok 1 - messy'";
const GOOD: &str = "echo 1..1; echo ok 1";

/// `orca <args>`, with its sockets and its cache in the project.
fn command(project: &Project, args: &[&str]) -> Command {
    let tmp = project.root().join("tmp");
    fs::create_dir_all(&tmp).unwrap();
    let mut command = project.command(args);
    command.env("TMPDIR", tmp).env("XDG_CACHE_HOME", project.root().join(".cache"));
    command.stdin(Stdio::null());
    command
}

fn orca(project: &Project, args: &[&str]) -> Ran {
    Ran::from(command(project, args).output().unwrap())
}

/// The lines of a stream as they come.
fn lines(stream: impl std::io::Read + Send + 'static) -> Receiver<String> {
    let (sender, lines) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    lines
}

/// Waits for a line with `text`, and returns the lines before it.
#[track_caller]
fn expect(lines: &Receiver<String>, text: &str) -> Vec<String> {
    let mut seen = Vec::new();
    loop {
        match lines.recv_timeout(PATIENCE) {
            Ok(line) if line.contains(text) => return seen,
            Ok(line) => seen.push(line),
            Err(_) => panic!("no `{text}` in {seen:#?}"),
        }
    }
}

#[test]
fn a_shell_opens_where_a_test_failed_and_the_run_goes_on_afterwards() {
    let project = Project::new();
    project.test("a", MESSY).test("b", GOOD);
    let args = ["test", "--machine", "local", "-j1", "--shell-on-fail"];
    let mut terminal = Terminal::start(command(&project, &args));
    terminal.expect("not ok 1 - messy").expect("as t/a_test.sh left it");
    terminal.types("echo \"<$(cat $TMPDIR/left) $ORCA_TEST>\"");
    terminal.types("kill -0 $(cat $TMPDIR/pid) && echo is-\"alive\"");
    terminal.expect("<mess t/a_test.sh>").expect("is-alive");
    terminal.types("echo p\"id\":$(cat $TMPDIR/pid); exit").expect("pid:");
    terminal.expect("PASS").expect("1 passed, 1 failed");
    assert_eq!(terminal.end().code(), Some(1));
    let pid: String = terminal
        .seen
        .rsplit("pid:")
        .next()
        .unwrap()
        .chars()
        .take_while(char::is_ascii_digit)
        .collect();
    assert!(!is_alive(&pid), "process {pid} has outlived orca");
}

#[test]
fn a_shell_needs_a_terminal_and_says_so_before_anything_runs() {
    let project = Project::new();
    project.test("a", "echo 1..1; : >ran; echo ok 1");
    let local = |more: &[&str]| orca(&project, &[&["test", "--machine", "local"], more].concat());
    local(&["--shell-on-fail"]).exits(2).complains("--shell-on-fail needs a terminal");
    local(&["--shell-on-fail", "--keep"]).exits(2).complains("do not go together");
    assert!(!project.root().join("ran").exists());
}

#[test]
fn a_timed_out_test_still_runs_while_its_shell_is_open() {
    let project = Project::new();
    project.test("slow", "echo 1..1; echo $$ >$TMPDIR/pid; exec sleep 1000");
    let args = ["test", "--machine", "local", "--timeout", "1s", "--shell-on-fail"];
    let mut terminal = Terminal::start(command(&project, &args));
    terminal.expect("it ran into its timeout").expect("as t/slow_test.sh left it");
    terminal
        .types("kill -0 $(cat $TMPDIR/pid) && echo still-\"there\"; exit")
        .expect("still-there");
    terminal.expect("1 timed out");
    assert_eq!(terminal.end().code(), Some(1));
}

/// Starts `orca test <args>`; returns it with the lines of its standard error.
fn keeping(project: &Project, args: &[&str]) -> (Child, Receiver<String>) {
    let args = [&["test", "--machine", "local", "-j1"], args].concat();
    let mut child =
        command(project, &args).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let said = lines(child.stderr.take().unwrap());
    (child, said)
}

#[test]
fn kept_machines_can_be_entered_until_ctrl_c() {
    let project = Project::new();
    project.test("a", MESSY).test("b", MESSY).test("c", MESSY).test("d", GOOD);
    orca(&project, &["shell"]).exits(2).complains("no orca of yours holds a machine");
    let (mut child, said) = keeping(&project, &["--keep=2"]);
    expect(&said, "kept as the test left them");
    expect(&said, "orca shell local1");
    expect(&said, "orca shell local2");
    expect(&said, "1 more failed");
    orca(&project, &["shell"]).exits(2).complains("there are several").complains("t/b_test.sh");
    orca(&project, &["shell", "local9"]).exits(2).complains("no machine is called `local9`");
    let look = orca(
        &project,
        &[
            "shell",
            "local2",
            "--",
            "sh",
            "-c",
            "cat $TMPDIR/left $TMPDIR/pid; echo $ORCA_TEST; exit 7",
        ],
    );
    look.exits(7).says("mess\n").says("t/b_test.sh\n");
    let pid = look.out.lines().nth(1).unwrap().to_owned();
    assert!(is_alive(&pid));
    // Two shells at once; the end of the run cuts one off.
    let mut terminal = Terminal::start(command(&project, &["shell", "local1"]));
    terminal.types("echo in-\"one\"").expect("in-one");
    orca(&project, &["shell", "local1", "--", "true"]).exits(0);
    signal(&child, "INT");
    assert_eq!(child.wait().unwrap().code(), Some(1), "the run's own status");
    terminal.expect("is gone");
    assert_eq!(terminal.end().code(), Some(2));
    assert!(!is_alive(&pid));
    let left = fs::read_dir(project.root().join("tmp")).unwrap().flatten();
    assert_eq!(left.map(|entry| entry.path()).collect::<Vec<_>>(), [] as [std::path::PathBuf; 0]);
}

#[test]
fn nothing_is_kept_if_nothing_failed_or_the_run_was_interrupted() {
    let project = Project::new();
    project.test("a", GOOD);
    let (mut child, _said) = keeping(&project, &["--keep"]);
    assert_eq!(child.wait().unwrap().code(), Some(0));
    project.test("a", MESSY).test("b", "echo 1..1; : >started; exec sleep 1000");
    let (mut child, said) = keeping(&project, &["--keep"]);
    wait_for("the test to start", || project.root().join("started").exists());
    signal(&child, "TERM");
    assert_eq!(child.wait().unwrap().signal(), Some(15));
    assert!(!said.iter().any(|line| line.contains("kept")));
}

#[test]
fn artifacts_of_failures_are_kept_and_others_on_request() {
    let project = Project::new();
    let leave = "echo x >$ORCA_ARTIFACTS/f; ";
    project.test("good", &format!("{leave}{GOOD}")).test("bad", &format!("{leave}{MESSY}"));
    let has = |dir: &str, test: &str| {
        project.root().join(dir).join(format!("t/{test}_test.sh/artifacts/f")).exists()
    };
    orca(&project, &["test", "--machine", "local", "--log-dir", "one"]).exits(1);
    assert!(has("one", "bad") && !has("one", "good"));
    orca(&project, &["test", "--machine", "local", "--log-dir", "two", "--artifacts", "all"])
        .exits(1);
    assert!(has("two", "bad") && has("two", "good"));
    let report = fs::read_to_string(project.root().join("one/results.json")).unwrap();
    let last: serde_json::Value = serde_json::from_str(report.lines().last().unwrap()).unwrap();
    assert_eq!((&last["passed"], &last["failed"]), (&1.into(), &1.into()));
}

#[test]
fn the_doctor_on_a_bare_host_names_every_problem_and_what_to_do() {
    let project = Project::new();
    project.file(".orcarc", "--jbos=2\n");
    // A copy has no agent beside it, of which an initramfs could be made.
    let alone = project.root().join("toolbox");
    // Copied by another process: a file that this one has had open for writing may still be open in
    // a child of another test, and then it cannot be executed.
    let mut copy = Command::new("cp");
    copy.args([env!("CARGO_BIN_EXE_toolbox").as_ref(), alone.as_os_str()]);
    assert!(copy.status().unwrap().success());
    let mut bare = Command::new(alone);
    bare.args(["orca", "doctor"]).current_dir(project.root()).stdin(Stdio::null());
    bare.env("TMPDIR", project.root()).env("XDG_CACHE_HOME", project.root().join(".cache"));
    bare.env("PATH", "/proc/nowhere").env_remove("HOME").env("XDG_STATE_HOME", "/proc/nowhere");
    let ran = Ran::from(bare.output().unwrap());
    ran.exits(2);
    for (what, advice) in [
        ("settings", "did you mean `--jobs`?"),
        ("QEMU", "install it"),
        ("qemu-img", "install qemu-utils"),
        ("kernel", "build it with"),
        ("initramfs", "build it with"),
        ("root", "build it with"),
        ("state", "point XDG_STATE_HOME"),
    ] {
        let mut lines =
            ran.out.lines().skip_while(|line| !line.starts_with(&format!("BAD  {what}")));
        let advised = lines.nth(1).is_some_and(|line| line.contains(advice));
        assert!(advised, "{what}: no `{advice}` in {}", ran.out);
    }
    ran.says("7 things keep tests from running here");
    orca(&project, &["doctor", "--jbos"]).exits(2).complains("orca doctor has no option");
    let nowhere = orca(&project, &["doctor", "-C", "/proc/nowhere"]);
    nowhere.exits(2).says("BAD  project");
}

#[test]
fn every_help_works_without_an_image_and_with_broken_settings() {
    let project = Project::new();
    project.file(".orcarc", "--jbos=2\n");
    let overview = orca(&project, &["--help"]);
    let commands: Vec<&str> = overview
        .out
        .lines()
        .filter_map(|line| line.strip_prefix("  ")?.split_ascii_whitespace().next())
        .collect();
    assert!(commands.len() >= 12 && overview.out.lines().count() <= 24, "{}", overview.out);
    for name in commands {
        for help in ["-h", "--help"] {
            let mut command = command(&project, &[name, help]);
            let ran = Ran::from(command.env("ORCA_JOBS", "many").env("PATH", "").output().unwrap());
            ran.exits(0).says("usage:");
        }
    }
}

#[test]
fn settings_are_shown_with_their_origin() {
    let project = Project::new();
    project.file(".orcarc", "# ours\n--machine=local\n--timeout=5m\n").test("a", GOOD);
    let mut config = command(&project, &["config", "-j3", "--env", "TOKEN=secret"]);
    let ran = Ran::from(config.env("ORCA_RETRIES", "2").output().unwrap());
    ran.exits(0).never_says("secret");
    let row = |name: &str| -> Vec<&str> {
        let line = ran.out.lines().find(|line| line.split(' ').next() == Some(name)).unwrap();
        line.split_ascii_whitespace().skip(1).collect()
    };
    assert_eq!(row("jobs"), ["3", "command", "line"]);
    assert_eq!(row("retries"), ["2", "ORCA_RETRIES"]);
    assert_eq!(row("timeout"), ["5m", ".orcarc", "line", "3"]);
    assert_eq!(row("memory"), ["512M", "default"]);
    assert_eq!(row("env")[0], "TOKEN");
    let twice =
        ["config", "--tag=a", "--tag=b", "--kernel=x", "--kernel=y", "--env=A=1", "--env=B=2"];
    let twice = orca(&project, &twice);
    twice.exits(0);
    let values = |name: &str| -> Vec<&str> {
        let mine = twice.out.lines().filter(|line| line.split(' ').next() == Some(name));
        mine.map(|line| line.split_ascii_whitespace().nth(1).unwrap()).collect()
    };
    for (name, expected) in [("tag", ["a", "b"]), ("kernel", ["x", "y"]), ("env", ["A", "B"])] {
        assert_eq!(values(name), expected);
    }
    let mut mixed = command(&project, &["config", "--tag=b", "--kernel=y", "--format=json"]);
    let mixed = mixed.env("ORCA_TAG", "a").env("ORCA_KERNEL", "x").output().unwrap();
    let mixed: serde_json::Value = serde_json::from_slice(&mixed.stdout).unwrap();
    let tag = serde_json::json!({ "value": ["a", "b"], "from": ["ORCA_TAG", "command line"] });
    assert_eq!(mixed["settings"]["tag"], tag);
    // The kernels of a later source replace those of an earlier one.
    let kernel = serde_json::json!({ "value": ["y"], "from": ["command line"] });
    assert_eq!(mixed["settings"]["kernel"], kernel);
    let json = orca(&project, &["config", "--format", "json"]);
    let json: serde_json::Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(json["settings"]["timeout"]["from"], ".orcarc line 3");
    project.file(".orcarc", "\n--timeout=soon\n");
    orca(&project, &["test"]).exits(2).complains("`.orcarc` line 2: --timeout takes a time");
}

/// Runs `program` with this input; `None` if it is not installed.
fn through(program: &str, args: &[&str], input: &str) -> Option<Ran> {
    let child = Command::new(program)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = child.ok()?;
    let (mut stdin, input) = (child.stdin.take().unwrap(), input.to_owned());
    let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let ran = Ran::from(child.wait_with_output().unwrap());
    writer.join().unwrap().unwrap();
    Some(ran)
}

#[test]
fn bash_completes_commands_options_and_words() {
    let project = Project::new();
    let script = orca(&project, &["completions", "bash"]);
    script.exits(0);
    let complete = |line: &str, words: &str| {
        let count = words.split(' ').count() - 1;
        let text = format!(
            "{}\nCOMP_WORDS=({words}); COMP_CWORD={count}; COMP_LINE='{line}'; _orca\n\
             printf '%s\\n' \"${{COMPREPLY[@]}}\"\n",
            script.out
        );
        let ran = through("bash", &["-eu"], &text).unwrap();
        ran.exits(0);
        assert_eq!(ran.err, "");
        ran.out.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(complete("orca doc", "orca doc"), ["doctor"]);
    assert_eq!(complete("orca test --shell", "orca test --shell"), ["--shell-on-fail"]);
    assert_eq!(complete("orca test --accel t", "orca test --accel t"), ["tcg"]);
    assert_eq!(complete("orca test --accel=t", "orca test --accel = t"), ["tcg"]);
    assert_eq!(complete("orca completions f", "orca completions f"), ["fish"]);
    assert!(!complete("orca run --", "orca run --").contains(&"--junit".to_owned()));
    for (shell, args) in [("zsh", ["-n"]), ("fish", ["-n"])] {
        let script = orca(&project, &["completions", shell]);
        if let Some(ran) = through(shell, &args, &script.out) {
            ran.exits(0);
            assert_eq!(ran.err, "", "{shell}");
        }
    }
    orca(&project, &["completions", "bsah"]).exits(2).complains("did you mean `bash`?");
    orca(&project, &["completions"]).exits(2).complains("say one of bash, zsh, fish");
}

#[test]
fn the_manual_page_is_clean_and_complete() {
    let project = Project::new();
    let page = orca(&project, &["man"]);
    page.exits(0).says(".TH ORCA 1");
    if let Some(ran) = through("groff", &["-man", "-Tascii", "-ww", "-P-cbu"], &page.out) {
        ran.exits(0).says("--shell-on-fail").says("orca watch");
        assert_eq!(ran.err, "");
    }
}

/// Changes a file in one step. A second step could come while a test runs, and with
/// `--machine local` changes during a run are taken for the test's own and do not count.
fn put(project: &Project, path: &str, text: &str) {
    let aside = Project::new();
    aside.file("new", text);
    std::fs::rename(aside.root().join("new"), project.root().join(path)).unwrap();
}

#[test]
fn watch_runs_the_tests_that_a_change_affects() {
    let project = Project::new();
    project.file("t/lib.sh", "").file("t/other.sh", "");
    project.test("a", &format!(". t/lib.sh; {GOOD}")).test("b", &format!(". t/other.sh; {GOOD}"));
    let mut child = command(&project, &["watch", "--machine", "local", "-j1", "--json", "r.json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (out, said) = (lines(child.stdout.take().unwrap()), lines(child.stderr.take().unwrap()));
    expect(&said, "waiting for changes");
    assert!(expect(&out, "2 passed").iter().any(|line| line.contains("t/b_test.sh")));
    put(&project, "t/lib.sh", "# better");
    expect(&said, "t/lib.sh changed, 1 test to run");
    let ran = expect(&out, "1 passed");
    assert!(
        ran.iter().any(|l| l.contains("t/a_test.sh"))
            && !ran.iter().any(|l| l.contains("t/b_test.sh")),
        "{ran:#?}"
    );
    expect(&said, "waiting for changes");
    put(&project, "t/new_test.sh", GOOD);
    expect(&said, "t/new_test.sh changed, 1 test to run");
    expect(&said, "waiting for changes");
    put(&project, "src.c", "");
    expect(&said, "src.c changed, 3 tests to run");
    expect(&said, "waiting for changes");
    signal(&child, "TERM");
    assert_eq!(child.wait().unwrap().signal(), Some(15));
}

#[test]
fn a_signal_ends_both_the_run_and_the_watch() {
    let project = Project::new();
    let slow = "echo 1..1; echo started >>/dev/stderr; exec sleep 1000";
    project.test("slow", slow);
    let log = project.root().join(".log");
    let logs = log.to_str().unwrap();
    // With --machine local changes during a run do not count, so a signal cuts the run short.
    let mut child = command(&project, &["watch", "--machine", "local", "--log-dir", logs])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let out = lines(child.stdout.take().unwrap());
    let output = log.join("t/slow_test.sh/output.log");
    wait_for("the test to start", || {
        fs::read_to_string(&output).is_ok_and(|text| text.contains("started"))
    });
    signal(&child, "TERM");
    expect(&out, "1 not run");
    assert_eq!(child.wait().unwrap().signal(), Some(15));
}
