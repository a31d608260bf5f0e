//! What a suite holds besides the counts: failures with their diagnostics, subtests, KTAP, bounds.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod kit;

use kit::collect;
use tap::{ExitStatus, Options, Suite, Verdict, Version};

fn read(text: &str) -> Suite {
    collect(&[text.as_bytes()], 0)
}

#[test]
fn a_failure_carries_the_diagnostics_that_follow_it() {
    let suite = read(
        "TAP version 14\n1..3\nok 1 - a\n# not about a failure\nnot ok 2 - b \\# c # about time\n\
         # one\n#two\n  ---\n  got: 1\n\n    deep: 2\n  ...\nnot ok 3 - d # TODO later\n# three\n",
    );
    let [failure] = &suite.failures[..] else { panic!("{:?}", suite.failures) };
    assert_eq!((failure.number, failure.line), (2, 5));
    assert_eq!(failure.description, "b # c # about time");
    assert_eq!(failure.comments, ["one", "two"]);
    assert_eq!(failure.yaml.as_deref(), Some("got: 1\n\n  deep: 2\n"));
    assert_eq!(suite.reasons(), ["failed 1 of 3 points"]);
}

#[test]
fn subtests_are_part_of_the_failure_they_caused() {
    let suite = read(
        "TAP version 14\n# Subtest: net\n    # Subtest: dns\n\
         \x20       not ok 1 - ask\n        # no answer\n        1..2\n\
         \x20   not ok 1 - dns\n    1..1\nnot ok 1 - net\n1..1\n",
    );
    let net = &suite.failures[0];
    let dns = &net.subtests[0];
    let ask = &dns.subtests[0];
    assert_eq!([&net.description, &dns.description, &ask.description], ["net", "dns", "ask"]);
    assert_eq!(ask.comments, ["no answer"]);
    assert_eq!(dns.reasons, ["planned 2, ran 1"]);
}

#[test]
fn a_contradiction_is_reported_and_fails_nothing() {
    let suite = read(
        "1..2\n    not ok 1 - x\n    1..1\nok 1 - a\nok 2 - b {\n    not ok 1 - y\n    1..1\n}\n",
    );
    assert!(suite.success());
    let told: Vec<_> =
        suite.contradictions.iter().map(|c| (c.number, &*c.subtests[0].description)).collect();
    assert_eq!(told, [(1, "x"), (2, "y")]);
}

#[test]
fn reasons_name_everything_that_is_wrong() {
    let reasons = |text: &str, exit| collect(&[text.as_bytes()], exit).reasons();
    assert_eq!(reasons("1..5\nok 1\nok 2\nok 3\n", 3), ["exit status 3", "planned 5, ran 3"]);
    assert_eq!(reasons("1..1\nok 1\n", 137), ["killed by signal 9"]);
    assert_eq!(reasons("ok 1\n", 0), ["no plan"]);
    assert_eq!(reasons("Bail out! a \\# b\n", 0), ["bailed out: a # b"]);
    assert_eq!(reasons("1..2\nok 1\nok 1\n", 0), ["line 3: number 1 where 2 was due"]);
}

#[test]
fn every_verdict_is_reached() {
    assert_eq!(read("1..1\nok 1\n").verdict(), Verdict::Pass);
    assert_eq!(read("1..0 # SKIP no nft\n").skip_all.as_deref(), Some("no nft"));
    assert_eq!(read("1..0\n").verdict(), Verdict::Skip);
    assert_eq!(read("1..1\nnot ok 1\n").verdict(), Verdict::Fail);
    assert_eq!(read("1..1\nok 1\nBail out!\n").verdict(), Verdict::Bail);
    assert_eq!(read("1..3\nok 1\nok 2 # SKIP x\nnot ok 3\n").summary(), (1, 1, 1));
}

#[test]
fn version_14_takes_numbers_in_any_order_but_once() {
    assert!(read("TAP version 14\n1..3\nok 3\nok 1\nok 2\n").success());
    assert!(!read("TAP version 13\n1..3\nok 3\nok 1\nok 2\n").success());
    for bad in ["ok 1\nok 1\n1..2", "ok 1\nok 3\n1..2", "1..2\nok 0\nok 1"] {
        assert!(!read(&format!("TAP version 14\n{bad}\n")).success(), "{bad}");
    }
}

#[test]
fn letters_after_ok_count_in_any_script_from_13_on() {
    assert_eq!(read("TAP version 13\noké 1\n").run, 0);
    assert_eq!(read("TAP version 13\nok✓ 1\n").run, 1);
}

#[test]
fn ktap_documents_nest_by_their_version_lines() {
    for pad in ["  ", "    ", "\t"] {
        let text = format!(
            "KTAP version 1\n1..2\n{pad}KTAP version 1\n{pad}# Subtest: s\n{pad}1..2\n{pad}ok 1 a\n\
             junk\n{pad}not ok 2 b\nok 1 s\n{pad}KTAP version 1\n{pad}1..1\n\
             {pad}ok 1 c # SKIP x\nok 2 t\n"
        );
        let suite = read(&text);
        assert_eq!(suite.version, Version::Ktap1);
        assert_eq!((suite.run, suite.failed, suite.skipped), (2, 1, 1), "{pad:?}");
        assert_eq!(suite.failures[0].subtests[0].description, "b");
    }
}

#[test]
fn ktap_directives_and_missing_plans() {
    let suite = read(
        "KTAP version 1\nok 1 a\nnot ok 2 b # XFAIL x\nok 3 c # TIMEOUT 45 s\nok 4 d # ERROR\n",
    );
    assert_eq!((suite.run, suite.failed, suite.todo, suite.faults_total), (4, 2, 1, 0));
    assert!(read("KTAP version 1\nok 1 a\n").success());
    assert!(!read("KTAP version 1\n").success());
}

#[test]
fn a_console_may_stamp_every_line_of_ktap() {
    let suite = read(
        "[    0.100000] Linux version 6\n[   12.345678] KTAP version 1\n[   12.345700] 1..1\n\
         [   12.345710]     KTAP version 1\n[   12.345720]     1..1\n\
         [123456.345730]     not ok 1 x\n\
         [   12.4] not ok 1 suite\n",
    );
    assert_eq!((suite.run, suite.failed), (1, 1));
    assert_eq!(suite.failures[0].subtests[0].description, "x");
}

#[test]
fn markers_count_only_where_they_were_asked_for() {
    let text = b"TAP_START a.sh\n1..1\nok 1\nTAP_END a.sh exit=3\n";
    let mut collector = tap::Collector::new(Options { markers: true, ..Options::default() });
    collector.feed(text);
    assert_eq!(collector.ended(), Some(3));
    let mut framed = tap::Collector::default();
    framed.feed(text);
    assert_eq!(framed.ended(), None);
    assert!(framed.finish(ExitStatus::SUCCESS).success());
}

#[test]
fn progress_can_be_asked_for_before_the_end() {
    let mut collector = tap::Collector::default();
    collector.feed(b"1..3\nok 1\nnot ok 2\nok");
    let progress = collector.progress();
    assert_eq!((progress.run, progress.failed, progress.planned), (2, 1, Some(3)));
    collector.feed(b" 3\nBail out! enough\n");
    assert_eq!(collector.bailed(), Some("enough"));
}

#[test]
fn memory_is_bounded_and_says_what_it_dropped() {
    let mut collector = tap::Collector::default();
    let line = format!("not ok - {}\n# {}\n", "d".repeat(10_000), "c".repeat(10_000));
    for _ in 0..3000 {
        collector.feed(line.as_bytes());
    }
    let suite = collector.finish(ExitStatus::SUCCESS);
    assert_eq!((suite.failed, suite.failures.len()), (3000, tap::FAILURES_MAX));
    assert!(suite.failures[0].description.ends_with("(5904 more bytes)"));
    let kept: usize = suite.failures.iter().flat_map(|f| &f.comments).map(String::len).sum();
    assert!(kept <= tap::TOTAL_DIAGNOSTIC_BYTES_MAX);
    assert!(suite.failures.last().is_some_and(|f| f.truncated));
}

#[test]
fn what_is_strict_depends_on_the_declared_version() {
    let good = |version: u32, text: &str| {
        read(&format!("TAP version {version}\npragma +strict\n1..1\n{text}")).success()
    };
    assert!(good(14, "\nok 1\n"), "14 ignores empty lines");
    assert!(!good(14, "  \nok 1\n") && !good(13, "\nok 1\n"));
    assert!(good(13, "ok 1\n\n\n"), "empty lines may end a stream");
    assert!(!good(14, "ok 1\n{\n") && !good(14, "ok 1\n}\n"), "braces need a subtest");
    assert!(good(14, "ok 1\n  ---\n  a: 1\n  ...\n{\n    1..1\n    ok 1\n}\n"));
    assert!(!good(14, "    junk\nok 1\n") && good(14, "    1..0\nok 1\n"));
    assert!(good(13, "pragma -strict\njunk\nok 1\n"));
}

#[test]
fn a_directive_needs_white_space_beside_its_hash() {
    let todo = |line: &str| read(&format!("TAP version 13\n1..1\n{line}\n")).todo == 1;
    assert!(todo("ok 1 - d# TODO") && todo("ok 1 - d #TODO") && todo("ok 1 - d \\\\#TODO"));
    assert!(todo("ok 1 - d #\u{a0}TODO") && todo("ok 1 - http://x/y#z # TODO"));
    assert!(!todo("ok 1 - d#TODO") && !todo("ok 1 - d \\# TODO") && !todo("ok 1 - d # x # TODO"));
    assert_eq!(read("1..2\nok 1 - d# SKIPPED\nok 2 - d # SKIPPED\n").skipped, 1);
}
