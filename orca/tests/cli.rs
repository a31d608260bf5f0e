//! Everything between the command line and the exit status, with the agent as a child process
//! instead of a VM.

#![expect(clippy::unwrap_used, reason = "a test that panics is a test that fails")]

mod kit;
#[path = "kit/local.rs"]
mod local;
#[path = "kit/process.rs"]
#[expect(dead_code, reason = "not every file asks whether a process is alive")]
mod process;

use kit::{Project, Ran, VERDICTS};
use local::{local, orca};
use process::{signal, wait_for};
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};

fn toolbox(args: &[&str]) -> Ran {
    Ran::from(Command::new(env!("CARGO_BIN_EXE_toolbox")).args(args).output().unwrap())
}

#[test]
fn every_verdict_is_reported_for_what_it_is() {
    let project = Project::new();
    for (name, body, _) in VERDICTS {
        project.test(name, body);
    }
    let ran = local(&project, &["-j2"]);
    ran.exits(1).says("9 test files").says("3 passed, 5 failed, 1 skipped").says_every_verdict();
    ran.says("not ok 2 - it is broken").says("got: 1").says("no such tool");
    ran.says("orca test --machine=local t/bad_test.sh\n");
}

#[test]
fn all_passed_exits_0_and_nothing_to_run_exits_4() {
    let project = Project::new();
    local(&project, &[]).exits(4).complains("no tests in");
    project.test("a/good", "echo 1..1; echo ok 1");
    local(&project, &[]).exits(0).says("1 test file, 1 check in");
    local(&project, &["t/a"]).exits(0).says("1 passed");
    local(&project, &["t/b"])
        .exits(2)
        .complains("no such test: `t/b`")
        .complains("did you mean `t/a`?");
}

#[test]
fn a_retry_that_passes_is_flaky() {
    let project = Project::new();
    project
        .test("x", "echo 1..1; if [ -e seen ]; then echo ok 1; else : > seen; echo not ok 1; fi");
    local(&project, &["--retries", "1"]).exits(0).says("FLAKY").says("1 passed, 1 flaky");
    std::fs::remove_file(project.root().join("seen")).unwrap();
    local(&project, &[]).exits(1).says("1 failed");
}

#[test]
fn a_timeout_ends_the_whole_process_tree_and_keeps_the_output() {
    let project = Project::new();
    project
        .test("slow", "echo 1..2; echo ok 1 - said; trap '' TERM; sleep 1000 & wait; sleep 1000");
    let ran = local(&project, &["--timeout", "1s"]);
    ran.exits(1).says("TIMEOUT").says("it ran into its timeout").says("1 timed out");
    project.test("slow", "echo 1..1; exec sleep 1000");
    local(&project, &["--silence", "1s"]).exits(1).says("it printed nothing for too long");
}

#[test]
fn fail_fast_ends_the_run_with_the_first_failure() {
    let project = Project::new();
    for name in ["a", "b", "c"] {
        project.test(name, "echo 1..1; echo not ok 1");
    }
    let ran = local(&project, &["-j1", "--fail-fast"]);
    ran.exits(1).says("1 failed, 2 not run").says("as many failures as --fail-fast allows");
}

#[test]
fn names_and_output_can_be_anything() {
    let project = Project::new();
    project.test("sp ace/it's $HOME\n", "printf '1..1\\nok 1\\n\\033[2J\\377\\000'");
    project.test("nofinalnewline", "printf '1..1\\nnot ok 1 - \\033[31mred'");
    let ran = local(&project, &[]);
    ran.exits(1).says("1 passed, 1 failed").never_says("\x1b[31mred");
}

#[test]
fn variables_reach_the_test() {
    let project = Project::new();
    project.test(
        "env",
        "echo 1..1; [ \"$SECRET $ORCA $ORCA_TEST\" = 'a b 1 t/env_test.sh' ] && echo ok 1",
    );
    local(&project, &["--env", "SECRET=a b"]).exits(0);
    local(&project, &[]).exits(1);
}

#[test]
fn the_log_has_both_streams_and_the_artifacts() {
    let project = Project::new();
    project.test(
        "both",
        "echo 1..1; echo oh >&2; echo not ok 1
         mkdir -p $ORCA_ARTIFACTS/d; echo kept > $ORCA_ARTIFACTS/d/f",
    );
    let logs = project.root().join("logs");
    local(&project, &["--log-dir", "logs"]).exits(1).says("| oh").says("t/both_test.sh/output.log");
    let read =
        |name: &str| std::fs::read_to_string(logs.join("t/both_test.sh").join(name)).unwrap();
    assert!(read("output.log").contains("oh\n"));
    assert_eq!(read("stdout.tap"), "1..1\nnot ok 1\n");
    assert_eq!(read("artifacts/d/f"), "kept\n");
}

#[test]
fn settings_come_from_the_file_the_environment_and_the_command_line() {
    let project = Project::new();
    project
        .test("a", "echo 1..1; echo ok 1")
        .file(".orcarc", "# ours\n--machine=local\n\n--quiet\n");
    orca(&project, &["test"]).exits(0).never_says("PASS");
    let mut verbose = project.command(&["test"]);
    Ran::from(verbose.env("ORCA_VERBOSE", "1").output().unwrap()).exits(0);
    project.file(".orcarc", "--machin=local\n");
    orca(&project, &["test"])
        .exits(2)
        .complains("unknown setting")
        .complains("did you mean `--machine`?");
    orca(&project, &["test", "--help"]).exits(0).says("usage: orca test");
}

#[test]
fn json_and_junit_say_what_became_of_every_test() {
    let project = Project::new();
    project
        .test("good", "echo 1..1; echo ok 1")
        .test("bad", "printf '1..1\\nnot ok 1 - <&>\\n# \x1b[1m\x01\\n'");
    let ran = local(&project, &["--format", "json", "--json", "r.json", "--junit", "r.xml"]);
    ran.exits(1);
    let lines: Vec<serde_json::Value> =
        ran.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&lines[0]["event"], &lines[0]["version"]), (&"started".into(), &1.into()));
    let ended = lines.iter().filter(|line| line["event"] == "test_finished");
    let outcome =
        |name: &str| ended.clone().find(|line| line["test"] == name).unwrap()["outcome"].clone();
    assert_eq!(
        (outcome("t/good_test.sh"), outcome("t/bad_test.sh")),
        ("pass".into(), "fail".into())
    );
    for line in ended.clone() {
        for part in ["ready", "test", "teardown"] {
            assert!(line["seconds"][part].as_f64().is_some_and(|s| s >= 0.0), "{line}");
        }
    }
    let last = lines.last().unwrap();
    assert_eq!(
        (&last["event"], &last["passed"], &last["failed"]),
        (&"finished".into(), &1.into(), &1.into())
    );
    let file = std::fs::read_to_string(project.root().join("r.json")).unwrap();
    assert_eq!(file.lines().count(), lines.len());
    let xml = std::fs::read_to_string(project.root().join("r.xml")).unwrap();
    assert!(
        xml.contains("tests=\"2\"") && xml.contains("<failure") && xml.ends_with("</testsuites>\n"),
        "{xml}"
    );
    assert!(!xml.contains('\u{1b}') && !xml.contains('\u{1}'), "{xml}");
    local(&project, &["--junit", "/proc/nowhere/x"])
        .exits(2)
        .complains("cannot write `/proc/nowhere/x`");
}

#[test]
fn subtests_and_yaml_are_shown_with_their_failure() {
    let project = Project::new();
    let stream = "TAP version 14\n1..1\n# Subtest: inner\n    1..1\n    not ok 1 - deep\n      \
                  ---\n      got: 7\n      ...\nnot ok 1 - inner\n";
    project.test("nested", &format!("cat <<'end'\n{stream}end"));
    local(&project, &[])
        .exits(1)
        .says("not ok 1 - inner")
        .says("    not ok 1 - deep")
        .says("got: 7");
}

#[test]
fn headers_set_limits_and_are_checked() {
    let project = Project::new();
    project.test("slow", "# orca: timeout=1s\necho 1..1; exec sleep 1000");
    local(&project, &[]).exits(1).says("it ran into its timeout");
    project.test("slow", "#!/bin/sh\n# orca: timout=1s\n");
    local(&project, &[]).exits(2).complains("`t/slow_test.sh` line 2: unknown key `timout`");
}

#[test]
fn listing_runs_nothing() {
    let project = Project::new();
    project.test("b", "exit 1").test("a/x", "exit 1");
    let ran = orca(&project, &["list"]);
    ran.exits(0);
    assert_eq!(ran.out, "t/a/x_test.sh\nt/b_test.sh\n");
    let elsewhere = Project::new();
    let root = project.root().to_str().unwrap();
    orca(&elsewhere, &["list", "-C", root, "t/a"]).exits(0).says("t/a/x_test.sh");
    orca(&project, &["list", "-C", "/proc/nowhere"]).exits(2).complains("cannot find the project");
}

#[test]
fn a_mistake_gets_one_line_and_a_hint() {
    toolbox(&["orca", "tset"])
        .exits(2)
        .complains("orca: unknown command `tset`\nhint: did you mean");
    for command in ["man", "doctor", "config", "clean"] {
        toolbox(&["orca", command, "foo"])
            .exits(2)
            .complains("orca: unexpected argument `foo`\nhint: `orca ");
    }
    toolbox(&["orca", "test", "--jobs=x"]).exits(2).complains("--jobs takes a number");
    toolbox(&["orac"]).exits(2).complains("did you mean `toolbox orca`?");
    toolbox(&[]).exits(2).says("usage: toolbox");
    toolbox(&["--version"]).exits(0).says("toolbox 0.");
    toolbox(&["orca", "--version"]).exits(0).says("orca 0.");
    toolbox(&["agent", "--version"]).exits(0);
    toolbox(&["prove", "--version"]).exits(0);
    for command in ["test", "run", "list"] {
        for help in ["-h", "--help"] {
            toolbox(&["orca", command, help]).exits(0).says("usage: orca");
        }
    }
}

#[test]
fn a_missing_or_broken_image_gets_one_message() {
    let project = Project::new();
    project.test("a", "echo 1..1; echo ok 1");
    let missing = orca(&project, &["test", "--kernel", "no-kernel"]);
    missing
        .exits(2)
        .complains("cannot read `no-kernel`")
        .complains("hint: --kernel takes a bzImage, a vmlinux or the folder");
    project.file("empty", "");
    orca(&project, &["test", "--kernel", "empty"]).exits(2).complains("`empty` is empty");
    orca(&project, &["test", "--qemu", "no-such-qemu"])
        .exits(2)
        .complains("there is no `no-such-qemu`");
    orca(&project, &["test", "--qemu", "./empty"]).exits(2).complains("is not executable");
}

#[test]
fn an_interrupted_run_reports_and_dies_of_the_signal() {
    let project = Project::new();
    project.test("a", "echo 1..1; : > started; exec sleep 1000").test("b", "echo 1..1; echo ok 1");
    for (name, number) in [("INT", 2), ("TERM", 15), ("HUP", 1)] {
        let mut command = project.command(&["test", "--machine", "local", "-j1", "--debug"]);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        wait_for("the test to start", || project.root().join("started").exists());
        std::fs::remove_file(project.root().join("started")).unwrap();
        signal(&child, name);
        let rest: Vec<String> = lines.by_ref().map(Result::unwrap).collect();
        assert_eq!(child.wait().unwrap().signal(), Some(number), "{rest:#?}");
        assert!(rest.iter().any(|line| line.contains("2 not run")), "{rest:#?}");
        let ending = "interrupted: ending 1 running test";
        assert!(rest.iter().any(|line| line == ending), "{rest:#?}");
    }
}

#[test]
fn a_reader_that_leaves_does_not_end_the_run() {
    let project = Project::new();
    project.test("a", "echo 1..1; echo ok 1").test("b", "echo 1..1; echo ok 1; : > ran-b");
    let mut child = project
        .command(&["test", "--machine", "local", "-j1"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(project.root().join("ran-b").exists());
}
