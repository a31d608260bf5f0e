//! `prove` from outside: what it prints, how it exits, what it leaves behind.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod kit;

use kit::{Dir, Ran, have, samples};
use std::path::Path;
use std::time::{Duration, Instant};

/// A directory with every kind of test. The last one bails out.
fn zoo() -> Dir {
    let dir = Dir::new();
    dir.script("t/a_pass.t", "echo 1..3; echo 'ok 1 - a'; echo ok 2; echo ok 3");
    dir.script(
        "t/b_fail.t",
        "echo 1..9; for i in 1 3 5 6 8; do echo ok $i; done; echo 'not ok 6 - x'; \
         echo '#   Failed test x'; echo not ok 7; exit 2",
    );
    dir.script("t/c_skip.t", "echo '1..0 # SKIP no reason'");
    dir.script(
        "t/d_todo.t",
        "echo 1..3; echo 'not ok 1 # TODO a'; echo 'ok 2 # TODO b'; echo 'ok 3 # SKIP c'",
    );
    dir.script("t/e_die.t", "echo 1..3; echo ok 1; echo dying >&2; exit 9");
    dir.script("t/f_killed.t", "echo 1..3; echo ok 1; echo 'ok 2 # skip x'; kill -9 $$");
    dir.script("t/g_noplan.t", "echo ok 1; for i in 3 5 7 9 11 13; do echo not ok $i; done");
    dir.script("t/h_many.t", "echo 1..2; for i in 1 2 3 4; do echo ok $i; done");
    dir.script("t/i_nothing.t", "exit 0");
    dir.script(
        "t/j_allfail.t",
        "echo 1..60; for i in $(seq 60); do \
         test $((i % 3)) = 0 && echo ok $i || echo not ok $i; done",
    );
    dir.script("t/z_bail.t", "echo 1..2; echo ok 1; echo 'Bail out! no db'");
    dir
}

/// `text` without the times, which differ from run to run.
fn masked(text: &str) -> String {
    let mask = |line: &str| match line.split_once(" wallclock secs") {
        Some((head, _)) => {
            head.trim_end_matches(|c: char| c.is_ascii_digit()).trim_end().to_owned()
        }
        None => line.to_owned(),
    };
    text.lines().map(mask).collect::<Vec<_>>().join("\n")
}

fn summary(text: &str) -> String {
    let text = masked(text);
    let at = text.find("Test Summary Report").unwrap_or(0);
    text[at..].to_owned()
}

fn both(dir: &Dir, args: &[&str]) -> (Ran, Ran) {
    (dir.run(Path::new("prove"), args, b""), dir.prove(args))
}

#[test]
fn the_summary_is_perls_byte_for_byte() {
    if !have("prove", "summary") {
        return;
    }
    let dir = zoo();
    let (perl, ours) = both(&dir, &[]);
    assert_eq!(summary(&ours.out), summary(&perl.out));
    assert_eq!(
        (ours.code, ours.err.as_str()),
        (perl.code, "dying\nFAILED--Further testing stopped: no db\n")
    );
    std::fs::remove_file(dir.0.join("t/z_bail.t")).unwrap();
    for args in [
        &[][..],
        &["-v"],
        &["-f"],
        &["-o"],
        &["--directives"],
        &["-q"],
        &["-Q"],
        &["-p"],
        &["--ignore-exit"],
        &["--reverse"],
        &["-m", "-v"],
        &["--normalize", "-v"],
        &["-D"],
        &["-r", "-D"],
        &["-e", "sh"],
        &["t/a_pass.t", "t/c_skip.t"],
        &["t/d_todo.t"],
        &["t/c_skip.t"],
        &["-e", "cat", "t/a_pass.t"],
    ] {
        let (perl, ours) = both(&dir, args);
        assert_eq!(masked(&ours.out), masked(&perl.out), "{args:?}");
        assert_eq!(ours.code, perl.code, "{args:?}");
    }
}

#[test]
fn output_is_in_order_with_any_number_of_jobs() {
    let dir = zoo();
    std::fs::remove_file(dir.0.join("t/z_bail.t")).unwrap();
    dir.script("t/0_slow.t", "sleep 0.3; echo 1..1; echo ok 1");
    let (one, many) = (dir.prove(&[]), dir.prove(&["-j5"]));
    assert_eq!(masked(&one.out), masked(&many.out));
    assert_eq!((one.code, many.code), (Some(1), Some(1)));
}

#[test]
fn a_bail_out_kills_what_runs_and_claims_no_success() {
    let dir = Dir::new();
    dir.script("t/a.t", "echo 1..1; echo ok 1; sleep 60");
    dir.script("t/b.t", "sleep 0.2; echo 1..1; echo ok 1; echo 'Bail out! enough'; sleep 60");
    let begun = Instant::now();
    let ran = dir.prove(&["-j2"]);
    assert!(begun.elapsed() < Duration::from_secs(20));
    assert_eq!(ran.code, Some(255));
    assert!(ran.out.contains("Bailout called.  Further testing stopped:  enough\n"), "{}", ran.out);
    assert!(!ran.out.contains("All tests successful"), "{}", ran.out);
}

/// Fails unless a process has ended; it may not have been reaped yet.
#[track_caller]
fn assert_dead(pid: &str) {
    let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    assert!(state.is_empty() || state.contains(") Z"), "{pid} lives: {state}");
}

#[test]
fn a_timeout_kills_the_whole_tree() {
    let dir = Dir::new();
    dir.script(
        "t/hang.t",
        "echo 1..1\nsleep 600 & echo $! > pids\n\
         setsid sh -c 'sleep 600 & echo $! >> pids; wait' &\n\
         (setsid sleep 600 & echo $! >> pids)\nwait",
    );
    dir.script("t/ok.t", "echo 1..1; echo ok 1");
    let begun = Instant::now();
    let ran = dir.prove(&["--timeout", "1s"]);
    assert!(begun.elapsed() < Duration::from_secs(30));
    assert_eq!(ran.code, Some(1));
    assert!(ran.out.contains("t/ok.t .... ok\n"), "{}", ran.out);
    assert!(ran.out.contains("  Timed out: killed after 1 s\n"), "{}", ran.out);
    let pids = dir.read("pids");
    assert_eq!(pids.lines().count(), 3);
    for pid in pids.lines() {
        assert_dead(pid);
    }
}

#[test]
fn mistakes_are_one_clear_line() {
    let dir = zoo();
    let error = |args: &[&str]| {
        let ran = dir.prove(args);
        assert_eq!((ran.code, ran.out.as_str()), (Some(2), ""), "{args:?}");
        ran.err
    };
    assert_eq!(error(&["t/none.t"]), "prove: cannot run `t/none.t`: no such file\n");
    assert_eq!(
        error(&["--verbos3"]),
        "prove: unknown option `--verbos3`\nhint: did you mean `--verbose`?\n"
    );
    assert_eq!(error(&["-w"]), "prove: `-w` works only in Perl's own prove\n");
    assert_eq!(error(&["-j0"]), "prove: `--jobs 0`: not a number from 1 to 4096\n");
    assert!(error(&["--state=hit", "t"]).contains("unknown word\nhint: known: last failed"));
}

#[test]
fn tap_comes_from_sources_of_every_kind() {
    let dir = Dir::new();
    dir.file("t/saved.tap", b"1..1\nok 1\n");
    dir.file("t/plain.sh", b"echo 1..1\necho ok 1\n");
    dir.script(
        "t/args.t",
        "echo 1..1; test \"$*\" = 'x -y' && test $HARNESS_ACTIVE = 1 \
         && test $HARNESS_VERSION = 3.50 && echo ok 1",
    );
    dir.file("t/noexec.t", b"#!/bin/sh\necho 1..1\necho ok 1\n");
    dir.file("t/broken.t", b"#!/no/such/program\n");
    let good = dir.prove(&["t/saved.tap", "t/plain.sh", "t/args.t", "t/noexec.t", "::", "x", "-y"]);
    assert_eq!((good.code, good.out.contains("Files=4, Tests=4,")), (Some(0), true), "{good:?}");
    let broken = dir.prove(&["t/broken.t"]);
    assert_eq!(broken.code, Some(1));
    assert!(broken.err.contains("cannot start `/no/such/program`"), "{}", broken.err);
    let names =
        dir.run(Path::new(env!("CARGO_BIN_EXE_prove")), &["-D", "-"], b"t/saved.tap\nt/plain.sh\n");
    assert_eq!(names.out, "t/saved.tap\nt/plain.sh\n");
}

#[test]
fn state_chooses_what_failed_and_perl_reads_it() {
    let dir = zoo();
    std::fs::remove_file(dir.0.join("t/z_bail.t")).unwrap();
    assert_eq!(dir.prove(&["--state=save"]).code, Some(1));
    let failed = dir.prove(&["-D", "--state=failed"]);
    assert!(
        failed.out.starts_with("t/j_allfail.t\n") && failed.out.lines().count() == 7,
        "{}",
        failed.out
    );
    if have("prove", "state") {
        let perl = dir.run(Path::new("prove"), &["-D", "--state=failed"], b"");
        assert_eq!(failed.out, perl.out);
        assert_eq!(dir.run(Path::new("prove"), &["-Q", "--state=slow,save"], b"").code, Some(1));
        let (perl, ours) = both(&dir, &["-D", "--state=passed"]);
        assert_eq!(ours.out, perl.out);
    }
}

#[test]
fn rc_files_and_harness_options_are_obeyed() {
    let dir = zoo();
    dir.file(".proverc", b"# mine\n--dry 't/a_pass.t'\n");
    assert_eq!(dir.prove(&[]).out, "t/a_pass.t\n");
    assert_eq!(dir.prove(&["--norc", "-D", "t/c_skip.t"]).out, "t/c_skip.t\n");
    dir.file("other", b"t/d_todo.t\n");
    assert_eq!(dir.prove(&["--norc", "--rc", "other", "-D"]).out, "t/d_todo.t\n");
    let with_options = |options: &str| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_prove"));
        command.args(["--norc", "t/a_pass.t"]).env("HARNESS_OPTIONS", options);
        kit::finish(command.current_dir(&dir.0), b"")
    };
    assert_eq!(with_options("j2:c").code, Some(0));
    let refused = with_options("a");
    assert_eq!(
        (refused.code, refused.err.as_str()),
        (Some(2), "prove: HARNESS_OPTIONS: cannot do `a`\n")
    );
}

#[test]
fn fail_on_fails_what_would_pass() {
    let dir = zoo();
    assert_eq!(dir.prove(&["t/d_todo.t", "t/c_skip.t"]).code, Some(0));
    for (what, file) in
        [("skip", "t/c_skip.t"), ("skip", "t/d_todo.t"), ("todo-passed", "t/d_todo.t")]
    {
        let ran = dir.prove(&["--fail-on", what, file]);
        assert_eq!(ran.code, Some(1), "{ran:?}");
        assert!(ran.out.contains(&format!("  Forbidden by --fail-on {what}: ")), "{}", ran.out);
        assert!(ran.out.contains("Result: FAIL"));
    }
}

#[test]
fn subtests_are_shown_where_they_failed() {
    let dir = Dir::new();
    dir.file(
        "t/x.tap",
        b"TAP version 14\n1..1\n# Subtest: net\n    1..1\n    not ok 1 - up\nnot ok 1 - net\n",
    );
    let ran = dir.prove(&["t/x.tap"]);
    assert!(
        ran.out.contains("Failed 1/1 subtests \n  not ok 1 - net\n    not ok 1 - up\n"),
        "{}",
        ran.out
    );
}

#[test]
fn json_is_what_the_corpus_says() {
    let dir = Dir::new();
    for sample in samples("agreed.tsv").iter().chain(&samples("decided.tsv")) {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_prove"));
        command.args(["--norc", "--json", "-"]).env("TAP_EXIT", sample.exit.to_string());
        let ran = kit::finish(command.current_dir(&dir.0), &sample.bytes);
        let [plan, counts @ .., bail, good] = &sample.fields[..] else { panic!() };
        let plan = if plan == "-" { "null".to_owned() } else { format!("\"{plan}\"") };
        let names = ["run", "passed", "failed", "skipped", "todo", "todo_passed"];
        let mut wanted = format!("{{\"plan\":{plan}");
        for (name, count) in names.iter().zip(counts) {
            wanted.push_str(&format!(",\"{name}\":{count}"));
        }
        wanted.push_str(&format!(",\"bail\":{},\"good\":{},", bail == "1", good == "1"));
        assert!(ran.out.starts_with(&wanted), "{}: {} wanted {wanted}", sample.name, ran.out);
        assert_eq!(ran.out.lines().count(), 1);
        let code = match (bail.as_str(), good.as_str()) {
            ("1", _) => 255,
            (_, "1") => 0,
            _ => 1,
        };
        assert_eq!(ran.code, Some(code), "{}", sample.name);
    }
}

#[test]
fn an_interrupt_kills_the_tests_and_ends_by_the_signal() {
    use std::io::{BufRead, BufReader};
    use std::os::unix::process::ExitStatusExt;
    let dir = Dir::new();
    dir.script("t/a.t", "sleep 600 & echo $! > pid; echo started >&2; wait");
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_prove"))
        .args(["--norc", "--trap"])
        .current_dir(&dir.0)
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stderr.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "started\n");
    let pid = nix::unistd::Pid::from_raw(child.id().cast_signed());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.signal(), Some(2));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        text.contains("\nTest run interrupted!\n") && text.contains("Result: NOTESTS\n"),
        "{text}"
    );
    assert_dead(dir.read("pid").trim());
}
