//! The tally of one document: the stream itself, or a subtest in it.

use crate::fault::{FaultKind, Faults};
use crate::line::{self, Directive, Number, PlanLine, Point, Version};
use crate::numbers::{Insert, Numbers};
use crate::suite::{Failure, Plan, fault_reasons};
use crate::text::{clip, trim, unescape};
use std::collections::BTreeSet;

/// Numbers read of a plan's `todo` list.
const TODO_LIST_MAX: usize = 10_000;
/// Digits read of a plan's number; more cannot change its text.
const PLAN_DIGITS_MAX: usize = 300;
/// Bytes kept of a skip-all or bail-out reason.
pub(crate) const REASON_BYTES_MAX: usize = 4096;

/// The counts, faults and failures of one document so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Document {
    pub(crate) version: Version,
    pub(crate) name: String,
    pub(crate) plan: Option<Plan>,
    pub(crate) skip_all: Option<String>,
    pub(crate) run: u64,
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) skipped: u64,
    pub(crate) todo: u64,
    pub(crate) todo_passed: u64,
    pub(crate) unplanned: u64,
    pub(crate) faults: Faults,
    pub(crate) failures: Vec<Failure>,
    pub(crate) failed_numbers: Numbers,
    pub(crate) todo_passed_numbers: Numbers,
    pub(crate) strict: bool,
    /// The last point is the last of `failures`, and the diagnostics that follow are about it.
    pub(crate) explains: bool,
    /// The last point's number and line.
    pub(crate) last: (u64, u64),
    /// Points seen when the last YAML block ended.
    pub(crate) yaml_after: u64,
    /// The last point began a buffered subtest that has not ended.
    pub(crate) braced: bool,
    /// Numbers seen in a version 14 document; empty as long as they are simply 1, 2, 3.
    seen: Numbers,
    /// Points up to this one may be plain: they are within the plan or before it, and nothing is
    /// strict.
    plain_until: u64,
    plan_todo: BTreeSet<u64>,
    /// The plan came after points: a point after the plan is a fault, reported once.
    closed: bool,
}

/// A subtest that has ended, as the point it belongs to needs it.
#[derive(Clone, Debug)]
pub(crate) struct Child {
    pub(crate) name: String,
    pub(crate) failing: bool,
    pub(crate) all_skipped: bool,
    pub(crate) reasons: Vec<String>,
    pub(crate) failures: Vec<Failure>,
}

/// How a point counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Judged {
    pub(crate) number: u64,
    pub(crate) passes: bool,
}

impl Document {
    pub(crate) fn new(version: Version) -> Self {
        Self { version, plain_until: u64::MAX, ..Self::default() }
    }

    /// Counts a point if it is plain, and returns whether it was. A plain point passed, has no
    /// directive and has the number that was due; before `plain_until` none of the other cases in
    /// [`Self::point`] can apply.
    #[inline(always)]
    pub(crate) fn plain_point(&mut self, at: u64, point: &Point<'_>) -> bool {
        let due = self.run + 1;
        let plain = point.ok
            && point.directive.is_none()
            && point.number.is_some_and(|n| n.value == due)
            && self.run < self.plain_until;
        if plain {
            self.run = due;
            self.passed += 1;
            self.last = (due, at);
            self.explains = false;
            self.braced = point.opens;
        }
        plain
    }

    /// Counts a point. `child` is the subtest that came before it, if any.
    #[inline(never)]
    pub(crate) fn point(&mut self, at: u64, point: &Point<'_>, child: Option<&Child>) -> Judged {
        self.leave_plain();
        self.run += 1;
        let number = match point.number {
            Some(number) => {
                self.check_number(at, number);
                number.value
            }
            None => self.run,
        };
        if self.closed {
            self.closed = false;
            let plan = self.plan.as_ref().map(|p| p.text.clone()).unwrap_or_default();
            self.faults.add(at, FaultKind::PlanInside(plan));
        }
        let excused = point.directive.is_some() || child.is_some() || !self.plan_todo.is_empty();
        let passes = if excused { self.excuse(point, number, child) } else { point.ok };
        if passes {
            self.passed += 1;
        } else {
            self.failed += 1;
        }
        let unplanned = self.plan.as_ref().is_some_and(|plan| self.run > plan.count);
        self.unplanned += u64::from(unplanned && passes);
        if unplanned || !passes {
            self.failed_numbers.insert(number);
        }
        self.last = (number, at);
        self.explains = false;
        self.braced = point.opens;
        Judged { number, passes }
    }

    /// Called at the first point that is not plain: from there on version 14 remembers all numbers,
    /// those of the plain points included, because it allows them in any order.
    fn leave_plain(&mut self) {
        if self.version == Version::Tap14 && self.plain_until > 0 {
            self.plain_until = 0;
            self.seen.insert_first(self.run);
        }
    }

    /// Whether a point passes, given its directive and its subtest. Counts skipped and to-do
    /// points.
    fn excuse(&mut self, point: &Point<'_>, number: u64, child: Option<&Child>) -> bool {
        let mut directive = point.directive.map(|d| d.0);
        if point.number.is_some() && self.plan_todo.remove(&number) {
            directive = Some(Directive::Todo);
        }
        let ktap = self.version == Version::Ktap1;
        let child = child.filter(|_| ktap);
        if directive.is_none() && point.ok && child.is_some_and(|c| c.all_skipped) {
            directive = Some(Directive::Skip);
        }
        let ok = point.ok && !child.is_some_and(|c| c.failing);
        match directive {
            Some(Directive::Skip) => {
                self.skipped += 1;
                ok || self.version == Version::Tap14
            }
            Some(Directive::Todo | Directive::Xfail) => {
                self.todo += 1;
                if ok {
                    self.todo_passed += 1;
                    self.todo_passed_numbers.insert(number);
                }
                true
            }
            Some(Directive::Timeout | Directive::Error) => false,
            None => ok,
        }
    }

    #[inline]
    fn check_number(&mut self, at: u64, number: Number) {
        if self.version != Version::Tap14 {
            if number.value != self.run || number.overflow {
                let kind = FaultKind::OutOfSequence { found: number.value, expected: self.run };
                self.faults.add(at, kind);
            }
            return;
        }
        let value = number.value;
        let planned = self.plan.as_ref().map(|p| p.count);
        if value == 0 || number.overflow || planned.is_some_and(|count| value > count) {
            self.faults.add(at, FaultKind::OutOfPlan(value));
        }
        match self.seen.insert(value) {
            Insert::New => {}
            Insert::Present => self.faults.add(at, FaultKind::Duplicate(value)),
            Insert::Full => self.faults.add(at, FaultKind::TooScattered),
        }
    }

    pub(crate) fn plan(&mut self, at: u64, line: &PlanLine<'_>) {
        self.explains = false;
        if self.plan.is_some() {
            self.faults.add(at, FaultKind::PlanRepeated);
            return;
        }
        let count = line.count.value;
        self.plan = Some(Plan { count, text: plan_text(line), line: at });
        self.closed = self.run > 0;
        let special = self.closed || !trim(line.todo).is_empty();
        if special {
            self.leave_plain();
        }
        self.plain_until = if special { 0 } else { self.plain_until.min(count) };
        if count == 0 {
            self.skip_all = Some(clip(&unescape(line.reason), REASON_BYTES_MAX));
        }
        self.plan_todo.extend(line::numbers(line.todo).take(TODO_LIST_MAX));
    }

    /// Whether `{` on its own line begins a subtest: only right after the YAML of a point.
    pub(crate) const fn takes_brace(&self) -> bool {
        self.run > 0 && self.yaml_after == self.run
    }

    pub(crate) fn pragma(&mut self, list: &[u8]) {
        for word in list.split(|&b| b == b',') {
            match trim(word) {
                b"+strict" => {
                    self.strict = true;
                    self.leave_plain();
                    self.plain_until = 0;
                }
                b"-strict" => self.strict = false,
                _ => {}
            }
        }
    }

    /// Adds the faults that show only at the end.
    pub(crate) fn finish(&mut self, at: u64) {
        match &self.plan {
            Some(plan) if plan.count != self.run || plan.count == u64::MAX => {
                let kind = FaultKind::BadPlan { planned: plan.text.clone(), ran: self.run };
                self.faults.add(at, kind);
            }
            None if self.version == Version::Ktap1 && self.run == 0 => {
                self.faults.add(at, FaultKind::NoTests);
            }
            None if self.version != Version::Ktap1 => self.faults.add(at, FaultKind::NoPlan),
            _ => {}
        }
        if let (Some(plan), Some(max)) = (&self.plan, self.seen.max())
            && self.faults.total == 0
            && max > plan.count
        {
            self.faults.add(at, FaultKind::OutOfPlan(max));
        }
    }

    /// Ends a subtest.
    pub(crate) fn into_child(mut self, at: u64) -> Child {
        let empty = self.run == 0 && self.plan.is_none();
        if !empty {
            self.finish(at);
        }
        let mut reasons = fault_reasons(&self.faults.list, self.faults.total);
        let shown = self.failures.len() as u64;
        if self.failed > shown {
            reasons.push(format!("{} more failing points", self.failed - shown));
        }
        let skip_plan = self.skip_all.is_some() && self.run == 0;
        Child {
            name: self.name,
            failing: self.failed > 0 || self.faults.total > 0,
            all_skipped: skip_plan || (self.run > 0 && self.skipped == self.run),
            reasons,
            failures: self.failures,
        }
    }
}

/// N of a plan in plain decimal: exact up to 64 bits, to the precision of a double beyond.
fn plan_text(line: &PlanLine<'_>) -> String {
    if !line.count.overflow {
        return line.count.value.to_string();
    }
    let digits = &line.digits[..line.digits.len().min(PLAN_DIGITS_MAX)];
    let number: f64 = std::str::from_utf8(digits).ok().and_then(|d| d.parse().ok()).unwrap_or(0.0);
    format!("{number:.0}")
}
