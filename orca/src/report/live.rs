//! The part of the screen that is redrawn: a line per busy machine, and how far the run is.
//!
//! Pure: it turns the [`Progress`] into lines, and [`super::screen`] puts them on the terminal.
//! Every line is narrower than the terminal: after a character in the last column, terminals
//! disagree about where the cursor is.

use super::paint::Paint;
use super::progress::{Doing, Progress, Running};
use super::width::{columns, fit, fit_end};
use super::wording::clock;
use crate::events::tally::Tally;
use std::time::{Duration, Instant};

/// On fewer columns than this, only the time and the path are shown.
const NARROW: usize = 40;
/// The bar's width in columns.
const BAR: std::ops::RangeInclusive<usize> = 10..=40;

/// The lines to show on a terminal of `columns` by `rows`, painted: at most `rows` of them, each
/// narrower than `columns`.
pub(super) fn lines(
    progress: &Progress,
    tally: &Tally,
    (columns, rows): (usize, usize),
    paint: Paint,
    now: Instant,
) -> Vec<String> {
    let width = columns.saturating_sub(1);
    let mut busy: Vec<String> = progress
        .workers
        .iter()
        .filter_map(|(doing, since)| {
            let elapsed = now.saturating_duration_since(*since);
            match doing {
                Doing::Waiting => None,
                Doing::Booting => {
                    let text = format!("{:>6}  making a machine", clock(elapsed));
                    Some(paint.faint(&fit(&text, width)))
                }
                Doing::Testing(running) => Some(test(running, elapsed, width, paint)),
            }
        })
        .collect();
    // The last line of text above stays in sight, if there is any room.
    let room = rows.saturating_sub(2);
    if busy.len() > room {
        let more = busy.len() + 1 - room.max(1);
        busy.truncate(room.saturating_sub(1));
        if room > 0 {
            busy.push(paint.faint(&fit(&format!("        and {more} more"), width)));
        }
    }
    busy.push(paint.strong(&run(progress, tally, width, now)));
    busy
}

/// `    12s  t/30-firewall/nat_test.sh  3/8  vm1`
fn test(running: &Running, elapsed: Duration, width: usize, paint: Paint) -> String {
    let slow = running.is_slow(elapsed);
    let mut behind = String::new();
    let mut add = |text: &str| {
        if !text.is_empty() {
            behind.push_str("  ");
            behind.push_str(text);
        }
    };
    if width >= NARROW {
        add(&running.again);
        add(&running.progress());
        add(&running.machine);
        if slow {
            add(&format!("slow, {} left", clock(running.timeout.saturating_sub(elapsed))));
        }
    }
    let front = if width >= NARROW {
        format!("{:>6}  ", clock(elapsed))
    } else {
        format!("{:>4} ", clock(elapsed))
    };
    let room = width.saturating_sub(columns(&front) + columns(&behind));
    let text = format!("{front}{}{behind}", fit_end(&running.path.replace('\t', " "), room));
    let text = fit(&text, width);
    if slow { paint.warn(&text) } else { paint.faint(&text) }
}

/// `[#####-----] 12/44  1 failed  1m05s  about 2m10s left`, the most important parts first. Where
/// room is short, parts are left out from the end.
fn run(progress: &Progress, tally: &Tally, width: usize, now: Instant) -> String {
    let done = tally.tests();
    let mut parts = vec![match progress.total {
        Some(total) => format!("{done}/{total}"),
        None => format!("{done} done"),
    }];
    let elapsed = clock(now.saturating_duration_since(progress.began));
    let left = progress.left(now).filter(|left| left.as_secs() > 0);
    let left = left.map(|left| format!("about {} left", clock(left)));
    let said = |number: usize, word: &str| (number > 0).then(|| format!("{number} {word}"));
    // In order of importance; they are shown in this order too.
    let wanted = [
        said(tally.failed, "failed"),
        said(tally.timed_out, "timed out"),
        said(tally.errored, "without a verdict"),
        Some(elapsed),
        left,
        said(tally.quarantined, "quarantined"),
        said(tally.skipped, "skipped"),
        said(tally.flaky, "flaky"),
    ];
    let mut used = columns(&parts[0]);
    for part in wanted.into_iter().flatten() {
        if used + 2 + columns(&part) <= width {
            used += 2 + columns(&part);
            parts.push(part);
        }
    }
    let room = width.saturating_sub(used + 3).min(*BAR.end());
    let bar = match progress.total {
        Some(total) if room >= *BAR.start() => bar(done, total, room),
        _ => String::new(),
    };
    fit(&format!("{bar}{}", parts.join("  ")), width)
}

fn bar(done: usize, total: usize, width: usize) -> String {
    let filled = (width * done.min(total)).checked_div(total).unwrap_or(0);
    format!("[{}{}] ", "#".repeat(filled), "-".repeat(width - filled))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::event::Event;
    use crate::report::progress::tests::{begun, start};

    fn begun_run(path: &str, workers: usize) -> (Progress, Instant) {
        let now = Instant::now();
        let mut progress = Progress::new(now);
        progress.follow(&Event::Started(start(10, workers)), now);
        progress.follow(&begun(path, 1), now);
        (progress, now)
    }

    #[test]
    fn every_line_fits_on_any_terminal_with_any_path() {
        let paint = Paint { on: false };
        for path in ["t/a_test.sh", &"t/x".repeat(100), &"t/日本\t".repeat(40)] {
            let (mut progress, now) = begun_run(path, 6);
            for worker in 1..6 {
                progress.follow(&Event::MachineStarting { worker }, now);
            }
            let tally = Tally { failed: 3, timed_out: 1, skipped: 2, ..Tally::default() };
            for width in (1..120).chain([200]) {
                for rows in 1..12 {
                    let lines = lines(&progress, &tally, (width, rows), paint, now);
                    assert!(lines.len() <= rows, "{rows}: {lines:#?}");
                    assert!(lines.iter().all(|line| columns(line) < width), "{width}: {lines:#?}");
                }
            }
        }
    }

    #[test]
    fn what_matters_most_stays_where_room_is_short() {
        let paint = Paint { on: false };
        let (mut progress, now) = begun_run("t/30-firewall/nat_test.sh", 1);
        progress.follow(&Event::TestProgress { test: 0, points: 3, planned: Some(8) }, now);
        let later = now + Duration::from_secs(12);
        let tally = Tally { passed: 4, failed: 1, ..Tally::default() };
        let at = |width| lines(&progress, &tally, (width, 24), paint, later);
        assert_eq!(
            at(80),
            [
                "   12s  t/30-firewall/nat_test.sh  3/8  vm1",
                "[####################--------------------] 5/10  1 failed  12s",
            ]
        );
        assert_eq!(at(20), [" 12s …l/nat_test.sh", "5/10  1 failed  12s"]);
    }

    #[test]
    fn a_slow_test_says_how_much_time_it_has() {
        let (progress, now) = begun_run("t/a_test.sh", 1);
        let later = now + Duration::from_secs(66);
        let lines = lines(&progress, &Tally::default(), (80, 24), Paint { on: false }, later);
        assert_eq!(lines[0], " 1m06s  t/a_test.sh  vm1  slow, 34s left");
    }

    #[test]
    fn a_low_terminal_says_how_many_it_does_not_show() {
        let (mut progress, now) = begun_run("t/a_test.sh", 5);
        for worker in 1..5 {
            progress.follow(&Event::MachineStarting { worker }, now);
        }
        let lines = lines(&progress, &Tally::default(), (80, 5), Paint { on: false }, now);
        assert_eq!(lines.len(), 4);
        assert_eq!(lines[2].trim(), "and 3 more");
    }
}
