//! What the pages for developers and users name is there, and what is there is named.

use super::{LAYERS, files, root, shown};
use std::collections::BTreeSet;
use std::fs;

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

/// The texts between backticks in the prose of a page; what stands in fenced blocks is left out.
fn ticked(page: &str) -> Vec<String> {
    let text = read(page);
    let prose = text.split("```").step_by(2);
    prose.flat_map(|part| part.split('`').skip(1).step_by(2).map(str::to_owned)).collect()
}

/// Every file of the project that a page may name, as paths from its root.
fn all_files() -> Vec<String> {
    let mut found = Vec::new();
    for dir in ["orca", "agent", "tap", "scripts", "t", "docs", ".ci"] {
        found.extend(files(&root().join(dir), &["rs", "sh", "md", "toml", "awk"]));
    }
    found.iter().map(|path| shown(path)).collect()
}

#[test]
fn every_file_that_a_page_names_is_there() {
    let all = all_files();
    let kinds = [".rs", ".sh", ".md", ".awk"];
    for page in ["ARCHITECTURE.md", "CONTRIBUTING.md", "README.md"] {
        for name in ticked(page) {
            let path = name.strip_prefix("./").unwrap_or(&name);
            let is_file = kinds.iter().any(|kind| path.ends_with(kind))
                && path.chars().all(|c| c.is_ascii_alphanumeric() || "_-./".contains(c))
                && !path.starts_with(['.', '/'])
                && !path.contains("NAME"); // a file that a reader is to add
            let there = root().join(path).exists()
                || all.iter().any(|file| file.ends_with(&format!("/{path}")));
            assert!(!is_file || there, "{page} names `{name}`, which is not there");
        }
    }
}

#[test]
fn every_folder_has_its_layer_and_its_place_on_the_map() {
    let map = read("ARCHITECTURE.md");
    for entry in fs::read_dir(root().join("orca/src")).unwrap().map(Result::unwrap) {
        let name = entry.file_name().into_string().unwrap();
        let folder = name.trim_end_matches(".rs");
        let known = LAYERS.iter().any(|layer| layer.contains(&folder));
        assert!(known, "`{folder}` is in no layer: add it to the table in tests/tidy/main.rs");
        let row = if entry.path().is_dir() { format!("`{folder}/`") } else { continue };
        assert!(map.contains(&row), "ARCHITECTURE.md's map lacks {row}");
    }
}

/// The words between the quotes of a constant list in a source file, from `begin` to its `];`.
fn words_of(source: &str, begin: &str) -> BTreeSet<String> {
    let text = read(source);
    let list = text.split(begin).nth(1).unwrap().split("];").next().unwrap();
    list.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn every_header_key_has_its_row() {
    let keys = words_of("orca/src/select/header/mod.rs", "const KEYS:");
    assert!(keys.len() > 5, "the list of keys was not found: {keys:?}");
    let page = read("docs/headers.md");
    for key in keys {
        let row =
            page.lines().any(|line| line.starts_with("| `") && line.contains(&format!("`{key}")));
        assert!(row, "docs/headers.md has no row for `{key}`");
    }
}

#[test]
fn every_command_has_its_exit_statuses_and_help() {
    let source = read("orca/src/cli/command.rs");
    let names: Vec<&str> =
        source.split("name: \"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    assert!(names.len() > 10, "the table of commands was not found: {names:?}");
    let page = read("docs/exit-status.md");
    for name in names {
        let there = page.contains(&format!("`orca {name}")) || page.contains(&format!("`{name}`"));
        assert!(there, "docs/exit-status.md does not say how `orca {name}` ends");
    }
}
