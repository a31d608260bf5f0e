//! Chooses which lines of a test are shown, and formats them.

use super::settings::{Show, Verbosity};
use crate::line::{Directive, Point};
use crate::parser::{Item, Kind};
use crate::tally::Progress;

/// Colour of failing points and of text about failures.
pub(super) const RED: &str = "\x1b[31m";
/// Colour of tests that passed.
pub(super) const GREEN: &str = "\x1b[32m";
/// Colour of an expected failure.
const YELLOW: &str = "\x1b[33m";
/// Colours of a skipped point.
const SKIPPED: &str = "\x1b[37m\x1b[44m";
/// Ends a colour.
pub(super) const RESET: &str = "\x1b[0m";

/// Chooses and formats the lines of one test.
#[derive(Debug)]
pub(super) struct Lines {
    show: Show,
    seen: Progress,
    /// A bail out has been seen; what follows is counted but not shown.
    stopped: bool,
}

impl Lines {
    pub(super) fn new(show: Show) -> Self {
        Self { show, seen: Progress::default(), stopped: false }
    }

    /// Whether `show` can ask for any line at all.
    pub(super) const fn wanted(show: &Show) -> bool {
        match show.verbosity {
            Verbosity::Verbose => true,
            Verbosity::Normal => show.failures || show.comments || show.directives,
            _ => false,
        }
    }

    /// Adds `item` to `out` if it is to be shown; `progress` has counted it already.
    pub(super) fn item(&mut self, item: &Item<'_>, progress: Progress, out: &mut Vec<u8>) {
        let failed = progress.failed > self.seen.failed;
        self.seen = progress;
        let point = match item.kind {
            Kind::Point(point) if item.depth == 0 => Some(point),
            _ => None,
        };
        let unplanned = progress.planned.is_some_and(|planned| progress.run > planned);
        let bad = point.is_some() && (failed || unplanned);
        let directive = point.and_then(|p| p.directive).map(|d| d.0);
        let comment = matches!(item.kind, Kind::Comment(_) | Kind::Subtest(_));
        let plain = self.show.verbosity == Verbosity::Verbose
            || (self.show.failures && bad)
            || (self.show.comments && comment && item.raw.starts_with(b"#"))
            || (self.show.directives && directive.is_some());
        let stopped = self.stopped;
        let bail = matches!(item.kind, Kind::Bail(_));
        self.stopped |= bail;
        if !plain || stopped || (bail && !self.shows_bail()) {
            return;
        }
        let color = match directive {
            _ if !self.show.color => "",
            _ if bad => RED,
            Some(Directive::Skip) => SKIPPED,
            Some(_) => YELLOW,
            None => "",
        };
        out.extend_from_slice(color.as_bytes());
        match point {
            Some(point) if self.show.normalize => normalize(&point, progress.run, out),
            _ => out.extend_from_slice(item.raw),
        }
        if self.show.color {
            out.extend_from_slice(RESET.as_bytes());
        }
        out.push(b'\n');
    }

    /// Perl's console shows a bail out line among the others; its plain output does not.
    const fn shows_bail(&self) -> bool {
        self.show.terminal
    }
}

fn normalize(point: &Point<'_>, position: u64, out: &mut Vec<u8>) {
    let number = point.number.map_or(position, |n| n.value);
    out.extend_from_slice(if point.ok { b"ok " } else { b"not ok " });
    out.extend_from_slice(number.to_string().as_bytes());
    let description = crate::text::trim(point.description);
    if !description.is_empty() {
        out.push(b' ');
        out.extend_from_slice(description);
    }
    if let Some((directive, reason)) = point.directive {
        out.extend_from_slice(
            format!(" # {} ", format!("{directive:?}").to_uppercase()).as_bytes(),
        );
        out.extend_from_slice(reason);
    }
}
