//! What leads out of a project, and so to nothing in a guest, which has the project alone: symbolic
//! links, and the `.git` file of a worktree.
//!
//! It is a guess in one place: a link to a system's folder, such as /usr, is taken to find the same
//! in the guest's root.

use std::collections::VecDeque;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

/// How many entries of a project are looked at, those of the upper folders first.
const ENTRIES_MAX: usize = 20_000;
/// How many are named in a warning.
const NAMED_MAX: usize = 3;
/// Folders that any root has.
const SYSTEM: [&str; 9] =
    ["/bin", "/dev", "/etc", "/lib", "/lib64", "/proc", "/sbin", "/sys", "/usr"];
/// Folders of the host that are not in the guest even if it has the host's root.
const NEVER: [&str; 2] = ["/run", "/tmp"];

/// Something in the project whose target is not there in the guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaving {
    /// Relative to the project's root.
    pub path: PathBuf,
    /// Where it leads, as it says itself.
    pub target: PathBuf,
}

/// What leads out of the project at `root`, of the first entries of its folders. What leads nowhere
/// on this host either does not count. `host_root`: the guest has this host's own root.
pub fn leaving(root: &Path, host_root: bool) -> Vec<Leaving> {
    let mut found = Vec::new();
    let mut folders = VecDeque::from([PathBuf::new()]);
    let mut left = ENTRIES_MAX;
    while let Some(folder) = folders.pop_front() {
        // A folder that cannot be read is nobody's to warn of here.
        for entry in fs::read_dir(root.join(&folder)).into_iter().flatten().flatten() {
            if left == 0 {
                return found;
            }
            left -= 1;
            let path = folder.join(entry.file_name());
            let Ok(kind) = entry.file_type() else { continue };
            let is_git = entry.file_name() == ".git";
            let target = match () {
                () if kind.is_symlink() => fs::read_link(entry.path()).ok(),
                () if kind.is_file() && is_git => git_folder(&entry.path()),
                () => None,
            };
            let there = |target: &PathBuf| root.join(&folder).join(target).exists();
            if let Some(target) = target.filter(there)
                && leaves(&folder, &target, host_root)
            {
                found.push(Leaving { path: path.clone(), target });
            }
            if kind.is_dir() && !is_git {
                folders.push_back(path);
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

/// The warning about what leads out of a project; `None` if nothing does.
pub fn warning(found: &[Leaving]) -> Option<String> {
    let named = found.iter().take(NAMED_MAX);
    let named: Vec<String> = named
        .map(|Leaving { path, target }| format!("`{}` -> `{}`", path.display(), target.display()))
        .collect();
    if named.is_empty() {
        return None;
    }
    let more = match found.len().saturating_sub(NAMED_MAX) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let what = "not there in the guest, because it leads out of the project";
    Some(format!("{what}: {}{more}", named.join(", ")))
}

/// The folder that a `.git` file names.
fn git_folder(file: &Path) -> Option<PathBuf> {
    let text = fs::read(file).ok()?;
    let line = text.strip_prefix(b"gitdir: ")?.split(|&b| b == b'\n').next()?;
    Some(PathBuf::from(std::ffi::OsStr::from_bytes(line)))
}

/// Whether `target`, named in `folder` of the project, is not there in the guest.
fn leaves(folder: &Path, target: &Path, host_root: bool) -> bool {
    if target.is_absolute() {
        let below = |tops: &[&str]| tops.iter().any(|top| target.starts_with(top));
        return if host_root { below(&NEVER) } else { !below(&SYSTEM) && target != Path::new("/") };
    }
    let mut depth = folder.components().count();
    for part in target.components() {
        match part {
            Component::ParentDir if depth == 0 => return true,
            Component::ParentDir => depth -= 1,
            Component::CurDir => {}
            _ => depth += 1,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn only_what_leads_out_of_the_project_and_is_there_on_the_host_counts() {
        let top = nix::unistd::mkdtemp(&std::env::temp_dir().join("leaving-XXXXXX")).unwrap();
        let (root, beside) = (top.join("project"), top.join("beside"));
        fs::create_dir_all(root.join("a/b")).unwrap();
        fs::create_dir_all(root.join("sub")).unwrap();
        fs::create_dir(&beside).unwrap();
        fs::write(root.join("file"), "").unwrap();
        fs::write(root.join(".git"), format!("gitdir: {}\n", beside.display())).unwrap();
        fs::write(root.join("sub/.git"), "gitdir: ../a\n").unwrap();
        for (target, link) in [
            ("../../file", "a/b/inside"),
            ("../../../beside", "a/b/outside"),
            ("../nothing", "dangling"),
            ("/usr", "system"),
        ] {
            symlink(target, root.join(link)).unwrap();
        }
        symlink(&beside, root.join("absolute")).unwrap();
        let paths = |host_root| {
            let found = leaving(&root, host_root);
            found.into_iter().map(|one| one.path.display().to_string()).collect::<Vec<_>>()
        };
        assert_eq!(paths(false), [".git", "a/b/outside", "absolute"]);
        let below_tmp = root.starts_with("/tmp");
        assert_eq!(paths(true).len(), if below_tmp { 3 } else { 1 });
        fs::remove_dir_all(&top).unwrap();
    }

    #[test]
    fn a_warning_names_a_few() {
        assert_eq!(warning(&[]), None);
        let link = |name: &str| Leaving { path: name.into(), target: "/x".into() };
        let said = warning(&["a", "b", "c", "d", "e"].map(link)).unwrap();
        assert!(said.ends_with("`a` -> `/x`, `b` -> `/x`, `c` -> `/x` and 2 more"), "{said}");
    }
}
