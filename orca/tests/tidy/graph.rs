//! The import graph of a crate: which file takes names from which, read from `use` declarations and
//! paths in the code. Tests are left out.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// A module's path from the root of its crate: `["qemu", "argv"]`; empty for the root itself.
pub type Module = Vec<String>;

/// A crate's files by module, and who takes names from whom.
pub struct Graph {
    files: BTreeMap<Module, PathBuf>,
    edges: BTreeMap<Module, BTreeSet<Module>>,
}

impl Graph {
    /// The graph of the crate whose sources are in `src`.
    pub fn of(src: &Path) -> Self {
        let files: BTreeMap<Module, PathBuf> = super::sources(src)
            .into_iter()
            .filter_map(|path| Some((module(src, &path)?, path)))
            .collect();
        let edges = files.iter().map(|(from, path)| {
            let named = paths(&code(path)).into_iter();
            let taken = named.filter_map(|path| resolve(&files, from, &path));
            (from.clone(), taken.filter(|to| to != from).collect())
        });
        let edges = edges.collect();
        Self { files, edges }
    }

    /// Every pair of files of which the first takes names from the second.
    pub fn edges(&self) -> impl Iterator<Item = (&Module, &Module)> {
        self.edges.iter().flat_map(|(from, all)| all.iter().map(move |to| (from, to)))
    }

    /// The file of a module.
    pub fn file(&self, module: &Module) -> &Path {
        &self.files[module]
    }

    /// A circle of imports, if there is one: each module takes names from the next.
    pub fn circle(&self) -> Option<Vec<&Module>> {
        let (mut done, mut way) = (BTreeSet::new(), Vec::new());
        self.files.keys().find_map(|start| self.circle_from(start, &mut way, &mut done))
    }

    fn circle_from<'a>(
        &'a self,
        at: &'a Module,
        way: &mut Vec<&'a Module>,
        done: &mut BTreeSet<&'a Module>,
    ) -> Option<Vec<&'a Module>> {
        if let Some(begin) = way.iter().position(|seen| *seen == at) {
            return Some([&way[begin..], &[at]].concat());
        }
        if done.contains(at) {
            return None;
        }
        way.push(at);
        let found = self.edges[at].iter().find_map(|next| self.circle_from(next, way, done));
        way.pop();
        done.insert(at);
        found
    }
}

/// The text without comments and without its tests.
pub fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    let text = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
    let is_code = |line: &&str| !line.trim_start().starts_with("//");
    text.lines().filter(is_code).collect::<Vec<_>>().join("\n")
}

/// The module of a file, `None` for a program beside a library.
fn module(src: &Path, path: &Path) -> Option<Module> {
    let inside = path.strip_prefix(src).unwrap().with_extension("");
    let mut parts: Module = inside.iter().map(|part| part.to_string_lossy().into_owned()).collect();
    let root = if src.join("lib.rs").exists() { "lib" } else { "main" };
    match parts.last().map(String::as_str) {
        Some("mod") => drop(parts.pop()),
        Some(name) if parts.len() == 1 && name == root => parts.clear(),
        Some("main") if parts.len() == 1 => return None,
        Some("tests") => return None,
        _ => {}
    }
    (parts.first().map(String::as_str) != Some("bin")).then_some(parts)
}

/// Every path that the code names, `use` trees taken apart.
fn paths(code: &str) -> Vec<Module> {
    let mut found = Vec::new();
    let mut rest = code;
    while let Some(at) = rest.find("use ") {
        let begins = rest[..at].ends_with(['\n', ' ', '}']) || at == 0;
        let tail = &rest[at + 4..];
        if begins && let Some(end) = tail.find(';') {
            spread(&[], &tail[..end], &mut found);
        }
        rest = tail;
    }
    for word in code.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':')) {
        // What ends in `::` is the head of a `use` tree, which has been taken apart.
        if word.contains("::") && !word.ends_with(':') {
            found.push(word.split("::").map(str::to_owned).collect());
        }
    }
    found
}

fn spread(before: &[String], tree: &str, found: &mut Vec<Module>) {
    let tree = tree.trim();
    let (head, list) = match tree.split_once('{') {
        Some((head, list)) => (head, Some(list.trim_end().trim_end_matches('}'))),
        None => (tree.split(" as ").next().unwrap_or_default(), None),
    };
    let parts = head.split("::").map(str::trim).filter(|part| !part.is_empty());
    let path: Module = before.iter().cloned().chain(parts.map(str::to_owned)).collect();
    let Some(list) = list else { return found.push(path) };
    let (mut depth, mut from) = (0, 0);
    for (at, c) in list.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                spread(&path, &list[from..at], found);
                from = at + 1;
            }
            _ => {}
        }
    }
    if !list[from..].trim().is_empty() {
        spread(&path, &list[from..], found);
    }
}

/// The file that has what `path`, named in the module `from`, stands for.
fn resolve(files: &BTreeMap<Module, PathBuf>, from: &Module, path: &Module) -> Option<Module> {
    let first = path.first()?.as_str();
    let mut whole = match first {
        "crate" => path[1..].to_vec(),
        "self" => [from, &path[1..]].concat(),
        "super" => {
            let ups = path.iter().take_while(|part| *part == "super").count();
            let base = from.len().checked_sub(ups)?;
            [&from[..base], &path[ups..]].concat()
        }
        name => {
            let child = [&from[..], &[name.to_owned()]].concat();
            files.get(&child)?;
            [from, &path[..]].concat()
        }
    };
    while !files.contains_key(&whole) {
        whole.pop()?;
    }
    Some(whole)
}
