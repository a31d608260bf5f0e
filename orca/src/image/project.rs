//! The project as a disk: which of its files come along, and the image of their file system.

use super::artifacts::{ArtifactCache, Key};
use super::cache;
use super::ext4;
use super::fingerprint::{Bound, Fingerprint};
use crate::error::{Error, Result};
use crate::text::count::count;
use nix::fcntl::Flock;
use std::collections::{BTreeSet, HashSet};
use std::fs::File;
use std::path::{Path, PathBuf};

/// How much a project may hold that becomes a disk. Measured: an image of 30,000 files takes half a
/// second, one of 512 MiB a second; both are remade whenever a file has changed.
pub const PROJECT_MAX: Bound = Bound { bytes: 512 << 20, files: 50_000 };
/// How many files and folders may be left out one by one.
const LEFT_OUT_MAX: usize = 200;
/// How often an image is made of a project that changes meanwhile.
const TRIES: u32 = 3;

/// The files of a project that become a disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tree {
    /// How much they are, and a digest of them.
    pub fingerprint: Fingerprint,
    /// What is left out, relative to the project: first what did not fit.
    pub left_out: Vec<PathBuf>,
    /// How much of that did not fit; the rest is images of machines.
    pub too_large: usize,
}

/// Chooses the files of the project at `root`. Those that `ignored` names (relative to it, as git
/// does) come along, the smallest first, as long as there is room. Those at the paths `own`, images
/// of machines, never do.
///
/// # Errors
/// Too much, or a folder that cannot be read.
pub fn survey(root: &Path, own: &[PathBuf], ignored: &[PathBuf]) -> Result<Tree> {
    let own: BTreeSet<&PathBuf> = own.iter().filter(|path| path.starts_with(root)).collect();
    let mut skip: HashSet<PathBuf> = own.iter().map(|path| path.to_path_buf()).collect();
    let images = skip.clone();
    skip.extend(ignored.iter().map(|path| root.join(path)));
    let Some(kept) = Fingerprint::within(root, &skip, PROJECT_MAX)? else {
        let (mib, files) = (PROJECT_MAX.bytes >> 20, PROJECT_MAX.files);
        let error = format!("the project holds more than the {mib} MiB or {files} files of a disk");
        return Err(Error::new(error).hint("say --share overlay, which has no bound"));
    };
    let mut left =
        Bound { bytes: PROJECT_MAX.bytes - kept.bytes, files: PROJECT_MAX.files - kept.files };
    let mut sized = Vec::new();
    for path in ignored {
        let found = Fingerprint::within(&root.join(path), &images, left)?;
        let size = found.map(|found| (found.bytes, found.files));
        sized.push((size.unwrap_or((u64::MAX, u64::MAX)), path));
    }
    sized.sort_by_key(|((bytes, _), path)| (*bytes, *path));
    let mut left_out: Vec<PathBuf> = Vec::new();
    for ((bytes, files), path) in sized {
        if bytes <= left.bytes && files <= left.files {
            left.bytes -= bytes;
            // The folder itself counts, too.
            left.files = left.files.saturating_sub(files + 1);
        } else {
            left_out.push(path.clone());
        }
    }
    let is_there = |path: &&&PathBuf| {
        path.exists() && !left_out.iter().any(|out| path.starts_with(root.join(out)))
    };
    let images = own.iter().filter(is_there).filter_map(|path| path.strip_prefix(root).ok());
    let images: Vec<PathBuf> = images.map(Path::to_owned).collect();
    let too_large = left_out.len();
    left_out.extend(images);
    if left_out.len() > LEFT_OUT_MAX {
        let many = count(left_out.len(), "ignored file");
        return Err(Error::new(format!("{many} of the project do not fit on a disk")));
    }
    let fingerprint = whole(root, &left_out)?;
    Ok(Tree { fingerprint, left_out, too_large })
}

/// The fingerprint of a project without what is left out.
fn whole(root: &Path, left_out: &[PathBuf]) -> Result<Fingerprint> {
    let skip = left_out.iter().map(|path| root.join(path)).collect();
    let bound = Bound { bytes: u64::MAX, files: u64::MAX };
    Fingerprint::within(root, &skip, bound).map(Option::unwrap_or_default)
}

/// The image of a project's disk, which stays in its place as long as this lives.
#[derive(Debug)]
pub struct ProjectImage {
    /// The file.
    pub path: PathBuf,
    _held: Flock<File>,
}

/// The image of `tree`, and whether it had to be made.
///
/// # Errors
/// It cannot be made, or the project changes all the time.
pub fn image(disks: &ArtifactCache, root: &Path, mut tree: Tree) -> Result<(ProjectImage, bool)> {
    for _ in 0..TRIES {
        let mut is_new = false;
        let key = Key::new().with(root).with(&tree.left_out).with(tree.fingerprint.digest);
        let image = disks.file("project", &key, |out| {
            is_new = true;
            ext4::from_project(root, &tree.left_out, &tree.fingerprint, out)
        })?;
        // Only a disk that was just made can have missed a change.
        let now = if is_new { whole(root, &tree.left_out)? } else { tree.fingerprint.clone() };
        if now == tree.fingerprint {
            let held = cache::hold(&image).map_err(|e| Error::io("lock", &image, &e))?;
            return Ok((ProjectImage { path: image, _held: held }, is_new));
        }
        tree.fingerprint = now;
    }
    let error = Error::new("the project changes while a disk is made of it");
    Err(error.hint("let it rest, or say --share overlay"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    struct Temp(PathBuf);

    impl Temp {
        fn new() -> Self {
            Self(nix::unistd::mkdtemp(&std::env::temp_dir().join("orca-tree-XXXXXX")).unwrap())
        }

        fn file(&self, path: &str, bytes: u64) {
            let path = self.0.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            let file = fs::File::create(path).unwrap();
            nix::fcntl::posix_fallocate(&file, 0, bytes.cast_signed()).unwrap();
        }
    }

    impl Drop for Temp {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }

    #[test]
    fn what_is_ignored_comes_along_as_far_as_it_fits_and_images_never_do() {
        let temp = Temp::new();
        let root = &temp.0;
        for (path, mib) in [("t/a_test.sh", 1), ("build/orca", 2), ("build/rootfs.ext4", 3)] {
            temp.file(path, mib << 20);
        }
        temp.file("target/big", PROJECT_MAX.bytes);
        let paths = |words: &[&str]| words.iter().map(PathBuf::from).collect::<Vec<_>>();
        let own = [root.join("build/rootfs.ext4"), root.join("build/none"), "/etc/passwd".into()];
        let tree = survey(root, &own, &paths(&["target", "build"])).unwrap();
        assert_eq!(tree.left_out, paths(&["target", "build/rootfs.ext4"]));
        assert_eq!(tree.fingerprint.bytes >> 20, 3);
        assert_eq!(tree.fingerprint.files, 4);
        let error = survey(root, &own, &paths(&["build"])).unwrap_err();
        assert!(error.to_string().contains("more than the 512 MiB"), "{error}");
        let before = whole(root, &tree.left_out).unwrap();
        temp.file("target/another", 1);
        assert_eq!(whole(root, &tree.left_out).unwrap(), before);
        temp.file("t/b_test.sh", 1);
        assert_ne!(whole(root, &tree.left_out).unwrap(), before);
    }
}
