//! Finds the tests: files called `*_test.sh` below the project's `t/`. Files called `setup.sh`
//! there are set-ups.
//!
//! Symbolic links to files are followed as long as they stay in the project. Links to folders are
//! not followed, so there are no loops.

use crate::cli::config::TEST_DIR;
use crate::error::{Error, Result};
use crate::text::{case, glob, quote, suggest};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

/// How the name of a test ends.
pub const TEST_SUFFIX: &str = "_test.sh";

/// The name of a set-up.
pub const SETUP_NAME: &str = "setup.sh";

/// A test file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Test {
    /// Relative to the project's root.
    pub path: PathBuf,
    /// The cases of its forks that are wanted, each as the names of its forks, outermost first; all
    /// of them if this is empty.
    pub only: Vec<Vec<String>>,
}

impl Test {
    /// The whole test at `path`.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), only: Vec::new() }
    }

    /// The path as text for people. Bytes that are not UTF-8 become `\xNN`, which [`discover`]
    /// understands.
    pub fn display(&self) -> String {
        quote::text(self.path.as_os_str().as_bytes())
    }
}

/// The tests that `wanted` names, sorted and each once; all tests if `wanted` is empty. A path is a
/// file or a folder, and is looked for from the current folder first and then from the project's
/// root. A path that does not exist may be a case of a test, such as `t/x_test.sh [b]`, or a
/// pattern for files and folders, such as `t/*/dns_*`.
///
/// # Errors
/// A path that does not exist, is outside the project or is no test; a folder that cannot be read.
pub fn discover(root: &Path, wanted: &[PathBuf]) -> Result<Vec<Test>> {
    let mut found = Vec::new();
    if wanted.is_empty() {
        check_test_dir(&root.join(TEST_DIR))?;
        walk(root, Path::new(TEST_DIR), &mut found)?;
    }
    for path in wanted {
        let typed = quote::bytes(path.as_os_str().as_bytes());
        let copied = Path::new(OsStr::from_bytes(&typed));
        let is_there = |path| !candidates(root, path).is_empty();
        if !is_there(path)
            && !is_there(copied)
            && let Some(test) = case_of_test(root, path)
        {
            found.push(test);
            continue;
        }
        if glob::is_pattern(path.as_os_str().as_bytes()) && !is_there(path) && !is_there(copied) {
            found.extend(expand(root, path)?);
            continue;
        }
        let inside = locate(root, path)?;
        if is_setup(root, &inside) {
            let error = format!("`{}` is a set-up, not a test", path.display());
            let dir = inside.parent().unwrap_or(&inside).display();
            return Err(Error::new(error).hint(format!("name the tests that it is for: {dir}")));
        }
        if root.join(&inside).is_dir() {
            walk(root, &inside, &mut found)?;
        } else if is_test_file(root, &inside) {
            found.push(Test::new(inside));
        } else {
            let error =
                format!("`{}` is not a test: not a regular file in the project", path.display());
            return Err(Error::new(error).hint("`orca list` shows all tests"));
        }
    }
    found.sort();
    found.dedup_by(|next, kept| {
        let same = next.path == kept.path;
        if same && !kept.only.is_empty() {
            // The whole test comes first in the order.
            next.only.drain(..).for_each(|names| case::add(&mut kept.only, names));
        }
        same
    });
    Ok(found)
}

/// The test of which `path` names a case. A file's own name may end in brackets too.
fn case_of_test(root: &Path, path: &Path) -> Option<Test> {
    let text = quote::path(path);
    case::readings(&text).into_iter().find_map(|(file, names)| {
        let typed = quote::bytes(file.as_bytes());
        let there = |path: &Path| !candidates(root, path).is_empty();
        if !there(Path::new(file)) && !there(Path::new(OsStr::from_bytes(&typed))) {
            return None;
        }
        let path = locate(root, Path::new(file)).ok()?;
        let is_test = is_test_file(root, &path) && !is_setup(root, &path);
        is_test.then_some(Test { path, only: vec![names] })
    })
}

fn check_test_dir(dir: &Path) -> Result<()> {
    let error = match fs::metadata(dir) {
        Ok(meta) if meta.is_dir() => return Ok(()),
        Ok(_) => Error::new(format!("`{}` is not a folder", dir.display())),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            Error::new(format!("there is no `{}`", dir.display()))
        }
        Err(e) => Error::io("read", dir, &e),
    };
    Err(error.hint(format!(
        "put tests in `{TEST_DIR}/NAME{TEST_SUFFIX}`, or name another project with --project-root"
    )))
}

fn walk(root: &Path, dir: &Path, found: &mut Vec<Test>) -> Result<()> {
    let full = root.join(dir);
    let unreadable = |e: std::io::Error| {
        Error::io("read", &full, &e).hint("make it readable, or name the tests that are")
    };
    for entry in fs::read_dir(&full).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let kind = entry.file_type().map_err(unreadable)?;
        let path = dir.join(entry.file_name());
        if kind.is_dir() {
            walk(root, &path, found)?;
        } else if is_test_name(&entry.file_name()) && (kind.is_file() || is_test_file(root, &path))
        {
            found.push(Test::new(path));
        }
    }
    Ok(())
}

/// The tests that match a pattern, seen from the current folder or from the root.
fn expand(root: &Path, pattern: &Path) -> Result<Vec<Test>> {
    let here = std::env::current_dir().unwrap_or_default().join(pattern);
    let both = [clean(&here), clean(&root.join(pattern))];
    let patterns: Vec<&Path> = both.iter().filter_map(|p| p.strip_prefix(root).ok()).collect();
    let mut all = Vec::new();
    walk(root, Path::new(TEST_DIR), &mut all)?;
    let fits = |pattern: &Path, test: &Test| {
        glob::matches_path(pattern.as_os_str().as_bytes(), test.path.as_os_str().as_bytes())
    };
    all.retain(|test| patterns.iter().any(|pattern| fits(pattern, test)));
    if all.is_empty() {
        return Err(Error::new(format!("no test matches `{}`", pattern.display()))
            .hint("`orca list` shows all tests; `*` stays within a folder, `**` does not"));
    }
    Ok(all)
}

fn is_test_name(name: &OsStr) -> bool {
    name.as_bytes().ends_with(TEST_SUFFIX.as_bytes())
}

/// Whether the project has a set-up at `path`, which is relative to its root. It is for the tests
/// in its folder and below.
pub fn is_setup(root: &Path, path: &Path) -> bool {
    is_setup_name(path) && is_test_file(root, path)
}

/// Whether a file at `path`, relative to the project's root, is a set-up.
pub fn is_setup_name(path: &Path) -> bool {
    path.starts_with(TEST_DIR) && path.file_name() == Some(OsStr::new(SETUP_NAME))
}

/// Whether it is a regular file in the project, maybe behind a link.
fn is_test_file(root: &Path, path: &Path) -> bool {
    let inside = |full: PathBuf| full.starts_with(root) && full.is_file();
    fs::canonicalize(root.join(path)).is_ok_and(inside)
}

/// Turns a typed path into one relative to the root. A path that does not exist may have been
/// copied from a report, with `\xNN` in it.
fn locate(root: &Path, path: &Path) -> Result<PathBuf> {
    let raw = quote::bytes(path.as_os_str().as_bytes());
    let raw = Path::new(OsStr::from_bytes(&raw));
    match locate_as_typed(root, path) {
        Err(error) if raw != path => locate_as_typed(root, raw).map_err(|_| error),
        located => located,
    }
}

fn locate_as_typed(root: &Path, path: &Path) -> Result<PathBuf> {
    let candidates = candidates(root, path);
    for candidate in &candidates {
        let parent = candidate.parent().and_then(|dir| fs::canonicalize(dir).ok());
        let full = match (parent, candidate.file_name()) {
            (Some(dir), Some(name)) => dir.join(name),
            _ => candidate.clone(),
        };
        if let Ok(inside) = full.strip_prefix(root) {
            return Ok(inside.to_owned());
        }
    }
    let shown = path.display();
    if !candidates.is_empty() {
        let root = root.display();
        return Err(Error::new(format!("`{shown}` is outside the project `{root}`"))
            .hint("name its project with --project-root"));
    }
    let error = Error::new(format!("no such test: `{shown}`"));
    Err(match suggestion(root, path) {
        Some(name) => error.hint(format!("did you mean `{name}`?")),
        None => error.hint("`orca list` shows all tests"),
    })
}

/// The existing ones of the two places that a path may mean.
fn candidates(root: &Path, path: &Path) -> Vec<PathBuf> {
    let here = std::env::current_dir().unwrap_or_default().join(path);
    let both = [clean(&here), clean(&root.join(path))];
    both.into_iter().filter(|path| path.exists()).collect()
}

/// Resolves `.` and `..` by name, so that a link is checked before it is followed.
fn clean(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                out.pop();
            }
            part => out.push(part),
        }
    }
    out
}

fn suggestion(root: &Path, path: &Path) -> Option<String> {
    let mut all = Vec::new();
    walk(root, Path::new(TEST_DIR), &mut all).ok()?;
    let mut names: Vec<String> = all.iter().map(Test::display).collect();
    let folders = all.iter().filter_map(|test| test.path.parent()).map(|p| p.display().to_string());
    names.extend(folders);
    suggest::nearest(&path.to_string_lossy(), names.iter().map(String::as_str)).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Project(PathBuf);

    impl Project {
        fn new(files: &[&str]) -> Self {
            let root =
                nix::unistd::mkdtemp(&std::env::temp_dir().join("orca-discover-XXXXXX")).unwrap();
            let root = fs::canonicalize(root).unwrap();
            for file in files {
                let path = root.join(file);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, "").unwrap();
            }
            Self(root)
        }

        fn names(&self, wanted: &[&str]) -> Result<Vec<String>> {
            let wanted: Vec<PathBuf> = wanted.iter().map(PathBuf::from).collect();
            Ok(discover(&self.0, &wanted)?.iter().map(Test::display).collect())
        }
    }

    impl Drop for Project {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }

    #[test]
    fn files_folders_and_everything() {
        let project =
            Project::new(&["t/b/x_test.sh", "t/a/y_test.sh", "t/a/lib.sh", "t/z z'$\n_test.sh"]);
        assert_eq!(
            project.names(&[]).unwrap(),
            ["t/a/y_test.sh", "t/b/x_test.sh", "t/z z'$\n_test.sh"]
        );
        assert_eq!(project.names(&["t/a"]).unwrap(), ["t/a/y_test.sh"]);
        assert_eq!(
            project.names(&["t/a/", "t/a/y_test.sh", "t/a/../a"]).unwrap(),
            ["t/a/y_test.sh"]
        );
    }

    #[test]
    fn loops_and_links_out_of_the_project_are_left_alone() {
        let project = Project::new(&["t/a/x_test.sh"]);
        std::os::unix::fs::symlink("..", project.0.join("t/a/loop")).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", project.0.join("t/out_test.sh")).unwrap();
        std::os::unix::fs::symlink("x_test.sh", project.0.join("t/a/in_test.sh")).unwrap();
        assert_eq!(project.names(&[]).unwrap(), ["t/a/in_test.sh", "t/a/x_test.sh"]);
    }

    #[test]
    fn a_wrong_path_gets_a_suggestion() {
        let project = Project::new(&["t/30-firewall/drop_test.sh"]);
        let error = project.names(&["t/30-firewal"]).unwrap_err();
        assert_eq!(error.to_string(), "no such test: `t/30-firewal`");
        assert_eq!(error.next_step(), Some("did you mean `t/30-firewall`?"));
        let setup = Project::new(&["t/a/setup.sh", "t/a/x_test.sh"]);
        assert_eq!(setup.names(&["t/a"]).unwrap(), ["t/a/x_test.sh"]);
        let error = setup.names(&["t/a/setup.sh"]).unwrap_err();
        assert_eq!(error.to_string(), "`t/a/setup.sh` is a set-up, not a test");
        assert_eq!(error.next_step(), Some("name the tests that it is for: t/a"));
        assert!(
            project
                .names(&["/etc/passwd"])
                .unwrap_err()
                .to_string()
                .contains("outside the project")
        );
    }

    #[test]
    fn patterns_stand_for_files_and_folders() {
        let project =
            Project::new(&["t/25-dns/dns_a_test.sh", "t/25-dns/b_test.sh", "t/[x]_test.sh"]);
        assert_eq!(project.names(&["t/*/dns_*"]).unwrap(), ["t/25-dns/dns_a_test.sh"]);
        assert_eq!(project.names(&["t/2*"]).unwrap().len(), 2);
        assert_eq!(project.names(&["t/[x]_test.sh"]).unwrap(), ["t/[x]_test.sh"]);
        let error = project.names(&["t/*/dhcp_*"]).unwrap_err();
        assert_eq!(error.to_string(), "no test matches `t/*/dhcp_*`");
    }

    #[test]
    fn a_case_is_named_behind_its_test_and_a_file_of_that_name_wins() {
        let project =
            Project::new(&["t/x_test.sh", "t/y_test.sh", "t/y_test.sh [b]", "t/setup.sh"]);
        let check = |wanted: &[&str], expected: &[(&str, &[&str])]| {
            let wanted: Vec<PathBuf> = wanted.iter().map(PathBuf::from).collect();
            let found = discover(&project.0, &wanted).unwrap();
            let cases = |test: &Test| -> Vec<String> {
                test.only.iter().map(|names| names.join("/")).collect()
            };
            let got: Vec<(String, Vec<String>)> =
                found.iter().map(|test| (test.display(), cases(test))).collect();
            let owned = |list: &[&str]| list.iter().map(|name| (*name).to_owned()).collect();
            let expected: Vec<(String, Vec<String>)> =
                expected.iter().map(|(path, cases)| ((*path).to_owned(), owned(cases))).collect();
            assert_eq!(got, expected, "{wanted:?}");
        };
        check(&["t/x_test.sh [b]"], &[("t/x_test.sh", &["b"])]);
        check(&["t/x_test.sh [b] [two words]"], &[("t/x_test.sh", &["b/two words"])]);
        let some = ["t/x_test.sh [b] [x]", "t/x_test.sh [c]", "t/x_test.sh [b]"];
        check(&some, &[("t/x_test.sh", &["b", "c"])]);
        check(&["t/x_test.sh [b]", "t/x_test.sh"], &[("t/x_test.sh", &[])]);
        check(&["t/y_test.sh [b]"], &[("t/y_test.sh [b]", &[])]);
        check(&["t/y_test.sh [b] [c]"], &[("t/y_test.sh [b]", &["c"])]);
        assert!(project.names(&["t/z_test.sh [b]"]).is_err());
        assert!(project.names(&["t/setup.sh [b]"]).is_err());
    }
}
