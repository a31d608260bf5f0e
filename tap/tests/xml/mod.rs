//! Reads JUnit reports strictly: they must be well-formed XML, and valid by what two schemas both
//! demand, Ant's and that of Jenkins, which GitLab reads too.

use std::collections::BTreeMap;

/// An element of a parsed report.
#[derive(Debug, Default)]
pub struct Element {
    pub name: String,
    pub attributes: BTreeMap<String, String>,
    pub children: Vec<Self>,
    pub text: String,
}

/// Parses the XML of a report; panics if it is not well formed.
pub fn parse(xml: &str) -> Element {
    let legal = |c: char| {
        matches!(c, '\t' | '\n' | ' '..='\u{d7ff}')
            || matches!(c, '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
    };
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

/// Checks what Ant's and Jenkins' schemas both demand.
pub fn validate(root: &Element) {
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
