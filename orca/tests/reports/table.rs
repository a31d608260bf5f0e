//! The JSON report against docs/json-report.md: every event and field that occurs is documented,
//! and every documented one occurs.

use crate::kit::{Project, VERDICTS};
use crate::local::orca;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// The tables of docs/json-report.md: the names of each event's fields, including those that only
/// some machines or tests have.
fn documented() -> BTreeMap<String, BTreeSet<String>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/json-report.md");
    let text = fs::read_to_string(path).unwrap();
    let ticked = |text: &str| text.split('`').next().unwrap().to_owned();
    let sections = text.split("\n## `").skip(1);
    sections
        .map(|section| {
            let rows = section.lines().filter_map(|line| line.strip_prefix("| `"));
            let names = rows.map(|row| ticked(row).rsplit('.').next().unwrap().to_owned());
            (ticked(section), names.collect())
        })
        .collect()
}

/// Adds the names of all fields in `value`, at any depth, to `found`.
fn fields(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => map.iter().for_each(|(name, inner)| {
            found.insert(name.clone());
            fields(inner, found);
        }),
        Value::Array(list) => list.iter().for_each(|inner| fields(inner, found)),
        _ => {}
    }
}

#[test]
fn json_has_exactly_the_documented_events_and_fields() {
    /// Fields that only copied machines and machines in trouble have.
    const ELSEWHERE: [&str; 7] = ["qemu", "state", "hello", "share", "services", "kind", "detail"];
    let project = Project::new();
    for (name, body, _) in VERDICTS {
        project.test(name, body);
    }
    project.test(
        "nested",
        "echo TAP version 14; echo 1..1; echo '    not ok 1 - in'; echo '    1..1'
         echo 'not ok 1 # TIMEOUT x'",
    );
    project.test("slow", "echo 1..2; echo ok 1; sleep 0.3; echo ok 2; exec sleep 1000");
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut take = |text: &str| {
        for line in text.lines() {
            let line: Value = serde_json::from_str(line).unwrap();
            let mut names = BTreeSet::new();
            fields(&line, &mut names);
            names.remove("event");
            found.entry(line["event"].as_str().unwrap().to_owned()).or_default().extend(names);
        }
    };
    let args = ["test", "--machine", "local", "--format", "json", "-j2", "--timeout", "1s"];
    let out = orca(&project, &[&args[..], &["--fail-fast=7"]].concat()).out;
    take(&out);
    project.file("cut.json", out.lines().next().unwrap());
    take(&orca(&project, &["merge", "--format", "json", "cut.json"]).out);
    let documented = documented();
    assert_eq!(
        found.keys().collect::<Vec<_>>(),
        documented.keys().collect::<Vec<_>>(),
        "events found and documented"
    );
    for (event, names) in &found {
        let table = &documented[event];
        let unknown: Vec<&String> = names.difference(table).collect();
        assert!(unknown.is_empty(), "`{event}` has {unknown:?}, which the table does not");
        let missing: Vec<&String> =
            table.difference(names).filter(|name| !ELSEWHERE.contains(&name.as_str())).collect();
        assert!(missing.is_empty(), "the table says that `{event}` has {missing:?}");
    }
}
