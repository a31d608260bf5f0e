//! Arguments → test files, in the order Perl's `prove` would run them.

use super::error::Error;
use super::settings::Selection;
use super::state::StateFile;
use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::hash::{BuildHasher, RandomState};
use std::io::BufRead;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// The tests to run, each once: those the state file selects, then those the arguments name.
pub(super) fn tests(selection: &Selection, state: &mut StateFile) -> Result<Vec<OsString>, Error> {
    let mut found = state.apply(&selection.state)?;
    let mut args = selection.tests.clone();
    if args.is_empty() && !state.selected() {
        let dir = if selection.recurse { "." } else { "t" };
        if !Path::new(dir).is_dir() {
            return Err(Error::usage(format!("no tests named, and there is no directory `{dir}`"))
                .hint("name files or directories, or see `prove --help`"));
        }
        args.push(dir.into());
    }
    let mut next = 0;
    while next < args.len() {
        let arg = args[next].clone();
        next += 1;
        if super::args::is_stdin(&arg) {
            args.extend(stdin_names()?);
        } else if Path::new(&arg).is_dir() {
            found.extend(in_directory(&arg, selection)?);
        } else {
            found.push(arg);
        }
    }
    let mut seen = HashSet::new();
    found.retain(|test| seen.insert(test.clone()));
    if selection.shuffle {
        shuffle(&mut found);
    }
    if selection.reverse {
        found.reverse();
    }
    Ok(found)
}

/// Fails if one of `tests` does not exist or cannot be examined.
pub(super) fn check(tests: &[OsString]) -> Result<(), Error> {
    for test in tests {
        if let Err(e) = std::fs::metadata(test) {
            let reason = match e.kind() {
                std::io::ErrorKind::NotFound => "no such file".to_owned(),
                _ => e.to_string(),
            };
            return Err(Error::usage(format!("cannot run `{}`: {reason}", test.display())));
        }
    }
    Ok(())
}

fn stdin_names() -> Result<Vec<OsString>, Error> {
    let lines = std::io::stdin().lock().split(b'\n');
    let names = lines.map(|line| {
        let line = line.map_err(|e| Error::usage(format!("cannot read names from stdin: {e}")))?;
        Ok(OsString::from_vec(line))
    });
    names.filter(|name| name.as_ref().map_or(true, |n| !n.is_empty())).collect()
}

fn in_directory(dir: &OsStr, selection: &Selection) -> Result<Vec<OsString>, Error> {
    let wanted = |name: &[u8]| selection.exts.iter().any(|ext| name.ends_with(ext.as_bytes()));
    let mut found = Vec::new();
    if selection.recurse {
        let mut visited = HashSet::new();
        let top = match dir.as_bytes() {
            [head @ .., b'/'] if !head.is_empty() => Path::new(OsStr::from_bytes(head)),
            _ => Path::new(dir),
        };
        descend(top, &wanted, &mut visited, &mut found)?;
    } else {
        let clean = clean_path(dir);
        for (path, name) in entries(Path::new(dir))? {
            if !name.starts_with(b".") && wanted(&name) {
                let shown = if clean.as_os_str() == "." {
                    PathBuf::from(OsString::from_vec(name))
                } else {
                    clean.join(path.file_name().unwrap_or_default())
                };
                found.push(shown.into_os_string());
            }
        }
    }
    found.sort();
    Ok(found)
}

/// `dir` without a leading `./`, double slashes and a trailing slash.
fn clean_path(dir: &OsStr) -> PathBuf {
    let clean: PathBuf = Path::new(dir).components().filter(|c| c.as_os_str() != ".").collect();
    if clean.as_os_str().is_empty() { ".".into() } else { clean }
}

/// Adds the wanted files below `dir`. Symbolic links are followed, but each directory only once.
fn descend(
    dir: &Path,
    wanted: &impl Fn(&[u8]) -> bool,
    visited: &mut HashSet<PathBuf>,
    found: &mut Vec<OsString>,
) -> Result<(), Error> {
    if !visited.insert(dir.canonicalize().unwrap_or_else(|_| dir.to_path_buf())) {
        return Ok(());
    }
    for (path, name) in entries(dir)? {
        if path.is_dir() {
            descend(&path, wanted, visited, found)?;
        } else if wanted(&name) && path.is_file() {
            found.push(path.into_os_string());
        }
    }
    Ok(())
}

fn entries(dir: &Path) -> Result<Vec<(PathBuf, Vec<u8>)>, Error> {
    let error = |e| Error::usage(format!("cannot read directory `{}`: {e}", dir.display()));
    let mut out = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(error)? {
        let entry = entry.map_err(error)?;
        out.push((dir.join(entry.file_name()), entry.file_name().into_vec()));
    }
    Ok(out)
}

/// A Fisher-Yates shuffle. Its random numbers come from the random keys of hash maps.
fn shuffle(tests: &mut [OsString]) {
    let keys = RandomState::new();
    for i in (1..tests.len()).rev() {
        let random = keys.hash_one(i) as usize;
        tests.swap(i, random % (i + 1));
    }
}
