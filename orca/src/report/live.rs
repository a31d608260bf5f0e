//! The part of the screen that is redrawn: a line per busy machine, and how far the run is.
//!
//! Pure: it turns events into lines; [`super::human`] puts them on the terminal.

use super::paint::Paint;
use crate::event::{Event, TestId};
use crate::tally::Tally;
use std::time::{Duration, Instant};

/// What a worker is doing.
#[derive(Debug)]
enum Doing {
    Waiting,
    Booting,
    Testing { test: TestId, path: String, machine: String, points: u64, planned: Option<u64> },
}

/// The workers, as far as events have told.
#[derive(Debug)]
pub(super) struct Live {
    workers: Vec<(Doing, Instant)>,
    total: usize,
    began: Instant,
}

impl Live {
    /// `workers` workers that wait, before `total` tests.
    pub(super) fn new(workers: usize, total: usize) -> Live {
        let now = Instant::now();
        let workers = (0..workers).map(|_| (Doing::Waiting, now)).collect();
        Live { workers, total, began: now }
    }

    /// Follows one event.
    pub(super) fn follow(&mut self, event: &Event) {
        let now = Instant::now();
        match event {
            Event::MachineStarting { worker } => self.set(*worker, Doing::Booting, now),
            Event::MachineReady { worker, .. } => self.set(*worker, Doing::Waiting, now),
            Event::TestStarted { test, path, worker, machine, .. } => {
                let (path, machine) = (path.clone(), machine.clone());
                let doing = Doing::Testing { test: *test, path, machine, points: 0, planned: None };
                self.set(*worker, doing, now);
            }
            Event::TestProgress { test: id, points: seen, planned: plan } => {
                for (doing, _) in &mut self.workers {
                    if let Doing::Testing { test, points, planned, .. } = doing
                        && test == id
                    {
                        (*points, *planned) = (*seen, *plan);
                    }
                }
            }
            Event::TestFinished(attempt) => self.set(attempt.worker, Doing::Waiting, now),
            _ => {}
        }
    }

    fn set(&mut self, worker: usize, doing: Doing, now: Instant) {
        if let Some(slot) = self.workers.get_mut(worker) {
            *slot = (doing, now);
        }
    }

    /// The lines to show on a terminal of `columns` by `rows`.
    pub(super) fn lines(
        &self,
        tally: &Tally,
        columns: usize,
        rows: usize,
        paint: Paint,
    ) -> Vec<String> {
        let room = rows.saturating_sub(4).max(1);
        let mut lines: Vec<String> = Vec::new();
        for (doing, since) in self.workers.iter().take(room) {
            let text = match doing {
                Doing::Waiting => continue,
                Doing::Booting => format!("{:>7} booting a machine", seconds(since.elapsed())),
                Doing::Testing { path, machine, points, planned, .. } => {
                    let of = planned.map(|n| format!("/{n}")).unwrap_or_default();
                    format!("{:>7} {path}  {points}{of}  {machine}", seconds(since.elapsed()))
                }
            };
            lines.push(paint.faint(&fit(&text, columns)));
        }
        lines.push(paint.strong(&fit(&self.summary(tally, columns), columns)));
        lines
    }

    fn summary(&self, tally: &Tally, columns: usize) -> String {
        let done = tally.files();
        let width = columns.saturating_sub(60).min(30);
        let filled = (width * done).checked_div(self.total).unwrap_or(0);
        let bar = if width < 5 {
            String::new()
        } else {
            format!("[{}{}] ", "#".repeat(filled), "-".repeat(width - filled))
        };
        let mut out = format!("{bar}{done}/{} {}", self.total, seconds(self.began.elapsed()));
        for (count, word) in [
            (tally.failed, "failed"),
            (tally.timed_out, "timed out"),
            (tally.errored, "errored"),
            (tally.skipped, "skipped"),
        ] {
            if count > 0 {
                out.push_str(&format!(", {count} {word}"));
            }
        }
        out
    }
}

/// `1.2s`, `75.0s`.
pub(super) fn seconds(time: Duration) -> String {
    format!("{:.1}s", time.as_secs_f64())
}

/// At most `columns` characters, an ellipsis where something is missing.
fn fit(text: &str, columns: usize) -> String {
    let text = super::paint::safe(text);
    if text.chars().count() < columns.max(2) {
        return text;
    }
    let mut out: String = text.chars().take(columns.max(3) - 2).collect();
    out.push('…');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_fits() {
        let paint = Paint { on: false };
        let mut live = Live::new(2, 10);
        live.follow(&Event::MachineStarting { worker: 1 });
        live.follow(&Event::TestStarted {
            test: 3,
            path: "t/".to_owned() + &"x".repeat(300),
            attempt: 1,
            worker: 0,
            machine: "vm1".into(),
        });
        for columns in [1, 10, 40, 80, 200] {
            let lines = live.lines(&Tally::default(), columns, 24, paint);
            assert_eq!(lines.len(), 3);
            for line in lines {
                assert!(line.chars().count() < columns.max(3), "{columns}: {line:?}");
            }
        }
    }

    #[test]
    fn progress_belongs_to_its_test() {
        let paint = Paint { on: false };
        let mut live = Live::new(1, 1);
        live.follow(&Event::TestStarted {
            test: 0,
            path: "t/a_test.sh".into(),
            attempt: 1,
            worker: 0,
            machine: "vm1".into(),
        });
        live.follow(&Event::TestProgress { test: 9, points: 7, planned: None });
        live.follow(&Event::TestProgress { test: 0, points: 3, planned: Some(8) });
        let lines = live.lines(&Tally::default(), 80, 24, paint);
        assert!(lines[0].ends_with("t/a_test.sh  3/8  vm1"), "{lines:?}");
    }
}
