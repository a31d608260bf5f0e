//! The test points of one attempt, collected while its output is read; bounded, for reports to
//! list. TAP's word is point; the user's word, in reports and help, is check.

use std::borrow::Cow;
use std::collections::BTreeMap;
use tap::text::describe;
use tap::{Directive, Failure, Item, Kind, Progress, Suite};

/// The most points that are kept of one attempt; all are counted.
pub const POINTS_MAX: usize = 10_000;
/// The most bytes of text that are kept of one point.
const TEXT_BYTES: usize = 1024;
/// The most bytes of text that are kept of one attempt's points.
const TOTAL_BYTES: usize = 1 << 20;

/// One point at the top level of a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Point {
    /// Its number, or its position if it had none.
    pub number: u64,
    /// Its line in the output, from 1.
    pub line: u64,
    /// Whether its line begins with `ok`, not `not ok`.
    pub ok: bool,
    /// Whether it counts as passed.
    pub passed: bool,
    /// Unescaped, without the dash.
    pub description: String,
    /// The directive and its reason.
    pub directive: Option<(Directive, String)>,
}

/// A point, and its failure if it failed.
pub type WithFailure<'a> = (Cow<'a, Point>, Option<&'a Failure>);

impl Point {
    /// Whether it is written as `ok` in a new document. A `TODO` point keeps its own word; any
    /// other is `ok` if it counts as passed.
    pub fn is_ok(&self) -> bool {
        match self.directive {
            Some((Directive::Todo | Directive::Xfail, _)) => self.ok,
            _ => self.passed,
        }
    }
}

/// Points in the order in which they came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Points {
    /// The first points, bounded in number and size.
    pub list: Vec<Point>,
    /// How many points came after those in `list`.
    pub left_out: u64,
    failed: u64,
    bytes: usize,
}

impl Points {
    /// Points that were collected earlier, such as those of a report.
    pub fn from_parts(list: Vec<Point>, left_out: u64) -> Self {
        Self { list, left_out, ..Self::default() }
    }

    /// Takes an item and the progress after it, as [`tap::Collector::feed_with`] gives them.
    pub fn item(&mut self, item: &Item<'_>, progress: Progress) {
        let Kind::Point(point) = item.kind else { return };
        if item.depth > 0 {
            return;
        }
        let passed = progress.failed <= self.failed;
        self.failed = progress.failed;
        if self.list.len() >= POINTS_MAX || self.bytes >= TOTAL_BYTES {
            self.left_out += 1;
            return;
        }
        let description = describe(point.description, TEXT_BYTES);
        let directive = point.directive.map(|(word, why)| (word, describe(why, TEXT_BYTES)));
        self.bytes += description.len() + directive.as_ref().map_or(0, |(_, why)| why.len());
        let number = point.number.map_or(progress.run, |number| number.value);
        let (line, ok) = (item.line, point.ok);
        self.list.push(Point { number, line, ok, passed, description, directive });
    }

    /// Every known point in order, each with its failure if it failed: those in `list`, then the
    /// failures among those left out.
    pub fn with_failures<'a>(&'a self, suite: &'a Suite) -> Vec<WithFailure<'a>> {
        let mut failures: BTreeMap<u64, &Failure> =
            suite.failures.iter().map(|failure| (failure.line, failure)).collect();
        let mut out: Vec<_> = self
            .list
            .iter()
            .map(|point| {
                (Cow::Borrowed(point), failures.remove(&point.line).filter(|_| !point.passed))
            })
            .collect();
        out.extend(failures.into_values().map(|failure| {
            let point = Point {
                number: failure.number,
                line: failure.line,
                ok: false,
                passed: false,
                description: failure.description.clone(),
                directive: failure.directive.clone(),
            };
            (Cow::Owned(point), Some(failure))
        }));
        out
    }

    /// How many points [`Points::with_failures`] leaves out.
    pub fn unlisted(&self, suite: &Suite) -> u64 {
        let last = self.list.last().map_or(0, |point| point.line);
        let beyond = suite.failures.iter().filter(|failure| failure.line > last).count();
        self.left_out.saturating_sub(beyond as u64)
    }
}

/// A directive as TAP writes it.
pub fn word(directive: Directive) -> &'static str {
    match directive {
        Directive::Skip => "SKIP",
        Directive::Todo => "TODO",
        Directive::Xfail => "XFAIL",
        Directive::Timeout => "TIMEOUT",
        Directive::Error => "ERROR",
    }
}

/// The directive that [`word`] calls `name`.
pub fn from_word(name: &str) -> Option<Directive> {
    use Directive::{Error, Skip, Timeout, Todo, Xfail};
    [Skip, Todo, Xfail, Timeout, Error].into_iter().find(|directive| word(*directive) == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tap::{Collector, ExitStatus};

    fn read(stream: &[u8]) -> (Points, Suite) {
        let (mut points, mut collector) = (Points::default(), Collector::default());
        collector.feed_with(stream, &mut |item, progress| points.item(item, progress));
        let suite = collector
            .finish_with(ExitStatus::SUCCESS, &mut |item, progress| points.item(item, progress));
        (points, suite)
    }

    #[test]
    fn points_are_collected_with_their_results() {
        let (points, suite) = read(
            b"1..4\nok 1 - a\nnot ok 2 - b\n# why\nok - c # SKIP no \\# tool\n\
              not ok 4 # TODO later",
        );
        let said: Vec<(u64, bool, &str)> =
            points.list.iter().map(|p| (p.number, p.passed, p.description.as_str())).collect();
        assert_eq!(said, [(1, true, "a"), (2, false, "b"), (3, true, "c"), (4, true, "")]);
        assert_eq!(points.list[2].directive, Some((Directive::Skip, "no # tool".into())));
        let joined = points.with_failures(&suite);
        assert_eq!(joined[1].1.unwrap().comments, ["why"]);
        assert!(joined[0].1.is_none() && joined.len() == 4);
    }

    #[test]
    fn a_flood_is_bounded_and_its_failures_are_kept() {
        let mut stream: Vec<u8> = b"ok\n".repeat(POINTS_MAX + 5);
        stream.extend_from_slice(b"not ok - the last\n");
        let (points, suite) = read(&stream);
        assert_eq!((points.list.len(), points.left_out), (POINTS_MAX, 6));
        assert_eq!(points.unlisted(&suite), 5);
        let joined = points.with_failures(&suite);
        assert_eq!(joined.last().unwrap().0.description, "the last");
    }

    #[test]
    fn directives_have_words() {
        use Directive::{Error, Skip, Timeout, Todo, Xfail};
        // A directive that is missing here does not compile.
        let place = |directive| match directive {
            Skip => 0,
            Todo => 1,
            Xfail => 2,
            Timeout => 3,
            Error => 4,
        };
        for (at, directive) in [Skip, Todo, Xfail, Timeout, Error].into_iter().enumerate() {
            assert_eq!(place(directive), at);
            assert_eq!(from_word(word(directive)), Some(directive));
        }
        assert_eq!(from_word("LATER"), None);
    }
}
