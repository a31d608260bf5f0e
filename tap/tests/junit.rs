//! The JUnit report is well formed, valid against what the schemas in use have in common, and
//! complete after every suite.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod kit;
mod xml;

use kit::{Dir, have};
use std::io::Cursor;
use std::path::Path;
use std::time::{Duration, SystemTime};
use tap::junit::{Case, Outcome, Report, Suite};
use xml::{parse, validate};

fn check_with_python(dir: &Dir, xml: &str) {
    if have("python3", "JUnit XML") {
        let path = dir.file("report.xml", xml.as_bytes());
        let code =
            "import sys, xml.etree.ElementTree as e; print(len(e.parse(sys.argv[1]).getroot()))";
        let ran = dir.run(Path::new("python3"), &["-c", code, path.to_str().unwrap()], b"");
        assert_eq!(ran.code, Some(0), "{}", ran.err);
    }
}

#[test]
fn a_report_is_complete_after_every_suite() {
    let nasty =
        b"\x1b[31mred\x1b[0m \0\x01\x7f\xff\xfe & <tag> ]]> \r\n\x1b]0;t\x07 \xc2\x85 \xef\xbf\xbf"
            .to_vec();
    let text = String::from_utf8_lossy(&nasty).into_owned();
    let case = |outcome| Case { name: text.clone(), time: Duration::from_millis(1500), outcome };
    let suite = Suite {
        name: text.clone(),
        started: SystemTime::now(),
        time: Duration::from_millis(2),
        cases: vec![
            case(Outcome::Passed),
            case(Outcome::Skipped(text.clone())),
            case(Outcome::Failed { message: text.clone(), text: text.clone() }),
            case(Outcome::Errored { message: text.clone(), text: text.clone() }),
        ],
        stdout: nasty.clone(),
        stderr: nasty.repeat(40_000),
    };
    let mut report = Report::new(Cursor::new(Vec::new())).unwrap();
    let dir = Dir::new();
    for count in 1..=3 {
        report.add(&suite).unwrap();
        let cursor = report.into_inner();
        let xml = String::from_utf8(cursor.get_ref().clone()).unwrap();
        let root = parse(&xml);
        validate(&root);
        assert_eq!(root.children.len(), count);
        check_with_python(&dir, &xml);
        report = Report::new(Cursor::new(Vec::new())).unwrap();
        (0..count).for_each(|_| report.add(&suite).unwrap());
    }
}

#[test]
fn prove_writes_a_valid_report() {
    let dir = Dir::new();
    dir.script(
        "t/a.t",
        "echo 1..3; echo 'ok 1 - a'; echo 'not ok 2 - b'; printf '# \\033[1mwhy\\001\\n'; \
         echo 'ok 3 # SKIP c'; echo err >&2; exit 1",
    );
    dir.script("t/b.t", "echo '1..0 # SKIP nothing'");
    let ran = dir.prove(&["--junit", "out.xml", "t"]);
    assert_eq!((ran.code, ran.err.as_str()), (Some(1), "err\n"));
    let xml = dir.read("out.xml");
    let root = parse(&xml);
    validate(&root);
    check_with_python(&dir, &xml);
    let suite = &root.children[0];
    assert_eq!(suite.attributes["name"], "t/a.t");
    let [_, a, b, c, whole, out, err] = &suite.children[..] else { panic!("{suite:?}") };
    assert_eq!((a.attributes["name"].as_str(), a.children.len()), ("1 - a", 0));
    assert_eq!(b.children[0].text, "why\u{2401}\n");
    assert_eq!(c.children[0].attributes["message"], "c");
    assert_eq!(whole.children[0].attributes["message"], "exit status 1");
    assert!(out.text.contains("not ok 2") && err.text == "err\n");
    assert_eq!(root.children[1].attributes["skipped"], "1");
}
