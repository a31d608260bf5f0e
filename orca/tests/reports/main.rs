//! Reports for programs: TAP, JUnit, JSON and GitHub's commands. They are complete after Ctrl-C and
//! valid whatever tests print, and those of shards can be merged. What people see on a terminal is
//! in `live`.

#![expect(clippy::unwrap_used, reason = "a test that panics is a test that fails")]

#[path = "../kit/mod.rs"]
#[expect(dead_code, reason = "not every file looks for every verdict")]
mod kit;
mod live;
#[path = "../kit/local.rs"]
mod local;
#[path = "../kit/process.rs"]
#[expect(dead_code, reason = "not every file asks whether a process is alive")]
mod process;
mod table;
#[path = "../../../tap/tests/xml/mod.rs"]
mod xml;

use kit::{Project, Ran, VERDICTS};
use local::{local, orca};
use process::{signal, wait_for};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::process::{Command, Stdio};

/// Output that tries to be something else: control characters, `]]>`, markup, invalid UTF-8,
/// commands of GitHub, directives.
const HOSTILE: &str = "printf '1..3\\nok 1 - a\\001\\033[2J ]]> & <b> \"q\"\\n'
printf 'not ok 2 - \\377\\376 ::error::x | `y` * # z\\n'
printf '# ]]></failure> \\000\\177\\302\\205\\357\\277\\277\\n'
printf '  ---\\n  a: ]]> \\033]0;t\\007\\n  ...\\n'
printf 'ok 3 # SKIP <x/> ]]>\\n'; printf '\\377\\000]]> ::stop-commands::x\\n' >&2";

/// A project with every verdict, a timeout and hostile output.
fn everything() -> Project {
    let project = Project::new();
    for (name, body, _) in VERDICTS {
        project.test(name, body);
    }
    project.test("hostile", HOSTILE);
    project.test("late", "# orca: timeout=1s\necho 1..2; echo ok 1; exec sleep 1000");
    project.test(
        "flaky",
        "# orca: retries=1\necho 1..1; [ -e seen ] || { : > seen; exit 1; }; echo ok 1",
    );
    project
}

fn json(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn read(project: &Project, name: &str) -> String {
    fs::read_to_string(project.root().join(name)).unwrap()
}

fn tap_suite(text: &[u8]) -> tap::Suite {
    let mut collector = tap::Collector::default();
    collector.feed(text);
    collector.finish(tap::ExitStatus::SUCCESS)
}

/// The document as the installed Perl can read it: before 3.48 its `prove` knows version 13 at
/// most. The lines are the same in both versions.
fn for_perl(document: &str) -> String {
    let version = Ran::from(Command::new("prove").arg("--version").output().unwrap()).out;
    let version = version.split_whitespace().nth(1).unwrap_or_default();
    let old = version.trim_start_matches('v') < "3.48";
    if old { document.replacen("TAP version 14", "TAP version 13", 1) } else { document.into() }
}

#[test]
fn the_tap_document_is_read_by_our_parser_and_by_perl() {
    let project = everything();
    let ran = local(&project, &["--format", "tap", "-j2"]);
    ran.exits(1)
        .never_says("\x1b")
        .says("# Subtest: t/bad_test.sh\n    ok 1\n    not ok 2 - it is broken\n");
    let suite = tap_suite(ran.out.as_bytes());
    assert_eq!((suite.run, suite.faults_total, suite.skipped), (12, 0, 1), "{}", ran.out);
    assert_eq!(suite.failed, 7, "{}", ran.out);
    project.file("out.tap", &for_perl(&ran.out));
    let prove = |args: &[&str]| {
        Ran::from(Command::new("prove").args(args).current_dir(project.root()).output().unwrap())
    };
    let failing = prove(&["out.tap"]);
    failing.exits(1).says("Failed 7/12 subtests").says("Files=1, Tests=12");
    assert!(!format!("{}{}", failing.out, failing.err).contains("Parse errors"), "{failing:#?}");
    let good = local(&project, &["--format", "tap", "t/good_test.sh", "t/skipping_test.sh"]);
    good.exits(0);
    project.file("good.tap", &for_perl(&good.out));
    prove(&["-e", "cat", "good.tap"]).exits(0).says("All tests successful.");
}

#[test]
fn junit_is_valid_whatever_tests_print() {
    let project = everything();
    project.test(
        "huge",
        "echo 1..20000; i=0; while [ $i -lt 20000 ]; do i=$((i+1)); echo \"not ok $i - $i\"; done",
    );
    local(&project, &["--junit", "r.xml", "-j2", "-q"]).exits(1);
    let text = read(&project, "r.xml");
    let root = xml::parse(&text);
    xml::validate(&root);
    assert_eq!(root.children.len(), 13);
    let suite = |name: &str| {
        let path = format!("t/{name}_test.sh");
        root.children.iter().find(|suite| suite.attributes["name"] == path).unwrap()
    };
    let cases = |name: &str| -> Vec<&xml::Element> {
        suite(name).children.iter().filter(|child| child.name == "testcase").collect()
    };
    let bad = cases("bad");
    assert_eq!(bad[0].attributes["name"], "(whole file)");
    assert!(bad[0].children.is_empty() && bad[1].children.is_empty());
    assert_eq!(bad[2].children[0].name, "failure");
    assert!(bad[2].children[0].text.contains("got: 1"));
    let late = cases("late");
    assert_eq!(late[0].children[0].attributes["message"], "timed out");
    assert_eq!(cases("hostile").len(), 4);
    assert!(cases("huge").len() > 10_000);
    assert_eq!(suite("skipping").attributes["skipped"], "1");
}

#[test]
fn every_report_is_complete_after_an_interrupt() {
    let project = Project::new();
    project
        .test("a", "echo 1..1; echo ok 1")
        .test("b", "echo 1..2; echo ok 1; : > started; exec sleep 1000");
    project.test("c", "echo 1..1; echo ok 1");
    let mut command = project.command(&["test", "--machine", "local", "-j1", "--format", "tap"]);
    command.args(["--json", "r.json", "--junit", "r.xml"]).stdout(Stdio::piped());
    let child = command.spawn().unwrap();
    wait_for("the test to start", || project.root().join("started").exists());
    signal(&child, "INT");
    let ran = Ran::from(child.wait_with_output().unwrap());
    assert_eq!(ran.status, None);
    let suite = tap_suite(ran.out.as_bytes());
    assert_eq!((suite.run, suite.failed, suite.faults_total), (3, 2, 0), "{}", ran.out);
    let root = xml::parse(&read(&project, "r.xml"));
    xml::validate(&root);
    assert_eq!(root.children.len(), 3);
    let lines = json(&read(&project, "r.json"));
    let last = lines.last().unwrap();
    assert_eq!((&last["event"], &last["not_run"]), (&"finished".into(), &2.into()));
    let merged = orca(&project, &["merge", "r.json"]);
    merged.exits(3).says("1 passed, 2 not run").says("the run was cancelled: interrupted");
}

/// What a JSON report says of each test, without the fields that differ between runs.
fn verdicts(text: &str) -> BTreeMap<String, Value> {
    let lines = json(text);
    let finals = lines.into_iter().filter(|line| line["final"] == true);
    finals
        .map(|mut line| {
            for name in ["index", "worker", "machine", "seconds", "dir"] {
                line.as_object_mut().unwrap().remove(name);
            }
            (line["test"].as_str().unwrap().to_owned(), line)
        })
        .collect()
}

/// The cases in each suite of a JUnit report, each with its result.
fn cases(text: &str) -> BTreeMap<String, Vec<String>> {
    let suites = xml::parse(text).children;
    let of = |suite: &xml::Element| {
        let cases = suite.children.iter().filter(|child| child.name == "testcase");
        cases
            .map(|case| {
                let said = case.children.first();
                let said = said.map(|child| format!("{} {:?}", child.name, child.attributes));
                format!("{} {}", case.attributes["name"], said.unwrap_or_default())
            })
            .collect()
    };
    suites.iter().map(|suite| (suite.attributes["name"].clone(), of(suite))).collect()
}

#[test]
fn three_shards_merged_are_one_run() {
    let project = everything();
    let paths: Vec<String> = {
        let listed = orca(&project, &["list"]).out;
        listed.lines().map(str::to_owned).collect()
    };
    local(&project, &["--json", "one.json", "--junit", "one.xml", "-q"]).exits(1);
    fs::remove_file(project.root().join("seen")).unwrap();
    let size = paths.len().div_ceil(3);
    for (number, shard) in paths.chunks(size).enumerate() {
        let name = format!("{number}.json");
        let shard: Vec<&str> = shard.iter().map(String::as_str).collect();
        local(&project, &[&["--json", &name, "-q"], &shard[..]].concat());
    }
    let shards = ["0.json", "1.json", "2.json"];
    let merge = |args: &[&str]| orca(&project, &[&["merge"], args, &shards].concat());
    let merged = merge(&["--format", "json", "--junit", "all.xml"]);
    merged.exits(1);
    let (all, one) = (verdicts(&merged.out), verdicts(&read(&project, "one.json")));
    assert_eq!(all.len(), 12);
    for (test, line) in &one {
        assert_eq!(all[test], *line, "{test}");
    }
    let (all, one) = (read(&project, "all.xml"), read(&project, "one.xml"));
    xml::validate(&xml::parse(&all));
    assert_eq!(cases(&all), cases(&one));
    let counts = |text: &str| {
        let mut line = json(text).pop().unwrap();
        line.as_object_mut().unwrap().remove("seconds");
        line
    };
    assert_eq!(counts(&merged.out), counts(&read(&project, "one.json")));
    merge(&[])
        .exits(1)
        .says("3 reports: 12 test files")
        .says("4 passed, 6 failed, 1 timed out")
        .says("FLAKY");
    let tap = merge(&["--format", "tap"]);
    assert_eq!(tap_suite(tap.out.as_bytes()).failed, 7, "{}", tap.out);
    project.file("all.json", &merged.out);
    orca(&project, &["merge", "all.json"]).exits(1).says("3 reports: 12 test files");
}

#[test]
fn set_ups_and_cases_are_entries_like_tests() {
    let finished = |index: u32, path: &str, outcome: &str, more: Value| {
        let mut line = more;
        line["event"] = "test_finished".into();
        (line["index"], line["test"]) = (index.into(), path.into());
        (line["outcome"], line["final"]) = (outcome.into(), true.into());
        line
    };
    let tests = ["t/setup.sh", "t/a_test.sh", "t/b_test.sh"];
    let cases = [
        serde_json::json!({ "index": 3, "test": "t/b_test.sh [x y]" }),
        serde_json::json!({ "index": 4, "test": "t/b_test.sh [z]" }),
    ];
    let failed =
        serde_json::json!({ "setup": true, "machine": "vm1", "reasons": ["exit status 1"] });
    let blocked = serde_json::json!({
        "blocked_by": "t/setup.sh",
        "reasons": ["set-up failed: t/setup.sh"],
    });
    let case = |name| serde_json::json!({ "case": [name], "machine": "vm2" });
    let lines = [
        serde_json::json!({
            "event": "started", "version": 1, "setups": 1, "workers": 1, "tests": tests,
        }),
        finished(0, tests[0], "fail", failed),
        finished(1, tests[1], "fail", blocked),
        serde_json::json!({
            "event": "test_forked", "index": 2, "test": tests[2], "round": 1, "cases": cases,
        }),
        finished(3, "t/b_test.sh [x y]", "fail", case("x y")),
        finished(4, "t/b_test.sh [z]", "pass", case("z")),
        serde_json::json!({ "event": "finished", "seconds": 3 }),
    ];
    let lines: Vec<String> = lines.iter().map(Value::to_string).collect();
    let project = Project::new();
    project.file("r.json", &lines.join("\n"));
    let people = orca(&project, &["merge", "r.json", "--junit", "r.xml"]);
    people.exits(1).says("FAIL       0.0s  t/setup.sh  (set-up; exit status 1)\n");
    people.says("FAIL       0.0s  t/a_test.sh  (set-up failed: t/setup.sh)\nFAIL");
    people.says("  again: orca test t\n").says("  again: orca test 't/b_test.sh [x y]'\n");
    people.says("\nFAIL    t/setup.sh  (1 test never ran)\nFAIL    t/b_test.sh [x y]\n");
    people.says("3 tests, 1 set-up, 0 checks in 3.0s: 1 passed, 2 failed, 1 set-up failed\n");
    xml::validate(&xml::parse(&read(&project, "r.xml")));
    let tap = orca(&project, &["merge", "r.json", "--format", "tap"]);
    assert_eq!((tap_suite(tap.out.as_bytes()).run, tap_suite(tap.out.as_bytes()).failed), (4, 3));
    let again = orca(&project, &["merge", "r.json", "--format", "json"]);
    project.file("again.json", &again.out);
    assert_eq!(orca(&project, &["merge", "again.json"]).out, people.out);
}

#[test]
fn merging_says_what_is_wrong_with_a_report() {
    let project = Project::new();
    project.test("a", "echo 1..1; echo ok 1").test("b", "echo 1..1; echo ok 1");
    local(&project, &["--json", "whole.json", "-j1"]).exits(0);
    let merge = |args: &[&str]| orca(&project, &[&["merge"], args].concat());
    merge(&["whole.json"]).exits(0).says("1 report: 2 test files").says("2 passed");
    let whole = read(&project, "whole.json");
    let at =
        whole.find("\"t/b_test.sh\",\"test\"").or_else(|| whole.rfind("test_finished")).unwrap();
    project.file("cut.json", &whole[..at]);
    merge(&["cut.json"]).exits(3).says("`cut.json` is cut off").says("1 passed, 1 not run");
    merge(&["cut.json", "whole.json"])
        .exits(0)
        .says("`t/a_test.sh` is in `cut.json` and `whole.json`")
        .says("2 passed");
    project.file("text.json", "hello\n");
    merge(&["text.json"]).exits(2).complains("`text.json` is not a report of orca");
    merge(&["none.json"]).exits(2).complains("cannot read `none.json`");
    merge(&[]).exits(2).complains("needs the reports to join");
    merge(&["--json", "whole.json", "whole.json"]).exits(2).complains("both read and written");
    assert_eq!(read(&project, "whole.json"), whole);
}

#[test]
fn github_gets_annotations_and_a_summary_and_no_commands_from_tests() {
    let project = everything();
    let mut command = project.command(&["test", "--machine", "local", "-j1"]);
    command
        .env("GITHUB_ACTIONS", "true")
        .env("GITHUB_STEP_SUMMARY", project.root().join("summary.md"));
    let ran = Ran::from(command.output().unwrap());
    ran.exits(1);
    let lines: Vec<&str> = ran.out.lines().collect();
    let token = lines[0].strip_prefix("::stop-commands::").unwrap();
    let mut on = false;
    for line in &lines {
        match line.trim_start() {
            text if text == format!("::{token}::") => on = true,
            text if text == format!("::stop-commands::{token}") => on = false,
            text if on && text.starts_with("::") => {
                assert!(
                    text.starts_with("::error file=t/") || text.starts_with("::warning file=t/"),
                    "{text}"
                );
            }
            _ => {}
        }
    }
    assert!(on, "commands are still off at the end: {}", ran.out);
    ran.says("::error file=t/late_test.sh,title=TIMEOUT t/late_test.sh::it ran into its timeout\n");
    ran.says("::warning file=t/flaky_test.sh,title=FLAKY t/flaky_test.sh");
    let summary = read(&project, "summary.md");
    assert!(summary.starts_with("### ❌ orca: 12 test files"), "{summary}");
    assert!(summary.contains("| TIMEOUT | t/late&#95;test.sh |"), "{summary}");
    assert!(!summary.contains("</failure>") && !summary.contains('\u{1b}'), "{summary}");
}

#[test]
fn verbosity_decides_which_points_are_shown() {
    let project = Project::new();
    project.test(
        "a",
        "echo 1..3; echo 'ok 1 - one'; echo 'not ok 2 # TODO later'; echo 'ok 3 # SKIP no tool'",
    );
    local(&project, &["-vv"])
        .exits(0)
        .says(" ok 1 - one\n")
        .says(" not ok 2 # TODO later\n")
        .says(" ok 3 # SKIP no tool\n");
    local(&project, &["-v"]).exits(0).never_says("ok 1 - one").says("machine local1 in ");
    local(&project, &["-q"]).exits(0).never_says("PASS").says("1 passed");
}

#[test]
fn the_command_in_a_failure_block_runs_just_that_test_as_it_was_run() {
    let project = Project::new();
    project
        .test("sp ace/it's", "echo 1..1; [ \"$A\" = 'b c' ] && echo 'not ok 1 - again'")
        .test("other", "echo 1..1; echo ok 1");
    let ran = local(&project, &["-j1", "--env", "A=b c", "--junit", "x.xml"]);
    ran.exits(1);
    let line = ran.out.lines().find_map(|line| line.strip_prefix("  again: ")).unwrap();
    let mut shell = Command::new("sh");
    shell.args(["-c", line]).current_dir(project.root());
    let again = Ran::from(
        shell
            .env("A", "b c")
            .env("XDG_STATE_HOME", project.root().join(".state"))
            .output()
            .unwrap(),
    );
    again.exits(1).says("not ok 1 - again").says("1 test file, 1 check");
}
