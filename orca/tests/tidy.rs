//! The mechanical invariants of ARCHITECTURE.md, enforced: who may know whom, where printing and `unsafe` may stand, how long a file
//! may be.

#![expect(clippy::unwrap_used, reason = "a test that panics is a test that fails")]

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

/// The layers of this crate, lowest first. A module may name those of its own layer and below.
const LAYERS: [&[&str]; 12] = [
    &["error", "cancel", "arch", "shape", "host", "text", "mutate"],
    &["events"],
    &["cli"],
    &["select"],
    &["image"],
    &["qemu", "guest"],
    &["machine"],
    &["pod", "report"],
    &["setup"],
    &["conductor"],
    &["commands"],
    &["main"],
];

/// What a module may name although the layers would forbid it, or may not although they would allow it.
const QEMU_KNOWS: [&str; 6] = ["error", "arch", "image", "host", "text", "qemu"];
const REPORT_KNOWS: [&str; 7] = ["error", "cli", "events", "host", "text", "report", "select"];

/// Folders whose files name each other in one direction only.
const STRAIGHT: [&str; 3] = ["cli", "select", "commands"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn sources(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// The text without comments and without its tests.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    let text = text.split("#[cfg(test)]").next().unwrap_or_default();
    text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

fn module(path: &Path) -> String {
    let inside = path.strip_prefix(root().join("orca/src")).unwrap();
    let first = inside.components().next().unwrap().as_os_str().to_string_lossy().into_owned();
    first.trim_end_matches(".rs").to_owned()
}

fn layer(module: &str) -> usize {
    let found = LAYERS.iter().position(|layer| layer.contains(&module));
    found.unwrap_or_else(|| {
        panic!("`{module}` is in no layer: add it to the table in tests/tidy.rs")
    })
}

/// The modules that `text` names behind `prefix`, such as `crate::`, in braces or alone.
fn named(text: &str, prefix: &str) -> Vec<String> {
    let mut found = Vec::new();
    for after in text.split(prefix).skip(1) {
        let list = after.strip_prefix('{').and_then(|rest| rest.split('}').next());
        let words: Vec<&str> = match list {
            Some(list) => list.split(',').collect(),
            None => vec![after],
        };
        for word in words {
            let name: String =
                word.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            found.push(name);
        }
    }
    found
}

#[test]
fn lower_layers_never_name_higher_ones() {
    for path in sources(&root().join("orca/src")) {
        let own = module(&path);
        if own == "main" || path.ends_with("pod/tests.rs") {
            continue;
        }
        for other in named(&code(&path), "crate::") {
            if other == own {
                continue;
            }
            let fine = layer(&other) <= layer(&own);
            assert!(fine, "{}: `{own}` may not know `{other}`", path.display());
        }
    }
}

/// For each file or folder in `dir` those beside it that it names.
fn neighbours(dir: &Path) -> BTreeMap<String, BTreeSet<String>> {
    let inside = format!("crate::{}::", dir.file_name().unwrap().to_string_lossy());
    let mut found = BTreeMap::<String, BTreeSet<String>>::new();
    for path in sources(dir) {
        let parts: Vec<String> = path.strip_prefix(dir).unwrap().iter().map(text_of).collect();
        let own = parts[0].trim_end_matches(".rs").to_owned();
        let mut names = named(&code(&path), &inside);
        if parts.len() == 1 || parts[1] == "mod.rs" {
            names.extend(named(&code(&path), "super::"));
        }
        names.retain(|name| *name != own);
        found.entry(own).or_default().extend(names);
    }
    let files: Vec<String> = found.keys().cloned().collect();
    found.values_mut().for_each(|names| names.retain(|name| files.contains(name)));
    found
}

fn text_of(part: &OsStr) -> String {
    part.to_string_lossy().into_owned()
}

#[test]
fn files_beside_each_other_never_name_each_other_in_a_circle() {
    for folder in STRAIGHT {
        let mut left = neighbours(&root().join("orca/src").join(folder));
        assert!(left.values().any(|names| !names.is_empty()), "{folder}: nothing was found");
        // A file that names nothing that is left is in no circle.
        while let Some(done) = left.iter().find(|(_, names)| names.is_empty()) {
            let done = done.0.clone();
            left.remove(&done);
            left.values_mut().for_each(|names| names.retain(|name| *name != done));
        }
        assert!(left.is_empty(), "{folder}: a circle is in {left:?}");
    }
}

#[test]
fn report_and_qemu_never_meet() {
    for path in sources(&root().join("orca/src")) {
        let allowed: &[&str] = match module(&path).as_str() {
            "qemu" => &QEMU_KNOWS,
            "report" => &REPORT_KNOWS,
            _ => continue,
        };
        for other in named(&code(&path), "crate::") {
            assert!(allowed.contains(&other.as_str()), "{}: knows `{other}`", path.display());
        }
    }
}

#[test]
fn tap_and_agent_know_nothing_of_ours_and_orca_little_of_the_agent() {
    for (dir, forbidden) in [("tap/src", ["agent::", "orca::"]), ("agent/src", ["tap::", "orca::"])]
    {
        for path in sources(&root().join(dir)) {
            let text = code(&path);
            for name in forbidden {
                let uses =
                    text.contains(&format!("use {name}")) || text.contains(&format!(" {name}wire"));
                assert!(!uses, "{}: names `{name}`", path.display());
            }
        }
    }
    for path in sources(&root().join("orca/src")) {
        for after in code(&path).split("agent::").skip(1) {
            let fine =
                after.starts_with("wire") || (module(&path) == "main" && after.starts_with("run("));
            assert!(fine, "{}: of the agent only `wire` is for orca", path.display());
        }
    }
}

#[test]
fn printing_exists_only_in_reports_and_main() {
    for path in sources(&root().join("orca/src")) {
        if ["report", "main"].contains(&module(&path).as_str()) || path.ends_with("host/tty.rs") {
            continue;
        }
        let text = code(&path);
        for word in ["io::stdout", "io::stderr", "println!", "print!(", "dbg!"] {
            assert!(!text.contains(word), "{}: prints with `{word}`", path.display());
        }
    }
}

#[test]
fn unsafe_stands_in_one_file_per_crate() {
    for dir in ["tap/src", "agent/src", "orca/src"] {
        for path in sources(&root().join(dir)) {
            let text = code(&path);
            let unsafe_here = text.contains("unsafe {") || text.contains("unsafe fn");
            assert!(!unsafe_here || path.ends_with("sys.rs"), "{}: unsafe", path.display());
        }
    }
}

#[test]
fn files_are_one_idea_long() {
    for dir in ["tap/src", "agent/src", "orca/src"] {
        for path in sources(&root().join(dir)) {
            let whole = fs::read_to_string(&path).unwrap();
            assert!(whole.starts_with("//!"), "{}: no header", path.display());
            let lines = whole.split("#[cfg(test)]").next().unwrap_or_default().lines().count();
            let table = path.ends_with("cli/flags.rs") || path.ends_with("agent/src/wire.rs");
            assert!(table || lines <= 400, "{}: {lines} lines", path.display());
            assert!(!whole.contains(concat!("TO", "DO:")), "{}: unfinished", path.display());
        }
    }
}
