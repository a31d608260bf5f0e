//! The JSON report and the JSON list of tests against docs/json-report.md: every event and field
//! that occurs is documented, and every documented one occurs.

use crate::kit::{Project, VERDICTS};
use crate::local::orca;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// The two parts of docs/json-report.md: the report, and the list of tests.
fn parts() -> (String, String) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/json-report.md");
    let text = fs::read_to_string(path).unwrap();
    let (report, list) = text.split_once("\n# ").unwrap();
    (report.to_owned(), list.to_owned())
}

/// The text up to the first backtick.
fn ticked(text: &str) -> String {
    text.split('`').next().unwrap().to_owned()
}

/// The names of the fields in the tables of `section`, without the objects that they are in.
fn names(section: &str) -> BTreeSet<String> {
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.map(|row| ticked(row).rsplit('.').next().unwrap().to_owned()).collect()
}

/// The names of each event's fields, including those that only some machines or tests have.
fn documented() -> BTreeMap<String, BTreeSet<String>> {
    let report = parts().0;
    report.split("\n## `").skip(1).map(|section| (ticked(section), names(section))).collect()
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
    project.test("forks", "echo 1..1; echo \"ok 1 - $(orca-fork a b)\"");
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

#[test]
fn the_list_has_exactly_the_documented_fields() {
    let project = Project::new();
    project
        .test("plain", "echo 1..0")
        .test("flaky", "# orca: flaky=\"a race\" until=2027-01-31\necho 1..0");
    let ran = orca(&project, &["list", "--format", "json"]);
    ran.exits(0);
    let mut found = BTreeSet::new();
    for line in ran.out.lines() {
        fields(&serde_json::from_str(line).unwrap(), &mut found);
    }
    assert_eq!(found, names(&parts().1), "fields found and documented");
}
