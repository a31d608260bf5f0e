//! The JUnit report: well formed, valid against what the schemas in use have in common, and
//! whole after every suite.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod kit;

use kit::{Dir, have};
use std::collections::BTreeMap;
use std::io::Cursor;
use std::path::Path;
use std::time::{Duration, SystemTime};
use tap::junit::{Case, Outcome, Report, Suite};

/// An element of a parsed report.
#[derive(Debug, Default)]
struct Element {
    name: String,
    attributes: BTreeMap<String, String>,
    children: Vec<Element>,
    text: String,
}

/// Parses the XML that a report may consist of; panics on anything that is not well formed.
fn parse(xml: &str) -> Element {
    let legal = |c: char| matches!(c, '\t' | '\n' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..);
    assert!(xml.chars().all(legal), "a character that XML forbids");
    let body =
        xml.strip_prefix("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n").expect("declaration");
    let mut stack = vec![Element::default()];
    let mut rest = body;
    while let Some(at) = rest.find('<') {
        stack.last_mut().unwrap().text.push_str(&decode(&rest[..at]));
        let end = at + rest[at..].find('>').expect("an open tag");
        let tag = &rest[at + 1..end];
        rest = &rest[end + 1..];
        if let Some(name) = tag.strip_prefix('/') {
            let done = stack.pop().unwrap();
            assert_eq!(done.name, name);
            stack.last_mut().unwrap().children.push(done);
            continue;
        }
        let (tag, empty) = tag.strip_suffix('/').map_or((tag, false), |tag| (tag, true));
        let (name, attributes) = tag.split_once(' ').unwrap_or((tag, ""));
        let element = Element {
            name: name.into(),
            attributes: read_attributes(attributes),
            ..Element::default()
        };
        if empty { stack.last_mut().unwrap().children.push(element) } else { stack.push(element) }
    }
    assert_eq!((stack.len(), rest.trim()), (1, ""));
    stack.pop().unwrap().children.pop().unwrap()
}

fn read_attributes(mut text: &str) -> BTreeMap<String, String> {
    let mut out = BTreeMap::new();
    while let Some((name, tail)) = text.split_once("=\"") {
        let (value, tail) = tail.split_once('"').expect("a quote");
        assert!(!value.contains(['<', '\n']));
        assert!(out.insert(name.trim().to_owned(), decode(value)).is_none(), "{name} twice");
        text = tail;
    }
    out
}

fn decode(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        let end = at + rest[at..].find(';').expect("an entity");
        out.push_str(&rest[..at]);
        out.push(match &rest[at + 1..end] {
            "amp" => '&',
            "lt" => '<',
            "gt" => '>',
            "quot" => '"',
            code => char::from_u32(code.strip_prefix('#').unwrap().parse().unwrap()).unwrap(),
        });
        rest = &rest[end + 1..];
    }
    out + rest
}

/// What Ant's and Jenkins' schemas both demand.
fn validate(root: &Element) {
    assert_eq!((root.name.as_str(), root.attributes.len()), ("testsuites", 0));
    for (id, suite) in root.children.iter().enumerate() {
        assert_eq!(suite.name, "testsuite");
        let get =
            |name: &str| suite.attributes.get(name).unwrap_or_else(|| panic!("no {name}")).clone();
        assert_eq!(get("id"), id.to_string());
        for name in ["name", "package", "hostname"] {
            get(name);
        }
        assert!(get("time").parse::<f64>().is_ok());
        let stamp = get("timestamp");
        assert!(stamp.len() == 19 && &stamp[10..11] == "T", "{stamp}");
        let count = |tag: &str| {
            let cases = suite.children.iter().filter(|c| c.name == "testcase");
            cases.filter(|c| c.children.iter().any(|e| e.name == tag)).count().to_string()
        };
        assert_eq!(
            [get("failures"), get("errors"), get("skipped")],
            [count("failure"), count("error"), count("skipped")]
        );
        let order: Vec<&str> = suite.children.iter().map(|c| c.name.as_str()).collect();
        let cases = order.len() - 3;
        assert_eq!(get("tests"), cases.to_string());
        assert_eq!(
            (order[0], &order[cases + 1..]),
            ("properties", &["system-out", "system-err"][..])
        );
        for case in &suite.children[1..=cases] {
            assert_eq!(case.name, "testcase");
            let keys: Vec<&str> = case.attributes.keys().map(String::as_str).collect();
            assert_eq!(keys, ["classname", "name", "time"]);
            assert!(case.children.len() <= 1);
            for result in &case.children {
                let needs_type = result.name != "skipped";
                assert_eq!(result.attributes.contains_key("type"), needs_type);
                assert!(result.attributes.contains_key("message"));
            }
        }
    }
}

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
fn a_report_is_whole_after_every_suite() {
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
fn prove_writes_one() {
    let dir = Dir::new();
    dir.script("t/a.t", "echo 1..3; echo 'ok 1 - a'; echo 'not ok 2 - b'; printf '# \\033[1mwhy\\001\\n'; echo 'ok 3 # SKIP c'; echo err >&2; exit 1");
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
