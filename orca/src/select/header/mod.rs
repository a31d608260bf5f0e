//! Settings in the first comments of a test or a set-up, such as `# orca: timeout=120s memory=1G
//! tags=slow,net exclusive`.
//!
//! Only comment lines at the top of the file count, so nothing in a test's body is taken for a
//! setting. Unknown keys are errors: a misspelt timeout that is silently ignored is worse than
//! none. A value with spaces is in double quotes.

mod nodes;

use super::discover::Test;
use crate::error::{Error, Result};
use crate::shape::{Node, Shape};
use crate::text::day::Day;
use crate::text::suggest::nearest;
use crate::text::value;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::time::Duration;

/// How much of a file is read, in bytes.
const HEAD_BYTES: u64 = 4096;
const MARK: &str = "orca:";
const KEYS: [&str; 12] = [
    "timeout",
    "memory",
    "cpus",
    "retries",
    "tags",
    "exclusive",
    "net",
    "nodes",
    "requires",
    "flaky",
    "until",
    "cache",
];
/// The keys that make no sense in a set-up.
const FOR_TESTS: [&str; 5] = ["tags", "exclusive", "nodes", "flaky", "until"];
/// The key that makes no sense in a test.
const FOR_SETUPS: &str = "cache";
/// The words of `requires=`: `kvm` is hardware virtualisation of any kind, `vm` is a machine of its
/// own, the others are architectures of the guest.
pub const NEEDS: [&str; 4] = ["kvm", "vm", "x86_64", "aarch64"];

/// What machines have if they can be the nodes of a test. It is not a word of `requires=`: `nodes=`
/// requires it.
pub const NODES: &str = "nodes";

/// What a test asks for. Everything else has the defaults of the run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// How long it may run, not scaled.
    pub timeout: Option<Duration>,
    /// Its machine's memory in MiB.
    pub memory_mib: Option<u32>,
    /// Its machine's virtual CPUs.
    pub cpus: Option<u32>,
    /// How often it may be tried again.
    pub retries: Option<u32>,
    /// The words that choose it, as written.
    pub tags: Vec<String>,
    /// Whether no other test may run at the same time.
    pub exclusive: bool,
    /// Whether its machine has a network card.
    pub net: Option<bool>,
    /// Its machines, if it has several; it runs on the first.
    pub nodes: Vec<Node>,
    /// What it needs, out of [`NEEDS`].
    pub requires: Vec<&'static str>,
    /// For how long its bad results do not count, and why.
    pub quarantine: Option<Quarantine>,
    /// For a set-up that is kept between runs: the patterns of the project's files that it depends
    /// on.
    pub cache: Vec<String>,
}

/// What a header belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Kind {
    #[default]
    Test,
    SetUp,
}

/// The time during which the bad results of a test do not count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quarantine {
    /// Why.
    pub reason: String,
    /// Its last day, in UTC.
    pub until: Day,
}

impl Header {
    /// Reads the header of a test of the project at `root`.
    ///
    /// # Errors
    /// A file that cannot be read, or a setting that is wrong, with its line.
    pub fn read(root: &Path, test: &Test) -> Result<Self> {
        Self::read_as(Kind::Test, root, test)
    }

    /// Reads the header of a set-up of the project at `root`.
    ///
    /// # Errors
    /// As [`Header::read`].
    pub fn read_setup(root: &Path, setup: &Test) -> Result<Self> {
        Self::read_as(Kind::SetUp, root, setup)
    }

    fn read_as(kind: Kind, root: &Path, test: &Test) -> Result<Self> {
        let name = test.display();
        let unreadable = |e: io::Error| {
            let hint = "make it readable, or name the tests that are";
            Error::io("read", Path::new(&name), &e).hint(hint)
        };
        let mut head = Vec::new();
        let file = File::open(root.join(&test.path)).map_err(unreadable)?;
        file.take(HEAD_BYTES).read_to_end(&mut head).map_err(unreadable)?;
        if !head.windows(MARK.len()).any(|bytes| bytes == MARK.as_bytes()) {
            return Ok(Self::default());
        }
        Self::parse(kind, &String::from_utf8_lossy(&head), &name)
    }

    /// The machine of the test: `usual`, except for what the header asks for.
    pub fn shape(&self, usual: Shape) -> Shape {
        Shape {
            memory_mib: self.memory_mib.unwrap_or(usual.memory_mib),
            cpus: self.cpus.unwrap_or(usual.cpus),
            net: self.net.unwrap_or(usual.net),
            ..usual
        }
    }

    /// Why the test cannot run on machines that have no more than `has`; `None` if it can.
    pub fn lacks(&self, has: &[&str]) -> Option<String> {
        let lacking = self.requires.iter().find(|need| !has.contains(need));
        match lacking {
            Some(need) => Some(format!("requires {need}, which is not available here")),
            None if self.nodes.is_empty() || has.contains(&NODES) => None,
            None if has.contains(&"vm") => {
                Some("has several nodes, which need QEMU 7.2 or later".to_owned())
            }
            None => Some("has several nodes, and there are no virtual machines here".to_owned()),
        }
    }

    fn parse(kind: Kind, text: &str, name: &str) -> Result<Self> {
        let mut draft = Draft { kind, ..Draft::default() };
        let comments =
            text.lines().take_while(|line| line.trim().is_empty() || line.starts_with('#'));
        for (number, line) in (1..).zip(comments) {
            let Some(settings) = line.trim_start_matches('#').trim().strip_prefix(MARK) else {
                continue;
            };
            let set = |setting: String| draft.set(&setting, number);
            split(settings)
                .and_then(|settings| settings.into_iter().try_for_each(set))
                .map_err(|error| located(error, name, number))?;
        }
        draft.finish().map_err(|(error, number)| located(error, name, number))
    }
}

fn located(error: Error, name: &str, number: usize) -> Error {
    error.context(&format!("`{name}` line {number}"))
}

/// The settings of a line, without their quotes.
fn split(line: &str) -> Result<Vec<String>> {
    let (mut found, mut word, mut quoted) = (Vec::new(), String::new(), false);
    for c in line.chars() {
        match c {
            '"' => quoted = !quoted,
            c if c.is_ascii_whitespace() && !quoted => found.push(std::mem::take(&mut word)),
            c => word.push(c),
        }
    }
    if quoted {
        return Err(
            Error::new("a quote is not closed").hint("put a value with spaces between two `\"`")
        );
    }
    found.push(word);
    found.retain(|word| !word.is_empty());
    Ok(found)
}

/// A header that is being read. The two halves of a quarantine may come in any order, each with its
/// line.
#[derive(Default)]
struct Draft {
    kind: Kind,
    header: Header,
    flaky: Option<(String, usize)>,
    until: Option<(Day, usize)>,
}

impl Draft {
    fn set(&mut self, setting: &str, number: usize) -> Result<()> {
        let (key, text) = setting.split_once('=').unwrap_or((setting, ""));
        let value = OsStr::new(text);
        self.check_kind(key)?;
        let header = &mut self.header;
        let form = |form: String| Error::new(format!("`{key}` takes {form}, not `{text}`"));
        match key {
            "timeout" => header.timeout = Some(value::duration(value).map_err(form)?),
            "memory" => header.memory_mib = Some(value::memory_mib(value).map_err(form)?),
            "cpus" => header.cpus = Some(value::number(value, 1, 64).map_err(form)? as u32),
            "retries" => header.retries = Some(value::number(value, 0, 100).map_err(form)? as u32),
            "tags" => header.tags.extend(words(text).map_err(form)?),
            "exclusive" if setting == key => header.exclusive = true,
            "exclusive" => return Err(form("no value".to_owned())),
            "net" => {
                let ways = [("none", false), ("user", true)];
                header.net = Some(value::choice(value, &ways).map_err(form)?);
            }
            "nodes" => header.nodes = nodes::parse(text)?,
            "requires" => {
                for word in words(text).map_err(form)? {
                    header.requires.push(need(&word)?);
                }
            }
            "flaky" if text.is_empty() => return Err(form("a reason in quotes".to_owned())),
            "flaky" => self.flaky = Some((text.to_owned(), number)),
            "until" => {
                let day =
                    Day::parse(text).ok_or_else(|| form("a day such as 2027-01-31".to_owned()))?;
                self.until = Some((day, number));
            }
            "cache" => header.cache.extend(patterns(text).map_err(form)?),
            _ => return Err(unknown("key", key, &KEYS)),
        }
        Ok(())
    }

    /// Refuses the keys of tests in a set-up, and those of set-ups in a test.
    fn check_kind(&self, key: &str) -> Result<()> {
        match self.kind {
            Kind::SetUp if FOR_TESTS.contains(&key) => {
                let error = Error::new(format!("`{key}` makes no sense in a set-up"));
                Err(error.hint("say it in the tests that it is about"))
            }
            Kind::Test if key == FOR_SETUPS => {
                let error = Error::new(format!("`{key}` makes no sense in a test"));
                Err(error.hint("it keeps a set-up, `setup.sh`, between runs"))
            }
            _ => Ok(()),
        }
    }

    fn finish(mut self) -> Result<Header, (Error, usize)> {
        self.header.quarantine = match (self.flaky, self.until) {
            (Some((reason, _)), Some((until, _))) => Some(Quarantine { reason, until }),
            (Some((_, number)), None) => {
                let error = Error::new("`flaky` needs an end");
                return Err((error.hint("say until when, such as until=2027-01-31"), number));
            }
            (None, Some((_, number))) => {
                let error = Error::new("`until` belongs to `flaky`");
                return Err((error.hint("say why as well, such as flaky=\"a race\""), number));
            }
            (None, None) => None,
        };
        Ok(self.header)
    }
}

/// Words between commas.
fn words(text: &str) -> value::Parsed<Vec<String>> {
    let plain = |word: &str| {
        let fits = |c: char| c.is_alphanumeric() || "-_.:/".contains(c);
        !word.is_empty() && word.chars().all(fits)
    };
    let words: Vec<String> = text.split(',').map(str::to_owned).collect();
    let good = words.iter().all(|word| plain(word));
    good.then_some(words).ok_or_else(|| "words with commas between them, such as a,b".to_owned())
}

/// Patterns of files in the project between commas.
fn patterns(text: &str) -> value::Parsed<Vec<String>> {
    let inside = |pattern: &str| {
        !pattern.is_empty() && !pattern.starts_with('/') && pattern.split('/').all(|p| p != "..")
    };
    let patterns: Vec<String> = text.split(',').map(str::to_owned).collect();
    let good = patterns.iter().all(|pattern| inside(pattern));
    good.then_some(patterns).ok_or_else(|| {
        "patterns of files in the project with commas between them, such as src/**,Makefile"
            .to_owned()
    })
}

fn need(word: &str) -> Result<&'static str> {
    let known = NEEDS.into_iter().find(|need| *need == word);
    known.ok_or_else(|| unknown("requirement", word, &NEEDS))
}

fn unknown(what: &str, word: &str, known: &[&str]) -> Error {
    let hint = match nearest(word, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("the {what}s are {}", known.join(", ")),
    };
    Error::new(format!("unknown {what} `{word}`")).hint(hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Result<Header, &str>) {
        let got = Header::parse(Kind::Test, text, "x").map_err(|error| error.to_string());
        assert_eq!(got, expected.map_err(str::to_owned), "{text:?}");
    }

    #[test]
    fn headers() {
        let plain = Header::default();
        check("", Ok(plain.clone()));
        check("#!/bin/sh\n# about orca: nothing\nset -eu\n# orca: cpus=2\n", Ok(plain.clone()));
        check(
            "#!/bin/sh\n\n# what it tests\n# orca: memory=1G cpus=2\n#orca: timeout=5m retries=1\n",
            Ok(Header {
                timeout: Some(Duration::from_secs(300)),
                memory_mib: Some(1024),
                cpus: Some(2),
                retries: Some(1),
                ..plain
            }),
        );
        check(
            "# orca: memory=lots",
            Err(
                "`x` line 1: `memory` takes an amount of memory such as 512M or 2G, at least 64M, \
                 not `lots`",
            ),
        );
        check("#!/bin/sh\n# orca: timout=1s", Err("`x` line 2: unknown key `timout`"));
        check("# orca: cpus", Err("`x` line 1: `cpus` takes a number from 1 to 64, not ``"));
    }

    #[test]
    fn every_key_of_the_list_is_known() {
        for key in KEYS {
            let error = Draft::default().set(&format!("{key}=?"), 1).err();
            let text = error.map(|error| error.to_string()).unwrap_or_default();
            assert!(!text.starts_with("unknown key"), "{text}");
        }
    }

    #[test]
    fn words_switches_and_quarantine() {
        let text = "# orca: tags=slow,net exclusive net=user\n# orca: requires=kvm tags=dns\n\
                    # orca: until=2027-01-31 flaky=\"two races\"\n";
        let quarantine =
            Quarantine { reason: "two races".to_owned(), until: Day::parse("2027-01-31").unwrap() };
        check(
            text,
            Ok(Header {
                tags: ["slow", "net", "dns"].map(str::to_owned).to_vec(),
                exclusive: true,
                net: Some(true),
                requires: vec!["kvm"],
                quarantine: Some(quarantine),
                ..Header::default()
            }),
        );
    }

    #[test]
    fn every_mistake_has_its_line() {
        let check = |line: &str, why: &str, hint: Option<&str>| {
            let text = format!("#!/bin/sh\n# orca: {line}\n");
            let error = Header::parse(Kind::Test, &text, "x").unwrap_err();
            assert_eq!(error.to_string(), format!("`x` line 2: {why}"));
            assert_eq!(error.next_step(), hint, "{line}");
        };
        let words = "words with commas between them, such as a,b";
        check("tags=", &format!("`tags` takes {words}, not ``"), None);
        check("tags=a,,b", &format!("`tags` takes {words}, not `a,,b`"), None);
        check("exclusive=yes", "`exclusive` takes no value, not `yes`", None);
        check("exclusiv", "unknown key `exclusiv`", Some("did you mean `exclusive`?"));
        check("net=tap", "`net` takes one of none, user, not `tap`", None);
        check("requires=kvn", "unknown requirement `kvn`", Some("did you mean `kvm`?"));
        let end = "say until when, such as until=2027-01-31";
        check("flaky=\"a race\"", "`flaky` needs an end", Some(end));
        let why = "say why as well, such as flaky=\"a race\"";
        check("until=2027-01-31", "`until` belongs to `flaky`", Some(why));
        let day = "`until` takes a day such as 2027-01-31, not `2027-02-30`";
        check("flaky=x until=2027-02-30", day, None);
        let quote = "put a value with spaces between two `\"`";
        check("flaky=\"a race until=2027-01-31", "a quote is not closed", Some(quote));
    }

    #[test]
    fn set_ups_and_tests_have_keys_of_their_own() {
        let parse = |kind, line: &str| {
            Header::parse(kind, &format!("# orca: {line}\n"), "x").map_err(|e| e.to_string())
        };
        let good = parse(Kind::SetUp, "timeout=5m memory=1G requires=vm cache=src/**,Makefile");
        let header = good.unwrap();
        assert_eq!(header.cache, ["src/**", "Makefile"]);
        assert_eq!((header.memory_mib, header.requires), (Some(1024), vec!["vm"]));
        for key in FOR_TESTS {
            let why = format!("`x` line 1: `{key}` makes no sense in a set-up");
            assert_eq!(parse(Kind::SetUp, &format!("{key}=a")), Err(why));
        }
        let why = "`x` line 1: `cache` makes no sense in a test";
        assert_eq!(parse(Kind::Test, "cache=src"), Err(why.to_owned()));
        for odd in ["", "a,,b", "/etc/hosts", "a/../../b", ".."] {
            let error = parse(Kind::SetUp, &format!("cache={odd}")).unwrap_err();
            assert!(error.contains("`cache` takes patterns of files in the project"), "{error}");
        }
    }
}
