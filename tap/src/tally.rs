//! Counts the points of a stream and collects the diagnostics of each failure.
//!
//! The constants below bound the memory for any stream; the suite says what was left out.

use crate::document::{Child, Document, REASON_BYTES_MAX};
use crate::fault::FaultKind;
use crate::line::{Point, Version};
use crate::marker::Marker;
use crate::parser::{Item, Kind, Standing};
use crate::suite::{ExitStatus, Failure, Suite};
use crate::text::{clip, describe, trim, trim_end, unescape};

/// Failing points kept with their details, subtests included.
pub const FAILURES_MAX: usize = 1000;
/// Bytes of comments and YAML kept for one point.
pub const DIAGNOSTIC_BYTES_MAX: usize = 64 << 10;
/// Bytes of comments and YAML kept for all points together.
pub const TOTAL_DIAGNOSTIC_BYTES_MAX: usize = 4 << 20;
/// Bytes kept of a description.
const DESCRIPTION_BYTES_MAX: usize = 4096;
/// Contradictions kept.
const CONTRADICTIONS_MAX: usize = 100;

/// How far a stream has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Points seen.
    pub run: u64,
    /// Failing points among them.
    pub failed: u64,
    /// Points in the plan, once a plan has been seen.
    pub planned: Option<u64>,
}

/// The open documents, and how much more may be kept.
#[derive(Clone, Debug)]
pub(crate) struct Tally {
    /// The stream itself, and the open subtests below it.
    open: Vec<Document>,
    /// The depth and the name that a `# Subtest:` comment gave to the next subtest.
    announced: Option<(u32, String)>,
    pub(crate) bail: Option<String>,
    pub(crate) past_bail: bool,
    pub(crate) ended: Option<i32>,
    warnings: Vec<String>,
    contradictions: Vec<Failure>,
    lines: u64,
    /// Empty lines at the end of a strict version 13 stream so far; faults, if another line
    /// follows.
    empty_lines: u64,
    failures_left: usize,
    bytes_left: usize,
    /// The depth of the document whose last failure the open YAML block is about.
    yaml: Option<usize>,
}

impl Tally {
    /// An empty tally; `past_bail` as in [`crate::Options`].
    pub(crate) fn new(past_bail: bool) -> Self {
        Self {
            open: vec![Document::new(Version::Tap12)],
            announced: None,
            bail: None,
            past_bail,
            ended: None,
            warnings: Vec::new(),
            contradictions: Vec::new(),
            lines: 0,
            empty_lines: 0,
            failures_left: FAILURES_MAX,
            bytes_left: TOTAL_DIAGNOSTIC_BYTES_MAX,
            yaml: None,
        }
    }

    pub(crate) fn progress(&self) -> Progress {
        let top = &self.open[0];
        let planned = top.plan.as_ref().map(|p| p.count);
        Progress { run: top.run, failed: top.failed, planned }
    }

    #[inline(always)]
    pub(crate) fn item(&mut self, item: &Item<'_>) {
        self.lines = item.line;
        if let Kind::Point(point) = &item.kind
            && item.depth == 0
            && let [top] = &mut self.open[..]
            && top.plain_point(item.line, point)
        {
            return;
        }
        self.other(item);
    }

    #[inline(never)]
    fn other(&mut self, item: &Item<'_>) {
        self.check_strict(item);
        let (line, depth) = (item.line, item.depth as usize);
        match item.kind {
            Kind::Version(version, standing) => self.version(item, version, standing),
            Kind::Plan(plan) => {
                self.reach(depth);
                self.open[depth].plan(line, &plan);
            }
            Kind::Point(point) => self.point(item, &point),
            Kind::Comment(text) => self.comment(depth, text),
            Kind::Subtest(name) => self.announce(item.depth, name),
            Kind::Bail(reason) => {
                self.bail.get_or_insert_with(|| clip(&unescape(reason), REASON_BYTES_MAX));
            }
            Kind::Pragma(list) => {
                self.reach(depth);
                self.open[depth].pragma(list);
            }
            Kind::YamlOpen => self.yaml_open(depth),
            Kind::YamlLine(text) => self.yaml_line(text),
            Kind::YamlClose => {
                self.yaml = None;
                let at = depth.min(self.open.len() - 1);
                self.open[at].yaml_after = self.open[at].run;
            }
            Kind::BraceOpen => {
                if let Some(document) = self.open.get_mut(depth) {
                    document.braced |= document.takes_brace();
                }
            }
            Kind::BraceClose => self.close_brace(depth, line),
            Kind::Marker(Marker::End { exit, .. }) => self.ended = Some(exit),
            Kind::Marker(Marker::Start(_)) | Kind::Blank | Kind::Junk => {}
        }
    }

    /// Under `pragma +strict` a line that is not TAP is a fault. Version 13 has no subtests, and
    /// empty lines only at the end. Version 14 has both, and a subtest inherits the pragma.
    fn check_strict(&mut self, item: &Item<'_>) {
        let depth = (item.depth as usize).min(self.open.len() - 1);
        let inside = self.open.len() > 1 && item.raw.starts_with(b"    ");
        let junk = match item.kind {
            Kind::Junk => true,
            Kind::BraceOpen => !self.open[depth].takes_brace(),
            Kind::BraceClose => !self.open[depth].braced,
            Kind::Blank => !item.raw.is_empty() && !inside,
            _ => false,
        };
        let top = &mut self.open[0];
        if top.strict {
            let old = top.version == Version::Tap13;
            let empty = matches!(item.kind, Kind::Blank) && item.raw.is_empty();
            if old && empty {
                self.empty_lines += 1;
                return;
            }
            for before in (1..=std::mem::take(&mut self.empty_lines)).rev() {
                top.faults.add(item.line - before, FaultKind::unknown(b""));
            }
            if junk || (old && is_foreign_to_13(item)) {
                top.faults.add(item.line, FaultKind::unknown(item.raw));
            }
        } else if junk && depth > 0 && self.open[depth].strict {
            self.open[depth].faults.add(item.line, FaultKind::unknown(item.raw));
        }
    }

    fn version(&mut self, item: &Item<'_>, version: Version, standing: Standing) {
        let depth = item.depth as usize;
        if depth > 0 {
            if version == Version::Ktap1 {
                self.close_to(depth - 1, item.line);
            }
            self.reach(depth);
            return;
        }
        let top = &mut self.open[0];
        top.version = version;
        let digits = || item.raw.iter().filter(|b| b.is_ascii_digit()).map(|&b| b as char);
        match standing {
            Standing::Good => {}
            Standing::Newer => {
                let number: String = digits().take(20).collect();
                self.warnings.push(format!("TAP version {number} is read as version 14"));
            }
            Standing::TooOld => {
                let number = digits().collect::<String>().parse().unwrap_or(0);
                top.faults.add(item.line, FaultKind::VersionTooOld(number));
            }
            Standing::Unreadable => top.faults.add(item.line, FaultKind::VersionUnreadable),
            Standing::Late => top.faults.add(item.line, FaultKind::VersionLate),
        }
    }

    fn point(&mut self, item: &Item<'_>, point: &Point<'_>) {
        let depth = item.depth as usize;
        self.reach(depth);
        if self.open[depth].braced {
            self.close_brace(depth, item.line);
        }
        let child = self.take_child(depth, item.line);
        let judged = self.open[depth].point(item.line, point, child.as_ref());
        if !judged.passes {
            self.record(depth, point, judged.number, item.line, child);
        } else if let Some(child) = child.filter(|c| c.failing) {
            let description = describe(point.description, DESCRIPTION_BYTES_MAX);
            self.contradict(judged.number, item.line, description, child);
        }
    }

    /// Keeps a failing point, while there is room.
    fn record(
        &mut self,
        depth: usize,
        point: &Point<'_>,
        number: u64,
        line: u64,
        child: Option<Child>,
    ) {
        if self.failures_left == 0 {
            return;
        }
        self.failures_left -= 1;
        let (reasons, subtests) = child.map(|c| (c.reasons, c.failures)).unwrap_or_default();
        let reason = |text| clip(&unescape(text), DESCRIPTION_BYTES_MAX);
        let failure = Failure {
            number,
            line,
            description: describe(point.description, DESCRIPTION_BYTES_MAX),
            directive: point.directive.map(|(directive, text)| (directive, reason(text))),
            reasons,
            subtests,
            ..Failure::default()
        };
        let document = &mut self.open[depth];
        document.failures.push(failure);
        document.explains = true;
    }

    fn contradict(&mut self, number: u64, line: u64, description: String, child: Child) {
        if self.contradictions.len() < CONTRADICTIONS_MAX {
            let Child { reasons, failures: subtests, .. } = child;
            let entry =
                Failure { number, line, description, reasons, subtests, ..Default::default() };
            self.contradictions.push(entry);
        }
    }

    /// Opens documents until there is one at `depth`.
    fn reach(&mut self, depth: usize) {
        while self.open.len() <= depth {
            let mut document = Document::new(self.open[0].version);
            let at = u32::try_from(self.open.len()).unwrap_or(u32::MAX);
            if let Some((_, name)) = self.announced.take_if(|(depth, _)| *depth == at) {
                document.name = name;
            }
            self.open.push(document);
        }
    }

    /// Ends the documents deeper than `depth` and returns the outermost of them.
    fn take_child(&mut self, depth: usize, line: u64) -> Option<Child> {
        while self.open.len() > depth + 2 {
            let orphan = self.open.pop().map(|d| d.into_child(line));
            self.orphan(orphan, line);
        }
        (self.open.len() == depth + 2).then(|| self.open.pop().map(|d| d.into_child(line)))?
    }

    fn close_to(&mut self, depth: usize, line: u64) {
        let orphan = self.take_child(depth, line);
        self.orphan(orphan, line);
    }

    /// Notes a failing subtest that has no point of its own.
    fn orphan(&mut self, child: Option<Child>, line: u64) {
        if let Some(child) = child.filter(|c| c.failing) {
            let name = child.name.clone();
            self.contradict(0, line, name, child);
        }
    }

    fn close_brace(&mut self, depth: usize, line: u64) {
        let Some(document) = self.open.get_mut(depth) else { return };
        if !std::mem::take(&mut document.braced) {
            return;
        }
        let Some(child) = self.take_child(depth, line) else { return };
        let document = &mut self.open[depth];
        let (number, at) = document.last;
        if document.explains
            && let Some(failure) = document.failures.last_mut()
        {
            failure.reasons = child.reasons;
            failure.subtests = child.failures;
        } else if child.failing {
            self.contradict(number, at, child.name.clone(), child);
        }
    }

    fn announce(&mut self, depth: u32, name: &[u8]) {
        let own = depth > 0 && self.open.len() <= depth as usize;
        let name = clip(&unescape(name), DESCRIPTION_BYTES_MAX);
        self.announced = Some((if own { depth } else { depth + 1 }, name));
        self.reach(depth as usize);
    }

    fn comment(&mut self, depth: usize, text: &[u8]) {
        let depth = depth.min(self.open.len() - 1);
        if !self.open[depth].explains {
            return;
        }
        let text = trim_end(text.strip_prefix(b" ").unwrap_or(text));
        let Some(failure) = self.open[depth].failures.last_mut() else { return };
        let used: usize = failure.comments.iter().map(String::len).sum();
        if used + text.len() > DIAGNOSTIC_BYTES_MAX || text.len() > self.bytes_left {
            failure.truncated = true;
            return;
        }
        self.bytes_left -= text.len();
        failure.comments.push(String::from_utf8_lossy(text).into_owned());
    }

    fn yaml_open(&mut self, depth: usize) {
        let depth = depth.min(self.open.len() - 1);
        self.yaml = self.open[depth].explains.then_some(depth);
    }

    fn yaml_line(&mut self, text: &[u8]) {
        let Some(depth) = self.yaml else { return };
        let Some(failure) = self.open.get_mut(depth).and_then(|d| d.failures.last_mut()) else {
            return;
        };
        let yaml = failure.yaml.get_or_insert_default();
        if yaml.len() + text.len() > DIAGNOSTIC_BYTES_MAX || text.len() > self.bytes_left {
            failure.truncated = true;
            return;
        }
        self.bytes_left -= text.len();
        yaml.push_str(&String::from_utf8_lossy(if trim(text).is_empty() { b"" } else { text }));
        yaml.push('\n');
    }

    pub(crate) fn into_suite(mut self, exit: ExitStatus) -> Suite {
        let lines = self.lines;
        if self.open[0].braced {
            self.close_brace(0, lines);
        }
        self.close_to(0, lines);
        let mut top = self.open.swap_remove(0);
        if self.bail.is_none() || self.past_bail {
            top.finish(lines);
        }
        Suite {
            version: top.version,
            plan: top.plan,
            run: top.run,
            passed: top.passed,
            failed: top.failed,
            skipped: top.skipped,
            todo: top.todo,
            todo_passed: top.todo_passed,
            unplanned: top.unplanned,
            bail: self.bail,
            skip_all: top.skip_all,
            faults: top.faults.list,
            faults_total: top.faults.total,
            warnings: self.warnings,
            failures: top.failures,
            contradictions: self.contradictions,
            failed_numbers: top.failed_numbers,
            todo_passed_numbers: top.todo_passed_numbers,
            exit,
            lines,
        }
    }
}

/// Whether only version 14 has such a line.
fn is_foreign_to_13(item: &Item<'_>) -> bool {
    let indented = item.raw.first().is_some_and(u8::is_ascii_whitespace);
    match item.kind {
        Kind::Bail(_) | Kind::YamlOpen | Kind::YamlLine(_) | Kind::YamlClose => false,
        Kind::Marker(_) => false,
        Kind::Blank | Kind::BraceOpen | Kind::BraceClose => true,
        _ => indented,
    }
}
