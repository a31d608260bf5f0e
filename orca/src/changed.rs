//! Which tests are touched by what changed: the tests themselves, and those that source a file that did.
//!
//! Git says what changed; a test's `. "${0%/*}/../lib.sh"` lines say what it needs, and `# shellcheck source=t/lib.sh` where such a
//! line alone does not. What cannot be told from the text, such as a name in a variable, is not followed.

use crate::discover::Test;
use crate::error::{Error, Result, plain};
use std::collections::{HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};
use std::process::Command;

/// The most of a script that is looked through, in bytes.
const SCRIPT_BYTES: u64 = 1024 * 1024;

/// Those of `tests` that are touched by what differs from `rev`, or from the last commit where it is empty.
///
/// # Errors
/// No git, no repository, no such revision.
pub fn touched(root: &Path, rev: &str, tests: Vec<Test>) -> Result<Vec<Test>> {
    Ok(touched_by(root, &changed_files(root, rev)?, tests))
}

/// Those of `tests` that are among the `changed` files, or source one of them. All paths are relative to `root`.
pub fn touched_by(root: &Path, changed: &HashSet<PathBuf>, tests: Vec<Test>) -> Vec<Test> {
    let mut scripts = Scripts { root, sourced: HashMap::new() };
    tests.into_iter().filter(|test| scripts.reach(&test.path, changed)).collect()
}

/// Paths below `root`, relative to it. Files that are new and not ignored have changed, files that are gone as well.
fn changed_files(root: &Path, rev: &str) -> Result<HashSet<PathBuf>> {
    let base = base(root, rev)?;
    let untracked = ["ls-files", "-z", "--others", "--exclude-standard"];
    let mut listed = git(root, &untracked)?;
    match base {
        Some(base) => {
            let differ = ["diff", "--name-only", "-z", "--no-renames", "--relative", &base, "--"];
            listed.extend(git(root, &differ)?);
        }
        None => listed.extend(git(root, &["ls-files", "-z", "--cached"])?),
    }
    let paths = listed.split(|&b| b == 0).filter(|path| !path.is_empty());
    Ok(paths.map(|path| PathBuf::from(OsString::from_vec(path.to_vec()))).collect())
}

/// The commit to compare with: where this branch left `rev`; `None` before the first commit.
fn base(root: &Path, rev: &str) -> Result<Option<String>> {
    let commit = |rev: &str| {
        let name = format!("{rev}^{{commit}}");
        git(root, &["rev-parse", "--verify", "--quiet", "--end-of-options", &name])
    };
    git(root, &["rev-parse", "--git-dir"])?;
    if rev.is_empty() {
        return Ok(commit("HEAD").ok().map(|bytes| line(&bytes)));
    }
    let named = commit(rev).map(|bytes| line(&bytes)).map_err(|_| {
        let error =
            Error::new(format!("--changed: git knows no revision `{}`", rev.escape_debug()));
        error.hint("name a branch, tag or commit, such as --changed=main")
    })?;
    let fork = git(root, &["merge-base", &named, "HEAD"]).map(|bytes| line(&bytes));
    Ok(Some(fork.unwrap_or(named)))
}

fn line(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim().to_owned()
}

fn git(root: &Path, args: &[&str]) -> Result<Vec<u8>> {
    let ran = Command::new("git").arg("-C").arg(root).args(args).output();
    let output = ran.map_err(|e| {
        let error = Error::new(format!("--changed: cannot run `git`: {}", plain(&e)));
        error.hint("install git, or name the tests")
    })?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said = said.lines().next().unwrap_or_default().trim_start_matches("fatal: ");
    let said: String = said.chars().filter(|c| !c.is_control()).collect();
    Err(Error::new(format!("--changed: git says: {said}"))
        .hint("--changed works in a git repository; elsewhere name the tests"))
}

/// Who sources whom, read once each.
struct Scripts<'a> {
    root: &'a Path,
    /// What the files that a script sources may be called, relative to the root or to `$0`'s folder.
    sourced: HashMap<PathBuf, Vec<PathBuf>>,
}

impl Scripts<'_> {
    /// Whether `test`, or anything that it sources, is among `changed`.
    fn reach(&mut self, test: &Path, changed: &HashSet<PathBuf>) -> bool {
        let behind = fs::canonicalize(self.root.join(test)).unwrap_or_default();
        let behind = behind.strip_prefix(self.root).map(Path::to_owned).unwrap_or_default();
        let mut seen: HashSet<PathBuf> = HashSet::new();
        let mut waiting = vec![test.to_owned(), behind];
        while let Some(script) = waiting.pop() {
            if changed.contains(&script) {
                return true;
            }
            if !seen.insert(script.clone()) {
                continue;
            }
            let own = script.parent().unwrap_or(Path::new(""));
            let of_test = test.parent().unwrap_or(Path::new(""));
            for name in self.sourced(&script) {
                // `$0` is the test, in whatever file it stands; a plain name may be meant from the root.
                let bases = [of_test, own, Path::new("")];
                waiting.extend(bases.iter().filter_map(|base| clean(&base.join(&name))));
            }
        }
        false
    }

    fn sourced(&mut self, script: &Path) -> Vec<PathBuf> {
        let root = self.root;
        let read = || {
            let mut bytes = Vec::new();
            let file = File::open(root.join(script)).ok().filter(is_regular);
            let _ = file.map(|file| file.take(SCRIPT_BYTES).read_to_end(&mut bytes));
            bytes.split(|&b| b == b'\n').filter_map(sourced_by).collect()
        };
        self.sourced.entry(script.to_owned()).or_insert_with(read).clone()
    }
}

fn is_regular(file: &File) -> bool {
    file.metadata().is_ok_and(|meta| meta.is_file())
}

/// What a line of a script sources: the part of the name that stands in the text.
fn sourced_by(line: &[u8]) -> Option<PathBuf> {
    let line = line.trim_ascii();
    if let Some(at) = line.strip_prefix(b"#") {
        let named = at.trim_ascii_start().strip_prefix(b"shellcheck source=")?;
        return path_in(named);
    }
    let rest = line.strip_prefix(b". ").or_else(|| line.strip_prefix(b"source "))?;
    path_in(rest.trim_ascii_start())
}

/// The path at the beginning of `text`, from behind the last expansion in it: `../lib.sh` of `"${0%/*}/../lib.sh" || exit 1`.
fn path_in(text: &[u8]) -> Option<PathBuf> {
    let (mut word, mut quote, mut depth) = (Vec::new(), None, 0_usize);
    for &byte in text {
        match byte {
            b'"' | b'\'' if quote == Some(byte) => quote = None,
            b'"' | b'\'' if quote.is_none() => quote = Some(byte),
            b'(' | b'{' => depth += 1,
            b')' | b'}' => {
                depth = depth.saturating_sub(1);
                word.clear();
                continue;
            }
            b' ' | b'\t' | b';' | b'&' | b'|' if quote.is_none() && depth == 0 => break,
            _ => word.push(byte),
        }
    }
    // `$dir/lib.sh`: what stands behind the variable's name.
    let word = match word.iter().rposition(|&b| b == b'$') {
        Some(at) => {
            let named = |b: &u8| b.is_ascii_alphanumeric() || *b == b'_';
            let rest = &word[at + 1..];
            rest[rest.iter().take_while(|b| named(b)).count()..].to_vec()
        }
        None => word,
    };
    let word = word.strip_prefix(b"/").unwrap_or(&word);
    (!word.is_empty()).then(|| PathBuf::from(OsStr::from_bytes(word)))
}

/// Resolves `.` and `..` by name; `None` for what leaves the project.
fn clean(path: &Path) -> Option<PathBuf> {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => out.push(name),
            Component::ParentDir => {
                out.pop().then_some(())?;
            }
            _ => {}
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_line_sources() {
        let check = |line: &str, expected: Option<&str>| {
            assert_eq!(sourced_by(line.as_bytes()), expected.map(PathBuf::from), "{line}");
        };
        check(". \"${0%/*}/../lib.sh\"", Some("../lib.sh"));
        check("  . ./lib.sh || exit 1", Some("./lib.sh"));
        check(". t/lib.sh; plan 3", Some("t/lib.sh"));
        check("source \"$(dirname \"$0\")/../net.sh\"", Some("../net.sh"));
        check(". \"$dir/my lib.sh\"", Some("my lib.sh"));
        check(". $HERE/lib.sh", Some("lib.sh"));
        check("# shellcheck source=t/net.sh", Some("t/net.sh"));
        check(". \"$lib\"", None);
        check("./lib.sh", None);
        check("echo . lib.sh", None);
        check("", None);
    }

    #[test]
    fn helpers_are_followed_and_loops_end() {
        let root = nix::unistd::mkdtemp(&std::env::temp_dir().join("orca-changed-XXXXXX")).unwrap();
        let root = fs::canonicalize(root).unwrap();
        for (path, text) in [
            ("t/a/x_test.sh", ". \"${0%/*}/../net.sh\"\n"),
            ("t/a/y_test.sh", ". t/b/own.sh\n"),
            ("t/net.sh", ". \"${0%/*}/../lib.sh\"\n"),
            ("t/lib.sh", ". \"${0%/*}/../net.sh\"\n"),
            ("t/b/own.sh", "\n"),
        ] {
            fs::create_dir_all(root.join(path).parent().unwrap()).unwrap();
            fs::write(root.join(path), text).unwrap();
        }
        let mut scripts = Scripts { root: &root, sourced: HashMap::new() };
        let mut check = |test: &str, changed: &str, expected: bool| {
            let changed = HashSet::from([PathBuf::from(changed)]);
            assert_eq!(scripts.reach(Path::new(test), &changed), expected, "{test}");
        };
        check("t/a/x_test.sh", "t/lib.sh", true);
        check("t/a/x_test.sh", "t/net.sh", true);
        check("t/a/x_test.sh", "t/b/own.sh", false);
        check("t/a/y_test.sh", "t/b/own.sh", true);
        check("t/a/y_test.sh", "t/lib.sh", false);
        check("t/a/y_test.sh", "t/a/y_test.sh", true);
        fs::remove_dir_all(&root).unwrap();
    }
}
