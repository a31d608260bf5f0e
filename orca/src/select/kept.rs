//! What a set-up that is kept between runs depends on, as a digest: the project, its own file, the
//! files that its `cache=` names, the variables of `--env`, and the set-up that it runs on top of.
//!
//! Only these files count, because nobody can tell what a script reads.

use super::setups::{SetUpFile, SetUps};
use crate::error::{Error, Result};
use crate::text::glob;
use crate::text::hash::Fnv1a;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::hash::Hasher;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The folder that no pattern looks into: it changes all the time.
const GIT_DIR: &str = ".git";
/// How much of a file is read at a time, in bytes.
const CHUNK_BYTES: usize = 1 << 16;

/// A variable's name and value.
type Variable = (Vec<u8>, Vec<u8>);

/// The digest of each of `setups`, in their order; `None` for one that is not kept. `env` is what
/// they find in their environment. Also warnings for the user.
pub fn digests(root: &Path, setups: &SetUps, env: &[Variable]) -> (Vec<Option<u64>>, Vec<String>) {
    let mut found: Vec<Option<u64>> = Vec::new();
    let mut warnings = Vec::new();
    for setup in &setups.all {
        let outer = setup.outer.map(|at| found[at]);
        let kept = match outer {
            _ if setup.header.cache.is_empty() => None,
            Some(None) => {
                let (own, why) = (setup.file.display(), "the set-up that it stands on is not");
                warnings.push(format!("{own} is not kept, in spite of its `cache=`: {why}"));
                None
            }
            None | Some(Some(_)) => {
                match digest(root, setup, (env, outer.flatten()), &mut warnings) {
                    Ok(digest) => Some(digest),
                    Err(error) => {
                        warnings.push(format!("{} is not kept: {error}", setup.file.display()));
                        None
                    }
                }
            }
        };
        found.push(kept);
    }
    (found, warnings)
}

fn digest(
    root: &Path,
    setup: &SetUpFile,
    (env, outer): (&[Variable], Option<u64>),
    warnings: &mut Vec<String>,
) -> Result<u64> {
    let mut files = BTreeSet::from([setup.file.path.clone()]);
    for pattern in &setup.header.cache {
        let mut any = false;
        walk(root, literal_part(pattern), pattern.as_bytes(), &mut |path| {
            any = true;
            files.insert(path);
        })?;
        if !any {
            let path = setup.file.display();
            warnings.push(format!("{path}: no file in the project matches cache={pattern}"));
        }
    }
    let mut hash = Fnv1a::new();
    // Another project may have the same files, and others that the set-up reads.
    hash.write(root.as_os_str().as_bytes());
    hash.write_u8(0);
    hash.write(setup.file.path.as_os_str().as_bytes());
    hash.write_u8(0);
    for path in &files {
        add_file(root, path, &mut hash).map_err(|e| Error::io("read", path, &e))?;
    }
    for (name, value) in env {
        hash.write(name);
        hash.write_u8(b'=');
        hash.write(value);
        hash.write_u8(0);
    }
    hash.write(&outer.map(u64::to_le_bytes).unwrap_or_default());
    Ok(hash.finish())
}

/// The folders at the beginning of a pattern that are no patterns, or all of it.
fn literal_part(pattern: &str) -> PathBuf {
    let literal = |part: &&str| !glob::is_pattern(part.as_bytes()) && !part.contains('\\');
    pattern.split('/').take_while(literal).collect()
}

/// Finds every file at `path` and below that matches. Links to folders are not followed, so there
/// are no loops.
fn walk(root: &Path, path: PathBuf, pattern: &[u8], found: &mut dyn FnMut(PathBuf)) -> Result<()> {
    let full = root.join(&path);
    let unreadable = |e: io::Error| Error::io("read", &path, &e);
    let is_dir = match fs::symlink_metadata(&full) {
        Ok(meta) => meta.is_dir(),
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(unreadable(e)),
    };
    if !is_dir {
        if glob::matches_path(pattern, path.as_os_str().as_bytes()) {
            found(path);
        }
        return Ok(());
    }
    for entry in fs::read_dir(&full).map_err(unreadable)? {
        let name = entry.map_err(unreadable)?.file_name();
        if name != GIT_DIR {
            walk(root, path.join(name), pattern, found)?;
        }
    }
    Ok(())
}

/// Adds a file's name, mode, size and content. A link counts as where it leads to, and as the file
/// there.
fn add_file(root: &Path, path: &Path, hash: &mut Fnv1a) -> io::Result<()> {
    let full = root.join(path);
    hash.write(path.as_os_str().as_bytes());
    hash.write_u8(0);
    if let Ok(target) = fs::read_link(&full) {
        hash.write(target.as_os_str().as_bytes());
        hash.write_u8(0);
    }
    let meta = match fs::metadata(&full) {
        Ok(meta) if meta.is_file() => meta,
        Ok(_) => return Ok(()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()), // the link leads nowhere
        Err(e) => return Err(e),
    };
    hash.write(&(meta.mode() & 0o7777).to_le_bytes());
    hash.write(&meta.len().to_le_bytes());
    let mut file = File::open(&full)?;
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        match file.read(&mut chunk)? {
            0 => return Ok(()),
            length => hash.write(&chunk[..length]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::select::discover::Test;
    use std::os::unix::fs::PermissionsExt;

    struct Project(PathBuf);

    impl Project {
        fn write(&self, path: &str, text: &str) {
            let path = self.0.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }

        fn digests(&self) -> (Vec<Option<u64>>, Vec<String>) {
            let test = Test::new("t/a/x_test.sh");
            digests(&self.0, &SetUps::read(&self.0, [&test]).unwrap(), &[])
        }
    }

    impl Drop for Project {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }

    fn project() -> Project {
        let root = nix::unistd::mkdtemp(&std::env::temp_dir().join("orca-kept-XXXXXX")).unwrap();
        let project = Project(root);
        project.write("t/setup.sh", "# orca: cache=src/**,Makefile\n");
        project.write("t/a/setup.sh", "# orca: cache=conf\n");
        project.write("src/main.c", "main");
        project.write("src/.git/index", "1");
        project.write("Makefile", "all:");
        project.write("conf/x", "x");
        project.write("other", "1");
        project
    }

    #[test]
    fn a_digest_changes_with_what_it_depends_on_and_nothing_else() {
        let project = project();
        let (first, warnings) = project.digests();
        assert!(first.iter().all(Option::is_some) && warnings.is_empty(), "{warnings:?}");
        let check = |path: &str, text: &str, changed: [bool; 2]| {
            let before = project.digests().0;
            project.write(path, text);
            let after = project.digests().0;
            assert_eq!([before[0] != after[0], before[1] != after[1]], changed, "{path}");
        };
        check("other", "2", [false, false]);
        check("src/.git/index", "2", [false, false]);
        check("conf/x", "y", [false, true]);
        check("src/deep/new.c", "", [true, true]);
        check("t/setup.sh", "# orca: cache=src/**,Makefile\n:\n", [true, true]);
        check("t/a/setup.sh", "# orca: cache=conf\n:\n", [false, true]);
        let before = project.digests().0;
        fs::set_permissions(project.0.join("Makefile"), PermissionsExt::from_mode(0o755)).unwrap();
        assert_ne!(project.digests().0[0], before[0], "the mode counts");
    }

    #[test]
    fn what_stands_on_something_new_is_not_kept() {
        let project = project();
        project.write("t/setup.sh", ":");
        let (kept, warnings) = project.digests();
        assert_eq!((kept, warnings.len()), (vec![None, None], 1), "{warnings:?}");
        fs::remove_file(project.0.join("t/setup.sh")).unwrap();
        let (kept, _) = project.digests();
        assert!(matches!(kept[..], [Some(_)]), "an inner one without an outer one is kept");
    }

    #[test]
    fn a_pattern_without_files_is_a_warning() {
        let project = project();
        project.write("t/a/setup.sh", "# orca: cache=config,con*\n");
        let (kept, warnings) = project.digests();
        assert!(kept[1].is_some());
        assert_eq!(warnings, ["t/a/setup.sh: no file in the project matches cache=config"]);
    }
}
