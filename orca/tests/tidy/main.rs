//! The mechanical invariants of ARCHITECTURE.md, enforced: who may know whom, where printing and
//! `unsafe` may stand, how long a file and a line may be.

#![expect(clippy::unwrap_used, reason = "a test that panics is a test that fails")]

mod docs;
mod graph;

use graph::{Graph, code};
use std::fs;
use std::path::{Path, PathBuf};

/// The layers of the crate `orca`, lowest first: folders, and the files beside them. A file may
/// name what is in its own layer and below.
const LAYERS: [&[&str]; 14] = [
    &["error", "cancel", "arch", "shape", "mutate"],
    &["text"],
    &["host"],
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

/// What else a folder may not know, although it is in a lower layer.
const STRANGERS: [(&str, &[&str]); 6] = [
    ("qemu", &["events", "cli", "select"]),
    ("image", &["events", "cli", "select"]),
    ("guest", &["cli", "select", "image", "qemu"]),
    ("report", &["image", "qemu", "guest", "machine"]),
    ("pod", &["image", "qemu"]),
    ("conductor", &["image", "qemu"]),
];

/// The most files directly in `orca/src`.
const FILES_BESIDE_FOLDERS_MAX: usize = 8;
/// The longest file, in lines without its tests; tables aside.
const FILE_LINES_MAX: usize = 400;
const TABLES: [&str; 1] = ["cli/flags.rs"];
/// The longest line, in characters.
const COLUMNS_MAX: usize = 100;

/// Files that may know which system this is; elsewhere the code asks them.
const SYSTEM: [&str; 4] =
    ["orca/src/host/", "agent/src/lib.rs", "agent/src/main.rs", "tap/src/prove/sys.rs"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// All files below `dir` with the extension `rs`.
fn sources(dir: &Path) -> Vec<PathBuf> {
    files(dir, &["rs"])
}

/// All files below `dir` with one of these extensions, sorted.
fn files(dir: &Path, extensions: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files(&path, extensions));
        } else if extensions.iter().any(|e| path.extension().is_some_and(|own| own == *e)) {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// The sources of the three crates.
fn all_sources() -> Vec<PathBuf> {
    ["tap/src", "agent/src", "orca/src"].iter().flat_map(|dir| sources(&root().join(dir))).collect()
}

fn shown(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}

fn layer(folder: &str) -> usize {
    LAYERS.iter().position(|layer| layer.contains(&folder)).unwrap_or_else(|| {
        panic!("`{folder}` is in no layer: add it to the table in tests/tidy/main.rs")
    })
}

#[test]
fn lower_layers_never_name_higher_ones_and_strangers_never_meet() {
    let graph = Graph::of(&root().join("orca/src"));
    for (from, to) in graph.edges() {
        let folder = |module: &[String]| module.first().cloned().unwrap_or("main".to_owned());
        let (own, other) = (folder(from), folder(to));
        let file = shown(graph.file(from));
        assert!(layer(&other) <= layer(&own), "{file}: `{own}` may not know `{other}`");
        let strange = STRANGERS.iter().any(|(who, whom)| *who == own && whom.contains(&&*other));
        assert!(!strange, "{file}: `{own}` and `{other}` never meet");
    }
}

#[test]
fn no_file_imports_one_that_imports_it() {
    for dir in ["tap/src", "agent/src", "orca/src"] {
        let graph = Graph::of(&root().join(dir));
        if let Some(circle) = graph.circle() {
            let files: Vec<String> = circle.iter().map(|at| shown(graph.file(at))).collect();
            panic!("a circle of imports: {}", files.join(" -> "));
        }
    }
}

#[test]
fn few_files_lie_beside_the_folders() {
    let beside = fs::read_dir(root().join("orca/src")).unwrap().map(Result::unwrap);
    let beside: Vec<_> = beside.filter(|entry| entry.path().is_file()).collect();
    assert!(beside.len() <= FILES_BESIDE_FOLDERS_MAX, "too many files in orca/src: {beside:?}");
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
                assert!(!uses, "{}: names `{name}`", shown(&path));
            }
        }
    }
    for path in sources(&root().join("orca/src")) {
        for after in code(&path).split("agent::").skip(1) {
            let fine = after.starts_with("wire")
                || (path.ends_with("main.rs") && after.starts_with("run("));
            assert!(fine, "{}: of the agent only `wire` is for orca", shown(&path));
        }
    }
}

#[test]
fn printing_exists_only_in_reports_and_main() {
    for path in sources(&root().join("orca/src")) {
        let name = shown(&path);
        let may = ["orca/src/report/", "orca/src/main.rs", "orca/src/host/tty.rs"];
        if may.iter().any(|place| name.starts_with(place)) {
            continue;
        }
        let text = code(&path);
        for word in ["io::stdout", "io::stderr", "println!", "print!(", "dbg!"] {
            assert!(!text.contains(word), "{name}: prints with `{word}`");
        }
    }
}

#[test]
fn unsafe_stands_in_one_file_per_crate() {
    for path in all_sources() {
        let text = code(&path);
        let unsafe_here = text.contains("unsafe {") || text.contains("unsafe fn");
        assert!(!unsafe_here || path.ends_with("sys.rs"), "{}: unsafe", shown(&path));
    }
}

#[test]
fn only_a_few_files_know_which_system_this_is() {
    for path in all_sources() {
        let name = shown(&path);
        let may = SYSTEM.iter().any(|place| name.starts_with(place));
        assert!(may || !code(&path).contains("target_os"), "{name}: asks for target_os");
    }
}

#[test]
fn files_are_one_idea_long() {
    for path in all_sources() {
        let whole = fs::read_to_string(&path).unwrap();
        let name = shown(&path);
        assert!(whole.starts_with("//!"), "{name}: no header");
        let lines = whole.split("#[cfg(test)]\nmod ").next().unwrap_or_default().lines().count();
        let table = TABLES.iter().any(|table| path.ends_with(table));
        assert!(table || lines <= FILE_LINES_MAX, "{name}: {lines} lines");
        assert!(!whole.contains(concat!("TO", "DO:")), "{name}: unfinished");
        assert!(!whole.contains(concat!("#[al", "low")), "{name}: `expect`, with a reason");
        let lowered = whole.to_lowercase();
        assert!(!lowered.contains(concat!("see the ", "module")), "{name}: says nothing");
    }
}

/// Code, comments and prose. Tables, what a program printed, and links may be longer.
#[test]
fn lines_fit_a_window_of_a_hundred_columns() {
    let crates = ["tap", "agent", "orca"].map(|dir| files(&root().join(dir), &["rs", "md"]));
    let others = ["scripts", "t", "docs", ".ci"].map(|dir| files(&root().join(dir), &["sh", "md"]));
    let tops = fs::read_dir(root()).unwrap().map(|entry| entry.unwrap().path());
    let tops = tops.filter(|path| path.extension().is_some_and(|e| e == "md"));
    for path in crates.concat().into_iter().chain(others.concat()).chain(tops) {
        let text = fs::read_to_string(&path).unwrap();
        let prose = path.extension().is_some_and(|extension| extension == "md");
        let mut fenced = false;
        for (number, line) in (1..).zip(text.lines()) {
            fenced ^= prose && line.trim_start().starts_with("```");
            let may = prose && (fenced || line.trim_start().starts_with('|'));
            let columns = line.chars().count();
            let name = shown(&path);
            assert!(may || columns <= COLUMNS_MAX, "{name}:{number}: {columns} columns");
        }
    }
}
