//! The kit that the integration tests share: temporary directories, commands, the corpus.
#![expect(dead_code, reason = "each test file uses a part of it")]

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// A temporary directory, removed at the end of its test.
pub struct Dir(pub PathBuf);

impl Dir {
    pub fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("tap-test-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        Self(dir)
    }

    /// Writes an executable shell script.
    pub fn script(&self, name: &str, body: &str) -> PathBuf {
        let path = self.file(name, format!("#!/bin/sh\n{body}\n").as_bytes());
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
        path
    }

    pub fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        path
    }

    pub fn read(&self, name: &str) -> String {
        String::from_utf8_lossy(&std::fs::read(self.0.join(name)).unwrap()).into_owned()
    }

    /// Runs our `prove` in this directory.
    pub fn prove(&self, args: &[&str]) -> Ran {
        self.run(Path::new(env!("CARGO_BIN_EXE_prove")), args, b"")
    }

    pub fn run(&self, program: &Path, args: &[&str], stdin: &[u8]) -> Ran {
        let mut command = Command::new(program);
        command.args(args).current_dir(&self.0).env("HOME", &self.0).env_remove("TAP_EXIT");
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("HARNESS_") {
                command.env_remove(name);
            }
        }
        finish(&mut command, stdin)
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The output and the exit code of a command.
#[derive(Debug)]
pub struct Ran {
    pub out: String,
    pub err: String,
    pub code: Option<i32>,
}

pub fn finish(command: &mut Command, stdin: &[u8]) -> Ran {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut pipe = child.stdin.take().unwrap();
    let stdin = stdin.to_vec();
    let feed = std::thread::spawn(move || {
        let _ = pipe.write_all(&stdin);
    });
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    feed.join().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ran { out: text(stdout), err: text(stderr), code: status.code() }
}

/// Whether `program` can be run; if not, prints a notice that `test` compared nothing.
pub fn have(program: &str, test: &str) -> bool {
    let mut probe = Command::new(program);
    let found = probe.arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    if !found {
        let notice = format!("notice: {test}: NOT compared, `{program}` is not installed\n");
        let _ = std::io::stderr().write_all(notice.as_bytes());
    }
    found
}

/// A stream of the corpus, and the fields that its table says it must give.
pub struct Sample {
    pub name: String,
    pub path: PathBuf,
    pub bytes: Vec<u8>,
    pub exit: i32,
    pub fields: Vec<String>,
}

pub fn corpus_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus")
}

/// The rows of `table`: plan run passed failed skipped todo todo_passed bail good.
pub fn samples(table: &str) -> Vec<Sample> {
    let text = std::fs::read_to_string(corpus_dir().join(table)).unwrap();
    let sample = |row: &str| {
        let cells: Vec<&str> = row.split('\t').collect();
        let path = corpus_dir().join("edge").join(cells[0]);
        let exit =
            std::fs::read_to_string(corpus_dir().join("edge").join(format!("{}.exit", cells[0])));
        Sample {
            name: cells[0].to_owned(),
            bytes: std::fs::read(&path).unwrap(),
            path,
            exit: exit.map_or(0, |text| text.trim().parse().unwrap()),
            fields: cells[2..11].iter().map(|s| (*s).to_owned()).collect(),
        }
    };
    text.lines().skip(1).map(sample).collect()
}

/// The fields of a suite, as the tables have them.
pub fn fields(suite: &tap::Suite) -> Vec<String> {
    let plan = suite.plan.as_ref().map_or("-".to_owned(), |plan| format!("1..{}", plan.text));
    let counts =
        [suite.run, suite.passed, suite.failed, suite.skipped, suite.todo, suite.todo_passed];
    let flags = [suite.bail.is_some(), suite.success()].map(|b| u8::from(b).to_string());
    [plan].into_iter().chain(counts.map(|n| n.to_string())).chain(flags).collect()
}

/// Reads `chunks` as one stream.
pub fn collect(chunks: &[&[u8]], exit: i32) -> tap::Suite {
    let mut collector = tap::Collector::default();
    chunks.iter().for_each(|chunk| collector.feed(chunk));
    collector.finish(tap::ExitStatus::from_shell(exit))
}

/// A small generator of random numbers: the same numbers for the same seed.
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit.max(1) as u64) as usize
    }

    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }
}
