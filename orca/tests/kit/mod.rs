//! A project in a temporary folder, and what the real binary printed when it ran there.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A project in a temporary folder. Dropping it removes the folder.
pub struct Project {
    root: PathBuf,
}

impl Project {
    /// An empty project with a folder `t`.
    pub fn new() -> Self {
        let root = nix::unistd::mkdtemp(&std::env::temp_dir().join("kit-XXXXXX")).unwrap();
        fs::create_dir(root.join("t")).unwrap();
        Self { root }
    }

    /// The folder of the project.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Adds `t/<name>_test.sh` with this body.
    pub fn test(&self, name: &str, body: &str) -> &Self {
        self.file(&format!("t/{name}_test.sh"), body)
    }

    /// Adds a file.
    pub fn file(&self, path: &str, text: &str) -> &Self {
        let path = self.root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        self
    }

    /// `toolbox orca <args>`, not started yet. Its logs and its history stay in the project.
    pub fn command<S: AsRef<OsStr>>(&self, args: &[S]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_toolbox"));
        command.arg("orca").args(args).current_dir(&self.root);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("ORCA_") {
                command.env_remove(name);
            }
        }
        command.env("XDG_STATE_HOME", self.root.join(".state")).env_remove("NO_COLOR");
        command.env_remove("GITHUB_ACTIONS").env_remove("GITHUB_STEP_SUMMARY");
        command
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.root);
    }
}

/// What a command printed, and how it ended.
#[derive(Debug)]
pub struct Ran {
    /// The exit status; `None` if a signal ended it.
    pub status: Option<i32>,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            status: output.status.code(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Ran {
    /// Fails the test unless the exit status is this.
    #[track_caller]
    pub fn exits(&self, status: i32) -> &Self {
        assert_eq!(self.status, Some(status), "{self:#?}");
        self
    }

    /// Fails the test unless the output has this text.
    #[track_caller]
    pub fn says(&self, text: &str) -> &Self {
        assert!(self.out.contains(text), "no `{text}` in {}\n{}", self.out, self.err);
        self
    }

    /// Fails the test unless standard error has this text.
    #[track_caller]
    pub fn complains(&self, text: &str) -> &Self {
        assert!(self.err.contains(text), "no `{text}` in {}", self.err);
        self
    }

    /// Fails the test if the output has this text.
    #[track_caller]
    pub fn never_says(&self, text: &str) -> &Self {
        assert!(!self.out.contains(text), "`{text}` in {}", self.out);
        self
    }

    /// Fails the test unless each of [`VERDICTS`] is reported by its word.
    #[track_caller]
    pub fn says_every_verdict(&self) -> &Self {
        for (name, _, word) in VERDICTS {
            let path = format!("t/{name}_test.sh");
            let mut lines = self.out.lines().filter(|line| line.contains(&path));
            assert!(lines.any(|line| line.starts_with(word)), "no {word} {path} in {}", self.out);
        }
        self
    }
}

/// A test for every kind of verdict: its name, its body, and the word that reports it.
pub const VERDICTS: [(&str, &str, &str); 9] = [
    ("good", "echo 1..2; echo ok 1; echo ok 2", "PASS"),
    ("bad", "echo 1..2; echo ok 1; echo 'not ok 2 - it is broken'; echo '#  got: 1'", "FAIL"),
    ("planless", "echo ok 1; echo ok 2", "FAIL"),
    ("status", "echo 1..1; echo ok 1; exit 3", "FAIL"),
    ("skipping", "echo '1..0 # SKIP no such tool'", "SKIP"),
    ("partly", "echo 1..2; echo 'ok 1 # SKIP no tool'; echo ok 2", "PASS"),
    ("todo", "echo 1..1; echo 'not ok 1 - later # TODO not written'", "PASS"),
    ("forged", "echo 1..2; echo ok 1; echo 'TAP_END x exit=0'; echo 'not ok 2'", "FAIL"),
    ("signalled", "echo 1..1; echo ok 1; kill -9 $$", "FAIL"),
];
