//! Which tests a changed file touches.
//!
//! A test is touched by itself, and by every file below `t/` that it names: a helper that it
//! sources, a program that it starts, data that it reads. "Names" is meant literally: the file's
//! name is in the text of the test, or in that of a file that the test names. This finds too much
//! rather than too little and needs no shell grammar; a name that is put together at run time needs
//! only a comment such as `# uses table.csv`. A set-up touches every test below its folder, and
//! so does a file that its `cache=` names. A file that no test names may matter to every test: the
//! caller decides.

use super::discover::{TEST_SUFFIX, Test, is_setup_name};
use super::setups::SetUps;
use crate::cli::config::TEST_DIR;
use crate::text::glob;
use memchr::memmem;
use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The most of a file that is searched for names, in bytes.
const SEARCHED: usize = 1 << 20;

/// What a change touches.
#[derive(Debug, PartialEq, Eq)]
pub struct Touched {
    /// The tests that changed, or that name a changed file, in their order.
    pub tests: Vec<Test>,
    /// Whether something changed that no test names.
    pub others: bool,
}

/// The tests out of `tests` that the `changed` files touch. Paths are relative to `root`.
pub fn touched(root: &Path, tests: &[Test], changed: &[PathBuf]) -> Touched {
    let known: HashSet<&Path> = tests.iter().map(|test| test.path.as_path()).collect();
    let mut hit: HashSet<PathBuf> = HashSet::new();
    let mut files: Option<Vec<(PathBuf, Vec<u8>)>> = None;
    let mut others = false;
    for path in changed {
        if known.contains(path.as_path()) {
            hit.insert(path.clone());
        } else if !is_test(path) {
            // A test that is gone, or was not asked for, touches no other.
            let found = match path.starts_with(TEST_DIR) {
                true => users(files.get_or_insert_with(|| texts(root)), path),
                false => HashSet::new(),
            };
            others |= found.is_empty() && !is_setup_name(path);
            hit.extend(found);
            hit.insert(path.clone());
        }
    }
    hit.extend(setups_kept_by(root, tests, changed));
    let setups = hit.iter().filter(|path| is_setup_name(path));
    let folders: Vec<&Path> = setups.filter_map(|path| path.parent()).collect();
    let is_hit = |test: &&Test| {
        hit.contains(&test.path) || folders.iter().any(|dir| test.path.starts_with(dir))
    };
    let tests = tests.iter().filter(is_hit).cloned().collect();
    Touched { tests, others }
}

/// The set-ups of `tests` that are kept until one of the `changed` files changes.
fn setups_kept_by(root: &Path, tests: &[Test], changed: &[PathBuf]) -> Vec<PathBuf> {
    // Whoever runs the tests is told of a header that is wrong.
    let setups = SetUps::read(root, tests).unwrap_or_default();
    let names = |pattern: &String| {
        let fits = |path: &PathBuf| {
            glob::matches_path(pattern.as_bytes(), path.as_os_str().as_encoded_bytes())
        };
        changed.iter().any(fits)
    };
    let kept = setups.all.into_iter().filter(|setup| setup.header.cache.iter().any(names));
    kept.map(|setup| setup.file.path).collect()
}

fn is_test(path: &Path) -> bool {
    path.starts_with(TEST_DIR) && path.to_string_lossy().ends_with(TEST_SUFFIX)
}

/// Every test and every set-up that names the file at `path`, or names one that does.
fn users(files: &[(PathBuf, Vec<u8>)], path: &Path) -> HashSet<PathBuf> {
    let mut seen = HashSet::from([path.to_owned()]);
    let mut left = vec![path.to_owned()];
    let mut found = HashSet::new();
    while let Some(path) = left.pop() {
        let name = path.file_name().unwrap_or_default().as_encoded_bytes();
        for (user, text) in files {
            if !names(text, name) || !seen.insert(user.clone()) {
                continue;
            }
            if is_test(user) {
                found.insert(user.clone()); // nobody sources a test
                continue;
            }
            left.push(user.clone());
            if is_setup_name(user) {
                found.insert(user.clone());
            }
        }
    }
    found
}

/// Whether `text` has `name` as a whole word: `lib.sh` is not in `zlib.sh`, nor in `lib.sh.old`.
fn names(text: &[u8], name: &[u8]) -> bool {
    let inside = |byte: &u8| byte.is_ascii_alphanumeric() || b"._-".contains(byte);
    !name.is_empty()
        && memmem::find_iter(text, name).any(|at| {
            let before = text[..at].last().is_some_and(inside);
            let rest = &text[at + name.len()..];
            // A full stop may end a sentence.
            let after = match rest {
                [b'.', next, ..] => inside(next),
                [next, ..] => *next != b'.' && inside(next),
                [] => false,
            };
            !before && !after
        })
}

/// Every file below `t/`, with the beginning of its text. A file that cannot be read names nothing.
fn texts(root: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    let mut left = vec![PathBuf::from(TEST_DIR)];
    while let Some(dir) = left.pop() {
        for entry in fs::read_dir(root.join(&dir)).into_iter().flatten().flatten() {
            let path = dir.join(entry.file_name());
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => left.push(path),
                Ok(_) => {
                    let mut text = fs::read(root.join(&path)).unwrap_or_default();
                    text.truncate(SEARCHED);
                    found.push((path, text));
                }
                Err(_) => {}
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Project(PathBuf);

    impl Drop for Project {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }

    fn project(files: &[(&str, &str)]) -> (Project, Vec<Test>) {
        let root = nix::unistd::mkdtemp(&std::env::temp_dir().join("orca-touch-XXXXXX")).unwrap();
        for (path, text) in files {
            let full = root.join(path);
            fs::create_dir_all(full.parent().unwrap()).unwrap();
            fs::write(full, text).unwrap();
        }
        let tests = crate::select::discover::discover(&root, &[]).unwrap();
        (Project(root), tests)
    }

    #[test]
    fn a_file_touches_those_that_name_it() {
        let (project, tests) = project(&[
            ("t/lib.sh", ""),
            ("t/zlib.sh", ""),
            ("t/net.sh", ". \"${0%/*}/../lib.sh\""),
            ("t/a/one_test.sh", ". \"${0%/*}/../net.sh\""),
            ("t/a/two_test.sh", ". \"${0%/*}/../lib.sh\"\nread -r x <t/a/table.csv"),
            ("t/a/table.csv", ""),
            ("t/a/orphan.txt", ""),
            ("t/b/three_test.sh", ". ../zlib.sh # not lib.sh.old"),
            ("src/main.c", ""),
        ]);
        let check = |changed: &[&str], expected: (&[&str], bool)| {
            let changed: Vec<PathBuf> = changed.iter().map(PathBuf::from).collect();
            let Touched { tests, others } = touched(&project.0, &tests, &changed);
            let got: Vec<String> = tests.iter().map(Test::display).collect();
            assert_eq!(
                (got.iter().map(String::as_str).collect::<Vec<_>>(), others),
                (expected.0.to_vec(), expected.1),
                "{changed:?}"
            );
        };
        let all = ["t/a/one_test.sh", "t/a/two_test.sh", "t/b/three_test.sh"];
        check(&["t/a/one_test.sh"], (&all[..1], false));
        check(&["t/net.sh"], (&all[..1], false));
        check(&["t/lib.sh"], (&all[..2], false));
        check(&["t/zlib.sh"], (&all[2..], false));
        check(&["t/a/table.csv", "t/b/three_test.sh"], (&all[1..], false));
        check(&["t/a/gone_test.sh"], (&[], false));
        check(&["t/a/orphan.txt", "t/net.sh"], (&all[..1], true));
        check(&["src/main.c"], (&[], true));
        check(&[], (&[], false));
    }

    #[test]
    fn a_set_up_touches_the_tests_below_it() {
        let (project, tests) = project(&[
            ("t/setup.sh", ""),
            ("t/a/setup.sh", "# orca: cache=src\n. t/serve.sh"),
            ("t/serve.sh", ""),
            ("t/a/one_test.sh", ""),
            ("t/a/b/two_test.sh", ""),
            ("t/c/three_test.sh", ""),
        ]);
        let check = |changed: &str, expected: &[&str]| {
            let Touched { tests, others } = touched(&project.0, &tests, &[changed.into()]);
            let got: Vec<String> = tests.iter().map(Test::display).collect();
            assert_eq!(
                (got.iter().map(String::as_str).collect(), others),
                (expected.to_vec(), false)
            );
        };
        let all = ["t/a/b/two_test.sh", "t/a/one_test.sh", "t/c/three_test.sh"];
        check("t/setup.sh", &all);
        check("t/a/setup.sh", &all[..2]);
        check("t/serve.sh", &all[..2]);
        check("t/c/setup.sh", &all[2..]);
        let Touched { tests, others } = touched(&project.0, &tests, &["src/main.c".into()]);
        assert!(tests.len() == 2 && others, "it may matter to the others as well");
    }

    #[test]
    fn a_circle_ends() {
        let (project, tests) = project(&[
            ("t/a.sh", ". t/b.sh"),
            ("t/b.sh", ". t/a.sh"),
            ("t/x_test.sh", "sh t/a.sh."),
        ]);
        let all = Touched { tests: tests.clone(), others: false };
        assert_eq!(touched(&project.0, &tests, &["t/b.sh".into()]), all);
    }
}
