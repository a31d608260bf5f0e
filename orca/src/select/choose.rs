//! Chooses tests: by path, name, tag, last result, change and shard.

use super::discover::{Test, discover};
use super::git;
use super::header::Header;
use super::history::History;
use super::shard::pick;
use crate::cli::config::Config;
use crate::cli::raw::Raw;
use crate::error::{Error, Result};
use crate::text::case;
use crate::text::count::count;
use crate::text::suggest::nearest;
use std::path::Path;

/// The result of choosing.
#[derive(Debug)]
pub enum Chosen {
    /// At least one test, in the order of their paths.
    Tests(Vec<Candidate>),
    /// No test, and why.
    Nothing(Error),
}

/// A chosen test, with its header if choosing has read it.
#[derive(Debug)]
pub struct Candidate {
    /// The test.
    pub test: Test,
    header: Option<Header>,
}

impl Candidate {
    /// The test and its header, which is read unless choosing has done so.
    ///
    /// # Errors
    /// Those of [`Header::read`].
    pub fn with_header(self, root: &Path) -> Result<(Test, Header)> {
        let header = self.header.map_or_else(|| Header::read(root, &self.test), Ok)?;
        Ok((self.test, header))
    }
}

/// Whether [`choose`] needs the history.
pub fn needs_history(raw: &Raw) -> bool {
    raw.failed || raw.shard.is_some()
}

/// Chooses tests. Every flag has to agree, so each further one leaves fewer.
///
/// # Errors
/// Those of discovery, headers and git.
pub fn choose(config: &Config, history: &History) -> Result<Chosen> {
    let raw = &config.raw;
    let mut tests = discover(&config.root, &config.paths())?;
    if tests.is_empty() {
        let error = Error::new(format!("no tests in `{}`", config.root.display()));
        return Ok(Chosen::Nothing(error.hint("a test is called t/…/NAME_test.sh")));
    }
    if raw.failed {
        let before = tests.len();
        tests.retain_mut(|test| {
            let outstanding = history.outstanding(&test.display());
            let only = outstanding.and_then(|cases| case::common(&test.only, &cases));
            only.is_some_and(|only| {
                test.only = only;
                true
            })
        });
        if tests.is_empty() {
            return Ok(Chosen::Nothing(nothing_failed(history, before)));
        }
    }
    if let Some(rev) = &raw.changed {
        tests = git::touched(&config.root, rev, &tests)?;
        if tests.is_empty() {
            let since = if rev.is_empty() { "the last commit" } else { rev };
            let error = Error::new(format!("no test is touched by what changed since {since}"));
            return Ok(Chosen::Nothing(error.hint("leave --changed out to run them all")));
        }
    }
    let candidate = |test| Candidate { test, header: None };
    let mut tests: Vec<Candidate> = tests.into_iter().map(candidate).collect();
    if !(raw.filter.is_empty() && raw.tag.is_empty() && raw.not.is_empty()) {
        let before = tests.len();
        let mut tags = Vec::new();
        tests = by_name_and_tag(&config.root, raw, tests, &mut tags)?;
        if tests.is_empty() {
            return Ok(Chosen::Nothing(nothing_matches(raw, before, tags)));
        }
    }
    if let Some(shard) = raw.shard {
        let timed =
            |Candidate { test, .. }: &Candidate| (test.display(), history.expected_of(test));
        let mine = pick(shard, &tests.iter().map(timed).collect::<Vec<_>>());
        let before = tests.len();
        tests = tests.into_iter().zip(mine).filter_map(|(t, mine)| mine.then_some(t)).collect();
        if tests.is_empty() {
            let (number, of) = (shard.number, shard.of);
            let error = format!("shard {number}/{of} has none of the {}", count(before, "test"));
            return Ok(Chosen::Nothing(Error::new(error).hint("use fewer shards")));
        }
    }
    Ok(Chosen::Tests(tests))
}

/// The tests whose path and tags fit. This reads every header, so it comes after the cheaper flags.
/// `tags` collects all tags, for a hint.
fn by_name_and_tag(
    root: &Path,
    raw: &Raw,
    tests: Vec<Candidate>,
    tags: &mut Vec<String>,
) -> Result<Vec<Candidate>> {
    let mut matching = Vec::new();
    for candidate in tests {
        let (test, header) = candidate.with_header(root)?;
        let path = test.display();
        tags.extend(header.tags.iter().cloned());
        let tagged = raw.tag.is_empty() || raw.tag.iter().any(|tag| header.tags.contains(tag));
        if tagged
            && raw.filter.iter().all(|expr| expr.matches(&path, &header.tags))
            && !raw.not.iter().any(|expr| expr.matches(&path, &header.tags))
        {
            matching.push(Candidate { test, header: Some(header) });
        }
    }
    Ok(matching)
}

/// A warning if tests are cut into shards by a history that the user named and that has no times.
pub fn untimed(config: &Config, history: &History) -> Option<String> {
    let path = config.raw.history.as_ref().filter(|_| config.raw.shard.is_some())?;
    (!history.has_times()).then(|| {
        let path = path.display();
        format!(
            "`{path}` has no times of tests, so shards are even by count only; \
             a whole run with --history {path} writes times"
        )
    })
}

fn nothing_failed(history: &History, tests: usize) -> Error {
    if history.is_empty() {
        let error = Error::new("--failed: nothing is known of earlier runs");
        return error.hint("run `orca test` first, or name another host's history with --history");
    }
    let error =
        format!("--failed: none of the {} failed or was left out last time", count(tests, "test"));
    Error::new(error).hint("leave --failed out to run them all")
}

fn nothing_matches(raw: &Raw, tests: usize, mut tags: Vec<String>) -> Error {
    let flags = [("-k", !raw.filter.is_empty()), ("--tag", !raw.tag.is_empty())];
    let flags = flags.into_iter().chain([("--not", !raw.not.is_empty())]);
    let given: Vec<&str> = flags.filter(|(_, given)| *given).map(|(flag, _)| flag).collect();
    let given = match given[..] {
        [ref earlier @ .., last] if !earlier.is_empty() => {
            format!("{} and {last}", earlier.join(", "))
        }
        _ => given.concat(),
    };
    let error = Error::new(format!("none of the {} matches {given}", count(tests, "test")));
    tags.sort();
    tags.dedup();
    let unknown = raw.tag.iter().find(|tag| !tags.contains(tag));
    match unknown.map(|tag| (tag, nearest(tag, tags.iter().map(String::as_str)))) {
        Some((_, Some(near))) => error.hint(format!("did you mean `--tag {near}`?")),
        Some((tag, None)) if tags.is_empty() => error.hint(format!(
            "no test has a tag; `# orca: tags={tag}` in its first comments gives it one"
        )),
        Some((_, None)) => error.hint(format!("the tags are {}", tags.join(", "))),
        None => error.hint("`orca list -v` shows all tests with their tags"),
    }
}
