//! The files that have changed according to git, for `--changed`: in the working tree, or since a
//! revision.

use super::dependents;
use super::discover::Test;
use crate::error::{Error, Result, plain};
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The tests that are touched by a file that differs from `rev`, or from the last commit if it is
/// empty. A file that no test names, such as the source of the tested program, touches none:
/// `--changed` asks for changed tests.
///
/// # Errors
/// No git, no repository, no such revision.
pub fn touched(root: &Path, rev: &str, tests: &[Test]) -> Result<Vec<Test>> {
    Ok(dependents::touched(root, tests, &changed_files(root, rev)?).tests)
}

/// The changed files below `root`, relative to it. New files count unless they are ignored; removed
/// files count too.
fn changed_files(root: &Path, rev: &str) -> Result<Vec<PathBuf>> {
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

/// The commit to compare with: the one at which this branch left `rev`; `None` before the first
/// commit.
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
