//! Which tests run, in which order and how often. The agent is a child process instead of a VM.

#![expect(clippy::unwrap_used, reason = "a test that panics is a test that fails")]

#[expect(dead_code, reason = "not every file looks for every verdict")]
mod kit;
#[path = "kit/local.rs"]
mod local;
#[path = "kit/process.rs"]
#[expect(dead_code, reason = "not every file asks whether a process is alive")]
mod process;

use kit::{Project, VERDICTS};
use local::{local, orca};
use process::{signal, wait_for};
use serde_json::Value;
use std::collections::BTreeSet;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};

const GOOD: &str = "echo 1..1; echo ok 1";
const BAD: &str = "echo 1..1; echo not ok 1";
/// Makes the file `started`, and never ends by itself.
const ENDLESS: &str = "echo 1..1; : > started; exec sleep 1000";

/// The names of the tests that `orca list <args>` shows.
fn listed(project: &Project, args: &[&str]) -> Vec<String> {
    let ran = orca(project, &[&["list"], args].concat());
    ran.exits(if ran.out.is_empty() { 4 } else { 0 });
    let name =
        |line: &str| line.strip_prefix("t/").unwrap().strip_suffix("_test.sh").unwrap().to_owned();
    ran.out.lines().map(name).collect()
}

/// The events of `orca test <args>`.
fn events(project: &Project, args: &[&str]) -> Vec<Value> {
    let ran = local(project, &[&["--format", "json"], args].concat());
    ran.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The value of `field` in every event of this kind.
fn each(events: &[Value], event: &str, field: &str) -> Vec<String> {
    let of_kind = events.iter().filter(|line| line["event"] == event);
    of_kind.map(|line| line[field].as_str().unwrap_or_default().to_owned()).collect()
}

/// Waits until a test has made the file `started`, and removes it.
fn wait_for_start(project: &Project) {
    let path = project.root().join("started");
    wait_for("the test to start", || path.exists());
    std::fs::remove_file(path).unwrap();
}

fn git(project: &Project, args: &[&str]) {
    let identity = ["-c", "user.name=x", "-c", "user.email=x@example.org"];
    let ran = Command::new("git").args(identity).args(args).current_dir(project.root()).output();
    let ran = ran.unwrap();
    assert!(ran.status.success(), "{ran:?}");
}

#[test]
fn names_tags_and_patterns_choose_tests() {
    let project = Project::new();
    project
        .test("25-dns/dns_cache", "# orca: tags=slow,net\nexit 1")
        .test("25-dns/records", "exit 1")
        .test("20-dhcp/lease", "# orca: tags=slow\nexit 1");
    assert_eq!(listed(&project, &["-k", "dns"]), ["25-dns/dns_cache", "25-dns/records"]);
    assert_eq!(listed(&project, &["-k", "dns and not slow"]), ["25-dns/records"]);
    assert_eq!(listed(&project, &["-k", "(lease or records) and slow"]), ["20-dhcp/lease"]);
    assert_eq!(listed(&project, &["--tag", "slow", "--not", "net"]), ["20-dhcp/lease"]);
    assert_eq!(listed(&project, &["t/*/dns_*"]), ["25-dns/dns_cache"]);
    assert_eq!(listed(&project, &["t/2?-d*", "--tag", "net"]), ["25-dns/dns_cache"]);
    orca(&project, &["list", "--tag", "slo"]).exits(4).complains("did you mean `--tag slow`?");
    orca(&project, &["list", "t/*/x*"]).exits(2).complains("no test matches `t/*/x*`");
    orca(&project, &["list", "-k", "dns and"])
        .exits(2)
        .complains("(a word is missing at column 8), not `dns and`");
    local(&project, &["-k", "nothing"]).exits(4).complains("none of the 3 tests matches -k\n");
    project.test("20-dhcp/lease", "\n# orca: tagz=slow\n");
    orca(&project, &["list", "--tag", "slow"])
        .exits(2)
        .complains("`t/20-dhcp/lease_test.sh` line 2: unknown key `tagz`")
        .complains("did you mean `tags`?");
}

#[test]
fn the_list_shows_what_is_known_of_each_test() {
    let project = Project::new();
    project.test("a", &format!("# orca: tags=x timeout=5s exclusive net=none\n{BAD}"));
    project.test("b", &format!("# orca: flaky=\"a race\" until=2001-01-31 requires=kvm\n{GOOD}"));
    local(&project, &[]).exits(1).says("b_test.sh: its quarantine (a race) ended on 2001-01-31");
    let ran = orca(&project, &["list", "--format", "json"]);
    let lines: Vec<Value> =
        ran.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let [a, b] = &lines[..] else { panic!("{ran:?}") };
    assert_eq!((&a["test"], &a["tags"][0]), (&"t/a_test.sh".into(), &"x".into()));
    assert_eq!((&a["timeout"], &a["net"]), (&5.0.into(), &"none".into()));
    assert_eq!((&a["exclusive"], &a["failed"]), (&true.into(), &true.into()));
    assert!(a["expected"].is_f64() && b["expected"].is_null(), "{lines:?}");
    assert_eq!((&b["requires"][0], &b["quarantine"]["over"]), (&"kvm".into(), &true.into()));
    let ran = orca(&project, &["list", "-v"]);
    ran.says("t/a_test.sh  failed or did not run last time  tags=x").says("  exclusive");
    ran.says("requires=kvm  quarantine ended on 2001-01-31 (a race)").says("2 tests: ");
}

#[test]
fn the_list_names_the_nodes_of_a_test() {
    let project = Project::new();
    project.test("a", &format!("# orca: nodes=server,client\n{GOOD}"));
    orca(&project, &["list", "-v"]).exits(0).says("  nodes=server,client");
    let ran = orca(&project, &["list", "--format", "json"]);
    let line: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(line["nodes"], serde_json::json!(["server", "client"]));
}

#[test]
fn the_list_shows_set_ups_and_cases() {
    let project = Project::new();
    project.file("t/setup.sh", "# orca: timeout=5m cache=t/*.sh\n");
    project.file("t/a/setup.sh", "").test("a/x", GOOD).test("b/y", GOOD);
    assert_eq!(listed(&project, &[]), ["a/x", "b/y"]);
    let ran = orca(&project, &["list", "-v", "t/a/x_test.sh [one] [two]", "t/b"]);
    ran.exits(0).says("       ?  t/setup.sh  set-up  timeout=300s  cache=t/*.sh\n");
    ran.says("       ?  t/a/setup.sh  set-up\n").says("2 tests: no time is known yet");
    ran.says("t/a/x_test.sh  only [one] [two]  set-ups=t/setup.sh,t/a/setup.sh\n");
    ran.says("t/b/y_test.sh  set-ups=t/setup.sh\n");
    let ran = orca(&project, &["list", "--format", "json", "t/a/x_test.sh [one]"]);
    let line: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(line["setups"], serde_json::json!(["t/setup.sh", "t/a/setup.sh"]));
    assert_eq!(line["only"], serde_json::json!([["one"]]));
    orca(&project, &["list", "t/a/x_test.sh [one]"]).exits(0).says("t/a/x_test.sh [one]\n");
    orca(&project, &["list", "t/setup.sh"]).exits(2).complains("`t/setup.sh` is a set-up");
    project.test("a/x", "# orca: cache=x\n");
    let why = "`t/a/x_test.sh` line 1: `cache` makes no sense in a test";
    local(&project, &[]).exits(2).complains(why);
    project.test("a/x", GOOD).file("t/a/setup.sh", "# orca: tags=x\n");
    let why = "`t/a/setup.sh` line 1: `tags` makes no sense in a set-up";
    local(&project, &[]).exits(2).complains(why);
}

#[test]
fn failed_chooses_the_tests_without_a_good_verdict() {
    let project = Project::new();
    local(&project, &["--failed"]).exits(4);
    let flaky = "echo 1..1; if [ -e seen ]; then echo ok 1; else : > seen; echo not ok 1; fi";
    project
        .test("good", GOOD)
        .test("bad", BAD)
        .test("skipped", "echo '1..0 # SKIP x'")
        .test("flaky", &format!("# orca: retries=1\n{flaky}"))
        .test("known", &format!("# orca: flaky=\"a race\" until=9999-12-31\n{BAD}"))
        .test("slow", &format!("# orca: timeout=1s\n{ENDLESS}"));
    local(&project, &["--failed"]).exits(4).complains("nothing is known of earlier runs");
    local(&project, &[]).exits(1).says("1 flaky").says("1 quarantined").says("QUARANTINED");
    assert_eq!(listed(&project, &["--failed"]), ["bad", "slow"]);
    project.test("bad", GOOD);
    local(&project, &["--failed", "t/bad_test.sh"]).exits(0).says("1 passed");
    assert_eq!(listed(&project, &["--failed"]), ["slow"], "a test that did not run stays failed");
    project.test("slow", GOOD);
    local(&project, &["--failed"]).exits(0).says("1 test file");
    local(&project, &["--failed"]).exits(4).complains("none of the 6 tests failed");
}

#[test]
fn failed_chooses_every_bad_verdict() {
    let project = Project::new();
    for (name, body, _) in VERDICTS {
        project.test(name, body);
    }
    local(&project, &["-j2"]).exits(1);
    let bad = VERDICTS.iter().filter(|(_, _, word)| *word == "FAIL");
    let bad: BTreeSet<String> = bad.map(|(name, _, _)| (*name).to_owned()).collect();
    assert_eq!(BTreeSet::from_iter(listed(&project, &["--failed"])), bad);
}

#[test]
fn failed_chooses_the_tests_that_fail_fast_left_out() {
    let project = Project::new();
    for name in ["a", "b", "c"] {
        project.test(name, BAD);
    }
    project.test("done", GOOD);
    local(&project, &["t/done_test.sh"]).exits(0);
    local(&project, &["-j1", "--fail-fast", "t/a_test.sh", "t/b_test.sh"]).exits(1);
    assert_eq!(listed(&project, &["--failed"]), ["a", "b"], "c was not in the run");
}

#[test]
fn failed_works_after_an_interrupt_and_after_a_crash() {
    for name in ["INT", "KILL"] {
        let project = Project::new();
        project.test("a-bad", BAD).test("b-good", GOOD).test("c-cut", ENDLESS).test("d-left", GOOD);
        let mut child = project
            .command(&["test", "--machine", "local", "-j1"])
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        wait_for_start(&project);
        signal(&child, name);
        let status = child.wait().unwrap();
        assert_eq!(status.signal(), Some(if name == "INT" { 2 } else { 9 }));
        assert_eq!(listed(&project, &["--failed"]), ["a-bad", "c-cut", "d-left"], "{name}");
        project.test("a-bad", GOOD).test("c-cut", GOOD);
        local(&project, &["--failed"]).exits(0).says("3 passed");
        local(&project, &["--failed"]).exits(4);
    }
}

#[test]
fn a_damaged_history_is_a_warning_and_another_file_is_an_error() {
    let project = Project::new();
    project.test("a", BAD);
    local(&project, &["--history", "h.jsonl"]).exits(1);
    let path = project.root().join("h.jsonl");
    let mut text = std::fs::read_to_string(&path).unwrap();
    text.push_str("\u{0}garbage\n{\"run\"");
    std::fs::write(&path, text).unwrap();
    let ran = local(&project, &["--history", "h.jsonl", "--failed"]);
    ran.exits(1).says("the history `h.jsonl` has 2 damaged lines").says("1 failed");
    local(&project, &["--history", "h.jsonl"]).exits(1).never_says("damaged");
    project.file("notes", "remember the milk\n");
    local(&project, &["--history", "notes"]).exits(2).complains("is not a history of tests");
    assert_eq!(
        std::fs::read_to_string(project.root().join("notes")).unwrap(),
        "remember the milk\n"
    );
    local(&project, &["--history", "notes/h"]).exits(1).says("no history is kept: cannot write");
}

#[test]
fn a_changed_file_chooses_the_tests_that_source_it() {
    let project = Project::new();
    project
        .test("a", &format!(". \"${{0%/*}}/lib.sh\"\n{GOOD}"))
        .test("b", GOOD)
        .test("c", GOOD)
        .file("t/lib.sh", ". t/deep.sh\n")
        .file("t/deep.sh", ":\n")
        .file(".gitignore", "/.state\n/ignored\n");
    let outside = orca(&project, &["list", "--changed"]);
    outside.exits(2).complains("--changed: git says: not a git repository").complains("hint: ");
    git(&project, &["init", "-q", "-b", "main"]);
    assert_eq!(
        listed(&project, &["--changed"]),
        ["a", "b", "c"],
        "without a commit every file has changed"
    );
    git(&project, &["add", "-A"]);
    git(&project, &["commit", "-qm", "one"]);
    orca(&project, &["list", "--changed"])
        .exits(4)
        .complains("no test is touched by what changed since the last commit");
    project.file("t/deep.sh", "true\n").test("new", GOOD);
    assert_eq!(listed(&project, &["--changed"]), ["a", "new"]);
    git(&project, &["checkout", "-q", "-b", "side"]);
    git(&project, &["add", "-A"]);
    git(&project, &["commit", "-qm", "two"]);
    git(&project, &["checkout", "-q", "main"]);
    project.test("c", BAD);
    git(&project, &["commit", "-qam", "three"]);
    git(&project, &["checkout", "-q", "side"]);
    project.test("b", BAD);
    assert_eq!(listed(&project, &["--changed"]), ["b"]);
    assert_eq!(listed(&project, &["--changed=main"]), ["a", "b", "new"], "c changed on main only");
    orca(&project, &["list", "--changed=nope"]).exits(2).complains("no revision `nope`");
    orca(&project, &["list", "--changed=--version"]).exits(2).complains("no revision");
}

#[test]
fn shards_are_even_and_together_have_every_test() {
    let project = Project::new();
    let mut history = String::new();
    for n in 0..30 {
        let name = format!("{n:02}");
        project.test(&name, GOOD);
        let seconds = if n % 10 == 0 { 50 } else { n % 6 + 1 };
        let line = format!("\"test\":\"t/{name}_test.sh\",\"bad\":false,\"seconds\":{seconds}");
        history.push_str(&format!("{{\"run\":\"1\",{line}}}\n"));
    }
    project.file("history", &history);
    let shard = |number: usize, copy: &str| {
        project.file(copy, &history);
        let shard = format!("{number}/3");
        let args = ["list", "--format", "json", "--history", copy, "--shard", &shard];
        let ran = orca(&project, &args);
        ran.exits(0);
        let line = |line: &str| -> Value { serde_json::from_str(line).unwrap() };
        let tests: Vec<Value> = ran.out.lines().map(line).collect();
        let time: f64 = tests.iter().map(|test| test["expected"].as_f64().unwrap()).sum();
        let name = |test: &Value| test["test"].as_str().unwrap().to_owned();
        (tests.iter().map(name).collect::<Vec<_>>(), time)
    };
    let shards = [shard(1, "one"), shard(2, "two"), shard(3, "three")];
    let together: BTreeSet<&String> = shards.iter().flat_map(|(tests, _)| tests).collect();
    assert_eq!(together.len(), 30);
    assert_eq!(shards.iter().map(|(tests, _)| tests.len()).sum::<usize>(), 30);
    for (_, time) in &shards {
        for (_, other) in &shards {
            assert!(*time <= other * 1.2, "{shards:?}");
        }
    }
    // Shards that run one after the other on one machine: each run adds to the history, and the
    // next shard still has the same tests.
    for (number, (tests, _)) in (1..).zip(&shards) {
        let shard = format!("{number}/3");
        let ran = events(&project, &["--history", "history", "--shard", &shard]);
        let mut finished = each(&ran, "test_finished", "test");
        finished.sort();
        assert_eq!(&finished, tests);
    }
    let untimed = ["--history", "new", "--shard", "1/3"];
    let why = "`new` has no times of tests, so shards are even by count only";
    orca(&project, &[&["list", "-v"], &untimed[..]].concat())
        .exits(0)
        .complains(why)
        .says("10 tests: no time is known yet");
    local(&project, &untimed)
        .exits(0)
        .says(why)
        .says("a whole run with --history new writes times");
    orca(&project, &["list", "--shard", "4/3"]).exits(2).complains("--shard takes I/N");
    project.test("only/one", GOOD);
    orca(&project, &["list", "t/only", "--shard", "2/2"]).exits(4).complains("shard 2/2 has none");
}

#[test]
fn failed_tests_run_first_and_a_seed_repeats_an_order() {
    let project = Project::new();
    for name in ["a", "b", "c", "d", "e", "f"] {
        project.test(name, GOOD);
    }
    let order = |args: &[&str]| each(&events(&project, args), "test_started", "test").join(" ");
    project.test("e", BAD);
    local(&project, &["-j1"]).exits(1);
    let again = order(&["-j1"]);
    assert!(again.starts_with("t/e_test.sh"), "{again}");
    assert_eq!(order(&["-j1", "--shuffle=7"]), order(&["-j1", "--shuffle=7"]));
    let ran = events(&project, &["-j1", "--shuffle"]);
    let seed = ran[0]["seed"].as_u64().unwrap();
    assert_eq!(order(&["-j1", &format!("--shuffle={seed}")]), {
        each(&ran, "test_started", "test").join(" ")
    });
    let known = ran[0]["expected"].as_array().unwrap().iter().all(Value::is_f64);
    assert!(known, "{}", ran[0]);
    local(&project, &["--shuffle=7"]).says("--shuffle=7");
}

#[test]
fn a_failure_in_one_round_fails_the_run() {
    let project = Project::new();
    let third =
        "echo 1..1; n=$(cat n || echo 0); echo $((n + 1)) > n; [ $n != 2 ] || printf 'not '";
    project.test("a", &format!("{third}; echo ok 1")).test("b", GOOD);
    let ran = local(&project, &["-j1", "--repeat", "4", "--log-dir", "logs"]);
    ran.exits(1).says("8 runs of 2 test files, 8 checks").says("7 passed, 1 failed");
    ran.says("t/a_test.sh: bad in 1 of 4 rounds").says("round 3");
    let log = |round: &str| project.root().join(format!("logs/t/a_test.sh{round}/stdout.tap"));
    assert!(std::fs::read_to_string(log(".round-3")).unwrap().contains("not ok 1"));
    assert!(log("").exists() && log(".round-4").exists());
    assert_eq!(listed(&project, &["--failed"]), ["a"]);
}

#[test]
fn until_fail_ends_with_a_failure_the_last_round_or_an_interrupt() {
    let project = Project::new();
    let third =
        "echo 1..1; n=$(cat n || echo 0); echo $((n + 1)) > n; [ $n -lt 2 ] || printf 'not '";
    let header = "# orca: retries=5 flaky=\"a race\" until=9999-12-31";
    project.test("a", &format!("{header}\n{third}; echo ok 1"));
    let ran = local(&project, &["-j1", "--until-fail"]);
    ran.exits(1).says("a failure in round 3").says("2 passed, 1 failed");
    project.test("a", GOOD);
    local(&project, &["--until-fail", "--repeat", "3"]).exits(0).says("3 passed");
    project.test("a", "echo 1..1; echo ok 1; : > started");
    let mut child = project
        .command(&["test", "--machine", "local", "--until-fail"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    wait_for_start(&project);
    wait_for_start(&project);
    signal(&child, "INT");
    let mut out = String::new();
    std::io::Read::read_to_string(&mut child.stdout.take().unwrap(), &mut out).unwrap();
    assert_eq!(child.wait().unwrap().signal(), Some(2), "{out}");
    assert!(out.contains("runs of 1 test file") && out.contains("interrupted"), "{out}");
}

#[test]
fn a_bail_out_ends_the_run_unless_told_otherwise() {
    let project = Project::new();
    project.test("a", "echo 1..1; echo 'Bail out! no disk'").test("b", GOOD).test("c", GOOD);
    let ran = local(&project, &["-j1"]);
    ran.exits(1).says("t/a_test.sh bailed out: no disk").says("0 passed, 1 failed, 2 not run");
    local(&project, &["-j1", "--bail", "test"]).exits(1).says("2 passed, 1 failed");
}

#[test]
fn an_exclusive_test_runs_alone() {
    let project = Project::new();
    for name in ["a", "b", "c", "d"] {
        project.test(name, "echo 1..1; sleep 0.1; echo ok 1");
    }
    for name in ["alone1", "alone2"] {
        project.test(name, "# orca: exclusive\necho 1..1; sleep 0.1; echo ok 1");
    }
    let ran = events(&project, &["-j3", "--repeat", "2", "--shuffle=3"]);
    let (mut running, mut together, mut alone_seen) = (Vec::new(), 0, 0);
    for line in &ran {
        let test = line["test"].as_str().unwrap_or_default();
        match line["event"].as_str().unwrap() {
            "test_started" => {
                let alone = |test: &&str| test.contains("alone");
                assert!(running.is_empty() || !running.iter().chain([&test]).any(alone), "{test}");
                running.push(test);
                together = together.max(running.len());
                alone_seen += usize::from(alone(&test));
                assert!(
                    alone_seen == 0 || alone(&test),
                    "an exclusive test has been followed by another"
                );
            }
            "test_finished" => {
                let at = running.iter().position(|other| *other == test).unwrap();
                running.swap_remove(at);
            }
            _ => {}
        }
    }
    assert_eq!((together, alone_seen), (3, 4));
}

#[test]
fn a_test_whose_requirement_is_missing_is_skipped_without_a_machine() {
    let project = Project::new();
    project.test("a", &format!("# orca: requires=vm\n{BAD}"));
    let ran = events(&project, &[]);
    assert_eq!(each(&ran, "test_finished", "outcome"), ["skip"]);
    assert_eq!(each(&ran, "test_finished", "why"), ["requires vm, which is not available here"]);
    assert!(each(&ran, "machine_starting", "event").is_empty());
    local(&project, &[]).exits(0).says("SKIP").says("1 skipped");
    project.test("b", GOOD);
    local(&project, &["--repeat", "2"]).exits(0).says("2 passed, 1 skipped");
}

#[test]
fn a_wrong_header_is_told_the_same_way_whatever_reads_it_and_before_anything_is_made() {
    let project = Project::new();
    project.test("a", &format!("# orca: timout=1s\n{GOOD}"));
    let complaint = |args: &[&str]| {
        let ran = orca(&project, args);
        ran.exits(2).complains("`t/a_test.sh` line 1: unknown key `timout`\nhint: did you mean");
        assert!(!project.root().join(".state").exists(), "{args:?}: a folder for no run");
        ran.err
    };
    let said = complaint(&["test", "--machine", "local"]);
    assert_eq!(complaint(&["test", "--machine", "local", "-k", "a"]), said);
    assert_eq!(complaint(&["list", "-v"]), said);
    assert_eq!(complaint(&["list", "-k", "a"]), said);
}
