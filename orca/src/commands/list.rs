//! `orca list`: the plan, without the run.
//!
//! By default it prints only the paths, as bytes, and reads no file that it need not read.

use crate::cli::config::Config;
use crate::cli::raw::Format;
use crate::error::{Error, Result};
use crate::events::exit;
use crate::report::plain;
use crate::select::choose::{self, Candidate, Chosen, choose};
use crate::select::discover::Test;
use crate::select::header::Header;
use crate::select::history::History;
use crate::select::setups::SetUps;
use crate::text::case;
use crate::text::count::count;
use crate::text::day::Day;
use serde_json::json;
use std::os::unix::ffi::OsStrExt;
use std::time::{Duration, SystemTime};

/// Prints every test that would run, one per line: its path, or with `-v` or `--format json` what
/// is known of it.
///
/// # Errors
/// Those of choosing and headers.
pub fn run(config: &Config) -> Result<u8> {
    let format = config.raw.format;
    if format != Format::Human && format != Format::Json {
        return Err(Error::new("`orca list` has no such format")
            .hint("say --format human or --format json"));
    }
    let detailed = format == Format::Json || config.raw.verbose > 0;
    let (history, warning) = if detailed || choose::needs_history(&config.raw) {
        History::load(&config.history_path())
    } else {
        (History::default(), None)
    };
    let untimed = choose::untimed(config, &history).filter(|_| detailed);
    for warning in warning.into_iter().chain(untimed) {
        plain::err(format!("orca: {warning}\n").as_bytes());
    }
    let tests = match choose(config, &history)? {
        Chosen::Tests(tests) => tests,
        Chosen::Nothing(why) => {
            plain::error("orca", &why);
            return Ok(exit::NOTHING);
        }
    };
    if detailed {
        plain::out(details(config, tests, &history)?.as_bytes());
        return Ok(exit::GOOD);
    }
    let mut text = Vec::new();
    for Candidate { test, .. } in &tests {
        let path = test.path.as_os_str().as_bytes();
        let cases = test.only.iter().map(|names| case::path("", names).into_bytes());
        let cases = if test.only.is_empty() { vec![Vec::new()] } else { cases.collect() };
        cases.iter().for_each(|case| text.extend([path, case, b"\n"].concat()));
    }
    plain::out(&text);
    Ok(exit::GOOD)
}

/// What is known of each test and, for people, of each set-up.
fn details(config: &Config, tests: Vec<Candidate>, history: &History) -> Result<String> {
    let read = |candidate: Candidate| candidate.with_header(&config.root);
    let tests = tests.into_iter().map(read).collect::<Result<Vec<(Test, Header)>>>()?;
    let setups = SetUps::read(&config.root, tests.iter().map(|(test, _)| test))?;
    if config.raw.format == Format::Json {
        let line = |(test, header): &(Test, Header)| object(test, header, history, &setups);
        return Ok(tests.iter().map(line).collect());
    }
    let mut text = String::new();
    for setup in &setups.all {
        let path = setup.file.display();
        let notes = vec!["set-up".to_owned()];
        text.push_str(&describe(&path, history.expected(&path), notes, &setup.header));
    }
    let mut total = (Duration::ZERO, 0);
    for (test, header) in &tests {
        let expected = history.expected_of(test);
        total = (total.0 + expected.unwrap_or_default(), total.1 + usize::from(expected.is_none()));
        let path = test.display();
        let mut notes = Vec::new();
        if !test.only.is_empty() {
            let cases = test.only.iter().map(|names| case::path("", names));
            notes.push(format!("only{}", cases.collect::<Vec<_>>().join(",")));
        }
        if history.is_outstanding(&path) {
            notes.push("failed or did not run last time".to_owned());
        }
        if setups.innermost(test).is_some() {
            notes.push(format!("set-ups={}", paths_of(&setups, test).join(",")));
        }
        text.push_str(&describe(&path, expected, notes, header));
    }
    Ok(text + &summary(tests.len(), total))
}

/// The paths of the set-ups of a test, outermost first.
fn paths_of(setups: &SetUps, test: &Test) -> Vec<String> {
    setups.of(test).iter().map(|setup| setup.file.display()).collect()
}

fn object(test: &Test, header: &Header, history: &History, setups: &SetUps) -> String {
    let path = test.display();
    let quarantine = header.quarantine.as_ref().map(|quarantine| {
        json!({
            "reason": quarantine.reason,
            "until": quarantine.until.to_string(),
            "over": quarantine.until < Day::of(SystemTime::now()),
        })
    });
    let object = json!({
        "test": path,
        "tags": header.tags,
        "only": test.only,
        "setups": paths_of(setups, test),
        "expected": history.expected_of(test).map(|time| time.as_secs_f64()),
        "failed": history.is_outstanding(&path),
        "timeout": header.timeout.map(|time| time.as_secs_f64()),
        "memory_mib": header.memory_mib,
        "cpus": header.cpus,
        "retries": header.retries,
        "exclusive": header.exclusive,
        "net": header.net.map(|card| if card { "user" } else { "none" }),
        "nodes": nodes(header),
        "requires": header.requires,
        "quarantine": quarantine,
    });
    format!("{object}\n")
}

/// The names of its nodes.
fn nodes(header: &Header) -> Vec<&str> {
    header.nodes.iter().map(|node| node.name.as_str()).collect()
}

/// `   1.9s  t/25-dns/cache_test.sh  tags=slow  exclusive`.
fn describe(path: &str, expected: Option<Duration>, notes: Vec<String>, header: &Header) -> String {
    let time = match expected {
        Some(time) => format!("{:.1}s", time.as_secs_f64()),
        None => "?".to_owned(),
    };
    let path_shown: String = path.chars().flat_map(shown).collect();
    let mut line = format!("{time:>8}  {path_shown}");
    let mut say = |text: String| {
        line.push_str("  ");
        line.extend(text.chars().flat_map(shown));
    };
    notes.into_iter().for_each(&mut say);
    if !header.tags.is_empty() {
        say(format!("tags={}", header.tags.join(",")));
    }
    if let Some(time) = header.timeout {
        say(format!("timeout={}s", time.as_secs_f64()));
    }
    let numbers =
        [("cpus", header.cpus), ("retries", header.retries), ("memory", header.memory_mib)];
    for (name, number) in numbers {
        let unit = if name == "memory" { "M" } else { "" };
        number.into_iter().for_each(|number| say(format!("{name}={number}{unit}")));
    }
    if let Some(card) = header.net {
        say(format!("net={}", if card { "user" } else { "none" }));
    }
    if !header.nodes.is_empty() {
        say(format!("nodes={}", nodes(header).join(",")));
    }
    if header.exclusive {
        say("exclusive".to_owned());
    }
    if !header.requires.is_empty() {
        say(format!("requires={}", header.requires.join(",")));
    }
    if let Some(quarantine) = &header.quarantine {
        let over = quarantine.until < Day::of(SystemTime::now());
        let when = if over { "quarantine ended on" } else { "in quarantine until" };
        say(format!("{when} {} ({})", quarantine.until, quarantine.reason));
    }
    if !header.cache.is_empty() {
        say(format!("cache={}", header.cache.join(",")));
    }
    line + "\n"
}

/// A character as a terminal may get it: a name may have control characters, which are escaped.
fn shown(c: char) -> Vec<char> {
    if c.is_control() { c.escape_default().collect() } else { vec![c] }
}

/// The last line: how long the tests take one after the other, as far as their times are known.
fn summary(tests: usize, (total, unknown): (Duration, usize)) -> String {
    let (counted, seconds) = (count(tests, "test"), total.as_secs_f64());
    match tests - unknown {
        0 => format!("{counted}: no time is known yet\n"),
        _ if unknown == 0 => format!("{counted}: {seconds:.1}s one after the other\n"),
        1 => format!("{counted}: the one whose time is known takes {seconds:.1}s\n"),
        known => format!(
            "{counted}: the {known} whose times are known take {seconds:.1}s one after the other\n"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_says_how_much_is_known() {
        let check = |tests, seconds, unknown, line: &str| {
            let total = (Duration::from_secs(seconds), unknown);
            assert_eq!(summary(tests, total), format!("{line}\n"));
        };
        check(16, 0, 16, "16 tests: no time is known yet");
        check(16, 9, 0, "16 tests: 9.0s one after the other");
        check(16, 9, 15, "16 tests: the one whose time is known takes 9.0s");
        check(16, 9, 4, "16 tests: the 12 whose times are known take 9.0s one after the other");
    }
}
