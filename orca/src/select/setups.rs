//! The set-ups of tests: `t/setup.sh`, and `setup.sh` in any folder between there and a test. The
//! inner one runs on top of the outer one.

use super::discover::{SETUP_NAME, Test, is_setup};
use super::header::Header;
use crate::cli::config::TEST_DIR;
use crate::error::Result;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// A set-up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetUpFile {
    /// Its file.
    pub file: Test,
    /// Its header.
    pub header: Header,
    /// The set-up that it runs on top of, by its place in [`SetUps::all`].
    pub outer: Option<usize>,
}

/// The set-ups of some tests.
#[derive(Clone, Debug, Default)]
pub struct SetUps {
    /// Every one of them. An inner one comes after its outer one.
    pub all: Vec<SetUpFile>,
    /// The innermost set-up of the tests in a folder.
    folders: HashMap<PathBuf, Option<usize>>,
}

impl SetUps {
    /// Finds the set-ups of `tests` and reads their headers. A test outside of `t/` has none.
    ///
    /// # Errors
    /// Those of [`Header::read`].
    pub fn read<'a>(root: &Path, tests: impl IntoIterator<Item = &'a Test>) -> Result<Self> {
        let mut found = Self::default();
        for dir in tests.into_iter().filter_map(|test| test.path.parent()) {
            found.look_in(root, dir)?;
        }
        Ok(found)
    }

    /// The set-up that a test starts from, by its place in [`SetUps::all`].
    pub fn innermost(&self, test: &Test) -> Option<usize> {
        self.folders.get(test.path.parent()?).copied().flatten()
    }

    /// The set-ups of a test, outermost first.
    pub fn of(&self, test: &Test) -> Vec<&SetUpFile> {
        let outer = |at: &usize| self.all[*at].outer;
        let chain = std::iter::successors(self.innermost(test), outer);
        let mut found: Vec<&SetUpFile> = chain.map(|at| &self.all[at]).collect();
        found.reverse();
        found
    }

    /// The innermost set-up of the tests in `dir`.
    fn look_in(&mut self, root: &Path, dir: &Path) -> Result<Option<usize>> {
        if let Some(known) = self.folders.get(dir) {
            return Ok(*known);
        }
        if !dir.starts_with(TEST_DIR) {
            return Ok(None);
        }
        let outer = match dir.parent() {
            Some(parent) => self.look_in(root, parent)?,
            None => None,
        };
        let file = Test::new(dir.join(SETUP_NAME));
        let innermost = if is_setup(root, &file.path) {
            let header = Header::read_setup(root, &file)?;
            self.all.push(SetUpFile { file, header, outer });
            Some(self.all.len() - 1)
        } else {
            outer
        };
        self.folders.insert(dir.to_owned(), innermost);
        Ok(innermost)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn the_inner_one_follows_the_outer_one() {
        let root = nix::unistd::mkdtemp(&std::env::temp_dir().join("orca-setups-XXXXXX")).unwrap();
        for dir in ["t/a/b", "t/c", "elsewhere"] {
            fs::create_dir_all(root.join(dir)).unwrap();
        }
        let setups = ["setup.sh", "t/setup.sh", "t/a/b/setup.sh", "t/d/setup.sh"];
        for path in setups.iter().filter(|path| !path.starts_with("t/d")) {
            fs::write(root.join(path), "# orca: cpus=2\n").unwrap();
        }
        let paths = ["t/a/b/x_test.sh", "t/a/y_test.sh", "t/c/z_test.sh", "elsewhere/w_test.sh"];
        let tests: Vec<Test> = paths.iter().map(Test::new).collect();
        let found = SetUps::read(&root, &tests).unwrap();
        let of = |test: &Test| -> Vec<String> {
            found.of(test).iter().map(|setup| setup.file.display()).collect()
        };
        assert_eq!(of(&tests[0]), ["t/setup.sh", "t/a/b/setup.sh"]);
        assert_eq!(of(&tests[1]), ["t/setup.sh"]);
        assert_eq!(of(&tests[2]), ["t/setup.sh"]);
        assert!(of(&tests[3]).is_empty() && found.all.len() == 2);
        assert_eq!(found.all[0].header.cpus, Some(2));
        fs::write(root.join("t/c/setup.sh"), "# orca: exclusive\n").unwrap();
        let error = SetUps::read(&root, &tests).unwrap_err().to_string();
        assert_eq!(error, "`t/c/setup.sh` line 1: `exclusive` makes no sense in a set-up");
        fs::remove_dir_all(root).unwrap();
    }
}
