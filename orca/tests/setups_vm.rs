//! Set-ups in real machines: what they leave is there for each test below, untouched, and one that
//! goes wrong costs its own tests only. Built with `--features vm`; needs the Debian image in
//! `build/`.

#![expect(clippy::unwrap_used, reason = "a test that panics is a test that fails")]

#[path = "kit/image.rs"]
mod image;
#[expect(dead_code, reason = "not every file uses all of the kit")]
mod kit;
#[path = "kit/lab.rs"]
#[expect(dead_code, reason = "not every file uses all of the kit")]
mod lab;

use lab::{Lab, Report};
use std::fs;

const GOOD: &str = "echo 1..1; echo ok 1";

/// Starts a server which says how often it was asked, and the text in a file.
const SERVER: &str = r#"
mkdir /srv/www; echo original >/srv/www/file; ip link set lo up
perl -MIO::Socket::INET -e 'chdir "/";
    $all = IO::Socket::INET->new(LocalPort => 80, Listen => 5);
    open F, ">/srv/pid.new"; print F $$; close F; rename "/srv/pid.new", "/srv/pid";
    while ($one = $all->accept) {
        open F, "/srv/www/file"; print $one ++$n, " ", <F>; close $one;
    }' &
until [ -e /srv/pid ]; do :; done; cd /
"#;
/// `get`: asks the server.
const GET: &str = r#"get() { perl -MIO::Socket::INET -e \
    '$s = IO::Socket::INET->new("127.0.0.1:80") or die "none\n"; print <$s>' 2>&1; }
"#;

/// Uses the server, and breaks all that is there: the file, the server, the project.
const BREAKER: &str = r#"echo 1..3
[ "$(get)" = "1 original" ] && echo ok 1
echo broken >/srv/www/file; [ "$(get)" = "2 broken" ] && echo ok 2
kill $(cat /srv/pid); while kill -0 $(cat /srv/pid) 2>/dev/null; do :; done
rm -rf /mnt/glacic/t /usr/bin/perl; [ "$(get)" = "2 broken" ] || echo ok 3
"#;

fn lines(report: &Report, path: &str, field: &str) -> String {
    let all = report.of(path);
    let [one] = all[..] else { panic!("{path}: {all:#?}") };
    let lines = one[field].as_array().unwrap().iter();
    lines.map(|line| line.as_str().unwrap()).collect::<Vec<_>>().join("\n")
}

#[test]
fn what_a_set_up_leaves_is_untouched_for_each_test_and_a_bad_one_costs_its_own_tests() {
    let lab = Lab::new();
    lab.file("t/get.sh", GET).file("t/setup.sh", SERVER);
    for name in ["a", "b", "c"] {
        lab.test(name, &format!(". t/get.sh; {BREAKER}"));
    }
    lab.file("t/in/setup.sh", "echo inner >>/srv/www/file; ORCA=x; [ $ORCA_SETUP = 1 ]");
    lab.test(
        "in/x",
        ". t/get.sh; echo 1..2; [ \"$(get)\" = \"$(printf '1 original\\ninner')\" ] && echo ok 1
         [ -z \"$ORCA_SETUP\" ] && echo ok 2",
    );
    for (name, body) in [
        ("fails", "echo it is '7'; echo and so >&2; exit 7"),
        ("hangs", "# orca: timeout=1s\necho waiting; sleep 1000"),
        ("panics", "echo c >/proc/sysrq-trigger; sleep 1000"),
        ("skips", "echo 1..0 '# SKIP' no such tool"),
        ("floods", "yes 'some words that mean nothing at all' | head -c 70000001"),
        ("writes", "yes >/dev/null & while :; do date >t/file; done & sleep 0.3"),
        ("chats", "yes & (while :; do echo tick >&2; done) & sleep 0.3"),
        ("forks", "orca-fork a b && exit 1; exit 0"),
    ] {
        lab.file(&format!("t/{name}/setup.sh"), body);
        lab.test(&format!("{name}/x"), GOOD).test(&format!("{name}/y"), GOOD);
    }
    // Another size of machine has a set-up of its own.
    lab.test("writes/big", &format!("# orca: memory=640M\n{GOOD}"));
    let (ran, report) = lab.orca(&["-j2", "--timeout-factor", "1", "--boot-timeout", "300s"]);
    ran.exits(1).says("13 passed, 4 failed, 2 without a verdict, 2 skipped");
    for name in ["a", "b", "c", "in/x", "writes/big"] {
        report.one(&format!("t/{name}_test.sh"), "pass");
    }
    let verdicts = [
        ("fails", "fail", "set-up failed: t/fails/setup.sh"),
        ("hangs", "fail", "set-up timed out: t/hangs/setup.sh"),
        ("panics", "error", "kernel panicked: in its set-up, t/panics/setup.sh"),
        ("skips", "skip", "set-up skipped: no such tool"),
        ("floods", "pass", ""),
        ("writes", "pass", ""),
        ("chats", "pass", ""),
        ("forks", "pass", ""),
    ];
    for (name, outcome, why) in verdicts {
        for test in ["x", "y"] {
            let one = report.one(&format!("t/{name}/{test}_test.sh"), outcome);
            assert_eq!(one["why"].as_str().unwrap_or_default(), why, "{one:#}");
            if !why.is_empty() {
                assert_eq!(one["machine"], "", "it was never started: {one:#}");
            }
        }
    }
    let shown = ran.out.matches("    | it is 7\n    | and so\n").count();
    assert_eq!(shown, 1, "{}", ran.out);
    assert_eq!(report.of("t/panics/setup.sh").len(), 2, "it is tried on a second machine");
    report.one("t/setup.sh (512 MiB)", "pass");
    report.one("t/setup.sh (640 MiB)", "pass");
    let log = String::from_utf8(lab.log("t/forks/setup.sh", "output.log")).unwrap();
    assert!(log.contains("orca-fork: a set-up cannot fork"), "{log}");
}

#[test]
fn a_set_up_is_kept_until_what_it_was_made_of_changes() {
    let lab = Lab::with_cache();
    let setup = "cat src/* >/srv/built; [ -e src/stays ] && { sleep 1000 & }; exit 0";
    lab.file("t/setup.sh", &format!("# orca: cache=src/**\n{setup}"));
    lab.file("t/in/setup.sh", "# orca: cache=src\ncd /; echo inner >>/srv/built; sleep 1000 &");
    lab.file("src/a", "one\n").file("beside", "1\n");
    let test = |word: &str| {
        let show = format!("echo \"# {word} $(echo $(cat beside /srv/built))\"");
        lab.test("in/x", &format!("echo 1..1; {show}; pgrep sleep >/dev/null && echo ok 1"));
    };
    let run = |kept: bool, expected: &str, args: &[&str]| {
        let (ran, report) = lab.orca(args);
        ran.exits(0);
        let note = if kept { "kept from an earlier run" } else { "" };
        for setup in ["t/setup.sh", "t/in/setup.sh"] {
            assert_eq!(lines(&report, setup, "notes"), note, "{setup} in {expected}");
        }
        let log = String::from_utf8(lab.log("t/in/x_test.sh", "stdout.tap")).unwrap();
        assert!(log.contains(&format!("# {expected}\n")), "not {expected}: {log}");
        ran
    };
    test("first");
    run(false, "first 1 one inner", &[]);
    lab.file("beside", "2\n");
    test("second");
    run(true, "second 2 one inner", &["--verbose"]).says("kept from an earlier run");
    lab.file("src/b", "two\n");
    run(false, "second 2 one two inner", &[]);
    lab.file("src/stays", "");
    let left = "it is made again in every run, in spite of its `cache=`: it left a process";
    run(false, "second 2 one two inner", &[]).says(left);
    fs::remove_file(lab.root().join("src/stays")).unwrap();
    run(true, "second 2 one two inner", &[]);
}

#[test]
fn where_nothing_is_frozen_each_machine_goes_through_its_set_ups() {
    let lab = Lab::new();
    lab.file("t/setup.sh", "echo out >>/run/order").file("t/a/setup.sh", "echo in >>/run/order");
    lab.file("t/b/setup.sh", "echo no; exit 1");
    let check = "[ \"$(echo $(cat /run/order))\" = 'out in' ] && echo ok 1";
    lab.test("a/x", &format!("echo 1..1; {check}")).test("a/y", &format!("echo 1..1; {check}"));
    lab.test("b/x", GOOD);
    let two = "on two sh -c 'echo $(cat /run/order)' | grep -qx 'out in' && echo ok 2";
    lab.test("a/nodes", &format!("# orca: nodes=one,two\necho 1..2; {check}; {two}"));
    let why = |report: &Report| {
        let one = report.one("t/b/x_test.sh", "fail");
        assert!(one["why"].as_str().unwrap().contains("set-up failed: t/b/setup.sh"), "{one:#}");
    };
    let alone = ["t/a/x_test.sh", "t/a/y_test.sh", "t/b"];
    for args in [&["--reuse", "-j1"][..], &["--cold"], &["--share", "overlay"]] {
        let (ran, report) = lab.orca(&[args, &alone].concat());
        ran.exits(1).says("2 passed, 1 failed");
        why(&report);
    }
    let (ran, report) = lab.orca(&["-j2"]);
    ran.exits(1).says("3 passed, 1 failed");
    report.one("t/a/nodes_test.sh", "pass");
    why(&report);
    // Without a machine the tests see what the test before has left.
    lab.file("t/setup.sh", "exit 0").file("t/a/setup.sh", "echo here >\"$PWD/../order\"");
    lab.test("a/x", "echo 1..1; cat ../order; echo ok 1");
    let (ran, report) = lab.orca(&["--machine", "local", "t/a/x_test.sh", "t/b"]);
    ran.exits(1);
    report.one("t/a/x_test.sh", "pass");
    assert_eq!(fs::read_to_string(lab.beside("order")).unwrap(), "here\n");
    why(&report);
}
