//! Files that are replaced in one step: a reader sees all of the new one or all of the old one.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

/// Writes `data` beside `path` and renames it into place. Nothing is left behind if that fails.
///
/// # Errors
/// The folder cannot be written to, has no room, or `path` is a folder.
pub fn replace(path: &Path, data: &[u8]) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let new = path.with_file_name(name);
    let written = File::create(&new)
        .and_then(|mut file| file.write_all(data))
        .and_then(|()| fs::rename(&new, path));
    written.inspect_err(|_| {
        // The half that was written is of no use, and the first error is the one to report.
        let _ = fs::remove_file(&new);
    })
}

/// Removes the files in `dir` whose names begin with `prefix`. A file that cannot be removed stays.
pub fn remove_all(dir: &Path, prefix: &str) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(prefix) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_or_not_at_all() {
        let dir = nix::unistd::mkdtemp(&std::env::temp_dir().join("orca-atomic-XXXXXX")).unwrap();
        let path = dir.join("file");
        replace(&path, b"one").unwrap();
        replace(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert!(replace(&dir.join("none/file"), b"x").is_err());
        fs::create_dir(dir.join("folder")).unwrap();
        assert!(replace(&dir.join("folder"), b"x").is_err());
        let left: Vec<_> = fs::read_dir(&dir).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(left.len(), 2, "{left:?}");
        fs::remove_dir_all(&dir).unwrap();
    }
}
