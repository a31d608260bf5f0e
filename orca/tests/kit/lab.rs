//! A project apart from what its runs leave: their logs, their history and their temporary files
//! lie beside it, so that it becomes the same disk each time.

use crate::image;
use crate::kit::{Project, Ran};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// `is GOT WANT DESC`: a check that prints what it got. `yes DESC COMMAND…`: one that the command
/// succeeds. `end`: the plan.
pub const CHECKS: &str = r#"
n=0
is() {
    n=$((n + 1))
    if [ "$1" = "$2" ]; then echo "ok $n - $3"; else echo "not ok $n - $3: got $1, not $2"; fi
}
yes() {
    desc=$1; shift
    if "$@" >/run/out 2>&1; then is yes yes "$desc"; else is "$(cat /run/out)" yes "$desc"; fi
}
end() { echo "1..$n"; }
"#;

/// A project in a folder, and beside it what runs leave.
pub struct Lab {
    top: Project,
    root: PathBuf,
    image: PathBuf,
    cache: Option<PathBuf>,
}

impl Lab {
    /// A project called `name`, on the image in `build/`, with the cache of whoever runs this.
    pub fn named(name: &str) -> Self {
        let top = Project::new();
        let root = top.root().join(name);
        fs::create_dir_all(root.join("t")).unwrap();
        Self { top, root, image: image::build(), cache: None }
    }

    /// The same by an ordinary name.
    pub fn new() -> Self {
        Self::named("project")
    }

    /// The same with an empty cache of its own.
    pub fn with_cache() -> Self {
        let lab = Self::new();
        let cache = Some(lab.beside("cache"));
        Self { cache, ..lab }
    }

    /// Puts the image into this folder of the project. Runs boot it from there.
    pub fn bring_image(&mut self, folder: &str) {
        let image = self.root.join(folder);
        fs::create_dir_all(&image).unwrap();
        for name in ["vmlinux", "initramfs", "rootfs.ext4"] {
            let (from, to) = (self.image.join(name), image.join(name));
            fs::hard_link(&from, &to).or_else(|_| fs::copy(&from, &to).map(drop)).unwrap();
        }
        self.image = image;
    }

    /// The project's root.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A place beside the project.
    pub fn beside(&self, name: &str) -> PathBuf {
        self.top.root().join(name)
    }

    /// Adds a file, or writes it anew.
    pub fn file(&self, path: &str, text: &str) -> &Self {
        let path = self.root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        self
    }

    /// Adds `t/<name>_test.sh`.
    pub fn test(&self, name: &str, body: &str) -> &Self {
        self.file(&format!("t/{name}_test.sh"), body)
    }

    /// `orca test <args>` in the project, not started yet. Its report and its logs lie beside it.
    pub fn command(&self, args: &[&str]) -> Command {
        let (report, logs) = (self.beside("report.json"), self.beside("logs"));
        let [report, logs] = [report.to_str().unwrap(), logs.to_str().unwrap()];
        let all = [&["test", "--json", report, "--log-dir", logs], args].concat();
        let mut command = image::command(&self.image, &self.top, &all);
        command.current_dir(&self.root);
        if let Some(cache) = &self.cache {
            command.env("XDG_CACHE_HOME", cache);
        }
        command
    }

    /// Runs tests, and fails if the run leaves a file or a machine.
    #[track_caller]
    pub fn orca(&self, args: &[&str]) -> (Ran, Report) {
        let ran = Ran::from(self.command(args).output().unwrap());
        self.is_clean();
        (ran, self.report())
    }

    /// Starts the same.
    pub fn start(&self, args: &[&str]) -> std::process::Child {
        let mut command = self.command(args);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// Fails if a run has left a machine or a temporary file.
    #[track_caller]
    pub fn is_clean(&self) {
        assert_eq!(image::machines(&self.top), []);
        assert_eq!(image::leftovers(&self.top), [] as [PathBuf; 0]);
    }

    /// The file called `name` in the log of the entry, such as `t/x_test.sh`, of the last run.
    pub fn log(&self, entry: &str, name: &str) -> Vec<u8> {
        let path = self.beside("logs").join(entry).join(name);
        fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
    }

    /// What the last run reported.
    pub fn report(&self) -> Report {
        let text = fs::read_to_string(self.beside("report.json")).unwrap_or_default();
        Report(text.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
    }
}

/// The events of a run.
pub struct Report(pub Vec<Value>);

impl Report {
    /// The attempts at a test or case, in order.
    pub fn of(&self, path: &str) -> Vec<&Value> {
        let of = |event: &&Value| event["event"] == "test_finished" && event["test"] == path;
        self.0.iter().filter(of).collect()
    }

    /// The only attempt at a test or case; fails unless it had this outcome.
    #[track_caller]
    pub fn one(&self, path: &str, outcome: &str) -> &Value {
        let all = self.of(path);
        assert!(
            all.len() == 1 && all[0]["outcome"] == outcome,
            "{path} is not once `{outcome}`: {all:#?} of {:?}",
            self.paths()
        );
        all[0]
    }

    /// What was finished, in order of the names.
    pub fn paths(&self) -> Vec<String> {
        let finished = self.0.iter().filter(|event| event["event"] == "test_finished");
        let mut paths: Vec<_> =
            finished.map(|event| event["test"].as_str().unwrap().to_owned()).collect();
        paths.sort();
        paths
    }
}
