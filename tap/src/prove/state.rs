//! `--state`: the results of earlier runs, in the file and the format of Perl's `prove`.

use super::error::Error;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// The earlier runs of one test. Times are in seconds since 1970.
#[derive(Clone, Debug, Default, PartialEq)]
struct History {
    elapsed: f64,
    generation: u64,
    last_fail_time: Option<f64>,
    last_pass_time: Option<f64>,
    last_result: u64,
    last_run_time: Option<f64>,
    last_todo: u64,
    seq: u64,
    total_failures: u64,
    total_passes: u64,
    mtime: f64,
}

/// The result of a test that has ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Observation {
    pub(super) failed: u64,
    pub(super) problems: bool,
    pub(super) todo: u64,
    pub(super) elapsed: f64,
}

/// The state file: the history of each test.
#[derive(Debug)]
pub(super) struct StateFile {
    path: PathBuf,
    generation: u64,
    last_run_time: f64,
    tests: BTreeMap<Vec<u8>, History>,
    next_seq: u64,
    selected: bool,
    save: bool,
}

impl StateFile {
    /// Reads `path`; a missing file counts as an empty one.
    pub(super) fn load(path: &Path) -> Result<Self, Error> {
        let mut state = Self {
            path: path.to_path_buf(),
            generation: 1,
            last_run_time: 0.0,
            tests: BTreeMap::new(),
            next_seq: 1,
            selected: false,
            save: false,
        };
        if !path.is_file() {
            return Ok(state);
        }
        let text = std::fs::read_to_string(path)
            .map_err(|e| Error::usage(format!("cannot read `{}`: {e}", path.display())))?;
        state.read(&text);
        state.generation += 1;
        state.tests.retain(|name, history| {
            let Ok(meta) = std::fs::metadata(std::ffi::OsStr::from_bytes(name)) else {
                return false;
            };
            history.mtime = meta.modified().map(seconds).unwrap_or_default().floor();
            true
        });
        let last = state.tests.values().map(|history| history.seq).max();
        state.next_seq = last.map_or(1, |seq| seq + 1);
        Ok(state)
    }

    /// Whether `--state` was to choose tests, even if it found none.
    pub(super) const fn selected(&self) -> bool {
        self.selected
    }

    /// Applies the words of `--state`, and returns the tests they choose, in their order.
    pub(super) fn apply(&mut self, lists: &[String]) -> Result<Vec<OsString>, Error> {
        let mut words: Vec<&str> = lists.iter().flat_map(|list| list.split(',')).collect();
        if let Some(at) = words.iter().position(|&word| word == "adrian") {
            words.splice(at..=at, ["hot", "all", "save"]);
        }
        let mut found = Vec::new();
        for word in words {
            if word == "save" {
                self.save = true;
                continue;
            }
            let (name, limit) = word.split_once(':').unwrap_or((word, ""));
            let limit = match limit {
                "" => usize::MAX,
                text => text
                    .parse()
                    .map_err(|_| Error::usage(format!("`--state {word}`: bad limit")))?,
            };
            self.selected = true;
            found.extend(self.select(name)?.into_iter().take(limit));
        }
        Ok(found)
    }

    fn select(&self, word: &str) -> Result<Vec<OsString>, Error> {
        type Keep<'k> = Box<dyn Fn(&History) -> bool + 'k>;
        type Key = fn(&History) -> f64;
        let since = self.last_run_time;
        let generation = self.generation.saturating_sub(1);
        let (keep, key): (Keep<'_>, Key) = match word {
            "last" => (Box::new(move |e| e.generation >= generation), |e| e.seq as f64),
            "failed" => (Box::new(|e| e.last_result != 0), |e| -(e.last_result as f64)),
            "passed" => (Box::new(|e| e.last_result == 0), |_| 0.0),
            "all" => (Box::new(|_| true), |_| 0.0),
            "todo" => (Box::new(|e| e.last_todo != 0), |e| -(e.last_todo as f64)),
            "hot" => {
                (Box::new(|e| e.last_fail_time.is_some()), |e| -e.last_fail_time.unwrap_or(0.0))
            }
            "slow" => (Box::new(|_| true), |e| -e.elapsed),
            "fast" => (Box::new(|_| true), |e| e.elapsed),
            "new" => (Box::new(|_| true), |e| -e.mtime),
            "old" => (Box::new(|_| true), |e| e.mtime),
            "fresh" => (Box::new(move |e| e.mtime >= since), |_| 0.0),
            _ => {
                return Err(Error::usage(format!("`--state {word}`: unknown word"))
                    .hint("known: last failed passed all hot todo slow fast new old fresh save"));
            }
        };
        let mut chosen: Vec<_> = self.tests.iter().filter(|(_, history)| keep(history)).collect();
        chosen.sort_by_key(|(_, history)| history.seq);
        chosen.sort_by(|a, b| key(a.1).total_cmp(&key(b.1)));
        let name = |name: &Vec<u8>| std::ffi::OsStr::from_bytes(name).to_os_string();
        Ok(chosen.into_iter().map(|(test, _)| name(test)).collect())
    }

    /// Records the result of a test that has just ended.
    pub(super) fn observe(&mut self, name: &std::ffi::OsStr, seen: Observation) {
        let now = seconds(SystemTime::now());
        let seq = self.next_seq;
        self.next_seq += 1;
        let history = self.tests.entry(name.as_bytes().to_vec()).or_default();
        let failed = seen.failed + u64::from(seen.problems);
        history.seq = seq;
        history.generation = self.generation;
        history.last_run_time = Some(now);
        history.last_result = failed;
        history.last_todo = seen.todo;
        history.elapsed = seen.elapsed;
        if failed > 0 {
            history.total_failures += 1;
            history.last_fail_time = Some(now);
        } else {
            history.total_passes += 1;
            history.last_pass_time = Some(now);
        }
    }

    /// Writes the state, if `--state save` asked for it. The old file stays until the new one is
    /// complete.
    pub(super) fn commit(&mut self) -> Result<(), Error> {
        if !self.save {
            return Ok(());
        }
        self.last_run_time = seconds(SystemTime::now());
        let mut temporary = self.path.clone().into_os_string();
        temporary.push(format!(".{}", std::process::id()));
        let result = std::fs::write(&temporary, self.text())
            .and_then(|()| std::fs::rename(&temporary, &self.path));
        result.map_err(|e| {
            let _ = std::fs::remove_file(&temporary);
            Error::usage(format!("cannot write `{}`: {e}", self.path.display()))
        })
    }

    fn text(&self) -> Vec<u8> {
        let mut out = format!(
            "---\ngeneration: {}\nlast_run_time: {:.5}\n",
            self.generation, self.last_run_time
        )
        .into_bytes();
        out.extend_from_slice(if self.tests.is_empty() { b"tests: {}\n" } else { b"tests:\n" });
        for (name, history) in &self.tests {
            out.extend_from_slice(b"  ");
            out.extend_from_slice(&quote(name));
            out.extend_from_slice(b":\n");
            out.extend_from_slice(history.text().as_bytes());
        }
        out.extend_from_slice(b"version: 1\n...\n");
        out
    }

    fn read(&mut self, text: &str) {
        let mut name: Option<Vec<u8>> = None;
        for line in text.lines() {
            let content = line.trim_start();
            let indent = line.len() - content.len();
            if indent == 2
                && let Some(key) = content.strip_suffix(':')
            {
                let key = unquote(key);
                let fresh = History { generation: 1, seq: 1, ..History::default() };
                self.tests.insert(key.clone(), fresh);
                name = Some(key);
                continue;
            }
            let Some((key, value)) = content.split_once(": ") else { continue };
            if indent == 4 {
                if let Some(history) = name.as_ref().and_then(|name| self.tests.get_mut(name)) {
                    history.set(key, value.trim());
                }
            } else if key == "generation" {
                self.generation = value.trim().parse().unwrap_or(1);
            } else if key == "last_run_time" {
                self.last_run_time = value.trim().parse().unwrap_or(0.0);
            }
        }
    }
}

impl History {
    fn set(&mut self, key: &str, value: &str) {
        let number = value.parse::<f64>().ok();
        let count = number.unwrap_or(0.0) as u64;
        match key {
            "elapsed" => self.elapsed = number.unwrap_or(0.0),
            "gen" => self.generation = count,
            "last_fail_time" => self.last_fail_time = number,
            "last_pass_time" => self.last_pass_time = number,
            "last_result" => self.last_result = count,
            "last_run_time" => self.last_run_time = number,
            "last_todo" => self.last_todo = count,
            "seq" => self.seq = count,
            "total_failures" => self.total_failures = count,
            "total_passes" => self.total_passes = count,
            _ => {}
        }
    }

    fn text(&self) -> String {
        let mut out = String::new();
        let mut put = |key: &str, value: Option<String>| {
            if let Some(value) = value {
                let _ = writeln!(out, "    {key}: {value}");
            }
        };
        let time = |time: Option<f64>| time.map(|t| format!("{t:.5}"));
        let count = |n: u64| (n > 0).then(|| n.to_string());
        put("elapsed", Some(format!("{:.6}", self.elapsed)));
        put("gen", Some(self.generation.to_string()));
        put("last_fail_time", time(self.last_fail_time));
        put("last_pass_time", time(self.last_pass_time));
        put("last_result", Some(self.last_result.to_string()));
        put("last_run_time", time(self.last_run_time));
        put("last_todo", Some(self.last_todo.to_string()));
        put("seq", Some(self.seq.to_string()));
        put("total_failures", count(self.total_failures));
        put("total_passes", count(self.total_passes));
        out
    }
}

/// A name as a YAML key: in double quotes if it does not begin with a word character or holds a
/// quote or control character, in single quotes if it is empty or holds white space.
fn quote(name: &[u8]) -> Vec<u8> {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    if name.iter().any(|b| b.is_ascii_control() || *b == b'"')
        || name.first().is_some_and(|&b| !word(b))
    {
        let mut out = vec![b'"'];
        for &byte in name {
            match byte {
                b'\\' | b'"' => out.extend([b'\\', byte]),
                b'\n' => out.extend(b"\\n"),
                b'\t' => out.extend(b"\\t"),
                _ if byte.is_ascii_control() => out.extend(format!("\\x{byte:02x}").bytes()),
                _ => out.push(byte),
            }
        }
        out.push(b'"');
        return out;
    }
    if name.is_empty() || name.iter().any(u8::is_ascii_whitespace) {
        let text = name.iter().flat_map(|&b| if b == b'\'' { vec![b, b] } else { vec![b] });
        return std::iter::once(b'\'').chain(text).chain([b'\'']).collect();
    }
    name.to_vec()
}

fn unquote(key: &str) -> Vec<u8> {
    let inner = |quote: char| key.strip_prefix(quote).and_then(|k| k.strip_suffix(quote));
    if let Some(text) = inner('\'') {
        return text.replace("''", "'").into_bytes();
    }
    let Some(text) = inner('"') else { return key.as_bytes().to_vec() };
    let mut out = Vec::new();
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let next = if byte == b'\\' { bytes.next() } else { Some(byte) };
        out.push(match (byte, next) {
            (b'\\', Some(b'n')) => b'\n',
            (b'\\', Some(b't')) => b'\t',
            (b'\\', Some(b'x')) => {
                let mut digit = || (bytes.next().unwrap_or(b'0') as char).to_digit(16).unwrap_or(0);
                (digit() * 16 + digit()) as u8
            }
            (_, next) => next.unwrap_or(byte),
        });
    }
    out
}

fn seconds(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_name_survives_quoting() {
        for name in ["t/a.t", "./t/a.t", "a b.t", "it's a.t", "\"q\"\n\t\u{1}.t", "é.t", "\\x.t"] {
            let quoted = String::from_utf8(quote(name.as_bytes())).unwrap();
            assert_eq!(unquote(&quoted), name.as_bytes(), "{quoted}");
        }
    }

    #[test]
    fn the_words_choose_and_order() {
        let mut state = StateFile::load(Path::new("/nonexistent/.prove")).unwrap();
        let seen = |failed, elapsed| Observation { failed, problems: failed > 0, todo: 0, elapsed };
        for (name, failed, elapsed) in [("a", 0, 3.0), ("b", 2, 1.0), ("c", 5, 2.0)] {
            state.observe(name.as_ref(), seen(failed, elapsed));
        }
        let again = String::from_utf8(state.text()).unwrap();
        let mut state = StateFile { tests: BTreeMap::new(), ..state };
        state.read(&again);
        let mut apply = |words: &str| {
            let found = state.apply(&[words.to_owned()]).unwrap();
            found.join(std::ffi::OsStr::new(" ")).into_string().unwrap()
        };
        assert_eq!(apply("failed"), "c b");
        assert_eq!(apply("passed"), "a");
        assert_eq!(apply("slow:2"), "a c");
        assert_eq!(apply("fast,save"), "b c a");
        assert_eq!(apply("last"), "a b c");
        assert!(state.save && state.selected());
        assert!(state.apply(&["hit".into()]).is_err());
    }
}
