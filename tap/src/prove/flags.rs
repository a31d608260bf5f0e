//! The flag table: every flag once, with its names, its value, its help and what it sets.
//!
//! Parsing and `--help` both read this table. `REFUSED` lists what only Perl's `prove` can do.

use super::raw::RawArgs;
use Group::{Other, Report, Run, Select, Show};

/// Sets one field; the value is `"no"` for a negated flag and empty where none is taken.
type Set = fn(&mut RawArgs, &str) -> Result<(), String>;

/// One flag.
pub(super) struct Flag {
    /// The one-letter name.
    pub(super) short: Option<char>,
    /// The names after `--`; the first is the one shown.
    pub(super) long: &'static [&'static str],
    /// The name of its value in `--help`, if it takes one.
    pub(super) value: Option<&'static str>,
    /// Whether `--noNAME` exists.
    pub(super) negatable: bool,
    /// The group of `--help` that lists it.
    pub(super) group: Group,
    /// Its line of `--help`.
    pub(super) help: &'static str,
    /// Sets its field.
    pub(super) set: Set,
}

/// The headings of `--help`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Group {
    Select,
    Run,
    Show,
    Report,
    Other,
}

impl Group {
    pub(super) const ALL: [(Self, &'static str); 5] = [
        (Self::Select, "which tests"),
        (Self::Run, "how they are run"),
        (Self::Show, "what is shown"),
        (Self::Report, "verdict and reports"),
        (Self::Other, "other"),
    ];
}

const fn flag(
    short: char,
    long: &'static [&'static str],
    group: Group,
    help: &'static str,
    set: Set,
) -> Flag {
    let short = if short == ' ' { None } else { Some(short) };
    Flag { short, long, value: None, negatable: false, group, help, set }
}

impl Flag {
    const fn takes(mut self, value: &'static str) -> Self {
        self.value = Some(value);
        self
    }

    const fn negatable(mut self) -> Self {
        self.negatable = true;
        self
    }
}

/// All flags, in the order of `--help`.
pub(super) const FLAGS: &[Flag] = &[
    flag('r', &["recurse"], Select, "descend into directories", |a, _| yes(&mut a.recurse)),
    flag(
        ' ',
        &["ext"],
        Select,
        "files to take from directories (default .t; repeatable)",
        |a, v| push(&mut a.exts, v),
    )
    .takes("SUFFIX"),
    flag('s', &["shuffle"], Select, "run them in random order", |a, _| yes(&mut a.shuffle)),
    flag(' ', &["reverse"], Select, "run them in reverse order", |a, _| yes(&mut a.reverse)),
    flag(
        ' ',
        &["state"],
        Select,
        "choose by what happened before: last failed passed all hot todo slow fast new old fresh, \
         each with an optional :LIMIT; `save` writes the state",
        |a, v| push(&mut a.state, v),
    )
    .takes("LIST"),
    flag(' ', &["statefile"], Select, "where that is kept (default .prove)", |a, v| {
        set(&mut a.statefile, v)
    })
    .takes("FILE"),
    flag('D', &["dry"], Select, "list the tests, run nothing", |a, _| yes(&mut a.dry)),
    flag('e', &["exec"], Run, "run each file with CMD; '' runs the file itself", |a, v| {
        set(&mut a.exec, v)
    })
    .takes("CMD"),
    flag('j', &["jobs"], Run, "run N at a time (default 1); output stays in order", |a, v| {
        set(&mut a.jobs, v)
    })
    .takes("N"),
    flag(
        ' ',
        &["timeout"],
        Run,
        "kill a test and all it started after TIME (90, 90s, 5m)",
        |a, v| set(&mut a.timeout, v),
    )
    .takes("TIME"),
    flag('l', &["lib"], Run, "add lib to Perl's library path", |a, _| yes(&mut a.lib)),
    flag('b', &["blib"], Run, "add blib/lib and blib/arch to it", |a, _| yes(&mut a.blib)),
    flag('I', &[], Run, "add DIR to it (repeatable)", |a, v| push(&mut a.includes, v)).takes("DIR"),
    flag('m', &["merge"], Run, "read a test's stderr as if it were its stdout", |a, _| {
        yes(&mut a.merge)
    }),
    flag(' ', &["trap"], Run, "on Ctrl-C print the summary before stopping", |a, _| {
        yes(&mut a.trap)
    }),
    flag('v', &["verbose"], Show, "show every line of every test", |a, _| yes(&mut a.verbose)),
    flag('f', &["failures"], Show, "show failing points", |a, _| yes(&mut a.failures)),
    flag('o', &["comments"], Show, "show comments", |a, _| yes(&mut a.comments)),
    flag(
        ' ',
        &["directives"],
        Show,
        "show points with TODO or SKIP",
        |a, _| yes(&mut a.directives),
    ),
    flag('q', &["quiet"], Show, "show no lines of any test", |a, _| yes(&mut a.quiet)),
    flag('Q', &["QUIET"], Show, "show the summary only", |a, _| yes(&mut a.really_quiet)),
    flag('p', &["parse"], Show, "show all syntax errors in TAP, not the first five", |a, _| {
        yes(&mut a.parse)
    }),
    flag(' ', &["normalize"], Show, "show points in one uniform spelling", |a, _| {
        yes(&mut a.normalize)
    }),
    flag(' ', &["timer"], Show, "show when each test ran and how long", |a, _| yes(&mut a.timer)),
    flag('c', &["color", "colour"], Show, "use colours (default on a terminal)", |a, v| {
        a.color = Some(v != "no");
        Ok(())
    })
    .negatable(),
    flag(' ', &["count"], Show, "show a running count (default on a terminal)", |a, v| {
        a.count = Some(v != "no");
        Ok(())
    })
    .negatable(),
    flag(' ', &["ignore-exit"], Report, "judge by TAP alone, not by the exit status", |a, _| {
        yes(&mut a.ignore_exit)
    }),
    flag(
        ' ',
        &["fail-on"],
        Report,
        "also fail on: skip, todo-passed (repeatable, or a,b)",
        |a, v| push(&mut a.fail_on, v),
    )
    .takes("WHAT"),
    flag(' ', &["junit"], Report, "write JUnit XML as well", |a, v| set(&mut a.junit, v))
        .takes("FILE"),
    flag(
        ' ',
        &["json"],
        Report,
        "run nothing: read TAP (- is stdin), print its verdict as JSON; see below",
        |a, _| yes(&mut a.json),
    ),
    flag(' ', &["rc"], Other, "read more arguments from FILE", |_, _| Ok(())).takes("FILE"),
    flag(' ', &["norc"], Other, "do not read .proverc", |_, _| Ok(())),
    flag('h', &["help"], Other, "show this help", |a, _| yes(&mut a.help)),
    flag('H', &["man"], Other, "the same", |a, _| yes(&mut a.help)),
    flag('V', &["version"], Other, "show the version", |a, _| yes(&mut a.version)),
];

/// Switches that make no sense without Perl: short name, long name, and whether they take a value.
pub(super) const REFUSED: &[(char, &str, bool)] = &[
    ('T', "", false),
    ('t', "", false),
    ('W', "", false),
    ('w', "", false),
    ('M', "", true),
    ('P', "", true),
    ('a', "archive", true),
    (' ', "harness", true),
    (' ', "source", true),
    (' ', "formatter", true),
    (' ', "rules", true),
    (' ', "tapversion", true),
];

fn yes(field: &mut bool) -> Result<(), String> {
    *field = true;
    Ok(())
}

fn set(field: &mut Option<String>, value: &str) -> Result<(), String> {
    *field = Some(value.to_owned());
    Ok(())
}

fn push(field: &mut Vec<String>, value: &str) -> Result<(), String> {
    field.push(value.to_owned());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn no_name_is_given_twice() {
        let mut seen = BTreeSet::new();
        let shorts = FLAGS.iter().filter_map(|f| f.short).chain(REFUSED.iter().map(|r| r.0));
        for short in shorts.filter(|&c| c != ' ') {
            assert!(seen.insert(short.to_string()), "-{short}");
        }
        let longs = FLAGS.iter().flat_map(|f| f.long).chain(REFUSED.iter().map(|r| &r.1));
        for long in longs.filter(|l| !l.is_empty()) {
            assert!(seen.insert(format!("--{long}")), "--{long}");
        }
    }
}
