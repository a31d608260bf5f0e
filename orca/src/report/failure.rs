//! The block about a test that is not good: which checks failed, what they said, where the log is,
//! how to run the test again.

use super::file;
use super::paint::{Paint, safe, safe_lines};
use super::width::fit;
use super::wording::{seconds, timeout};
use crate::events::attempt::{Attempt, Outcome};
use crate::text::quote::{self, shell_word};
use std::path::Path;

/// Failing checks shown at each level; the log has all.
const POINTS_SHOWN: usize = 20;
/// Lines of diagnostics shown per check, of standard error and of output.
const LINES_SHOWN: usize = 20;
/// Lines shown of a console: a kernel's last lines include a call trace.
const CONSOLE_SHOWN: usize = 40;
/// How deep into subtests failures are shown.
const DEPTH_SHOWN: usize = 4;
/// Lines shown of all checks together.
const ALL_LINES_SHOWN: usize = 200;
/// Columns shown of a line.
const COLUMNS_SHOWN: usize = 500;
/// The bytes at the end of a log in which its last lines are looked for.
const LOG_TAIL: u64 = 4096;

/// The block for `attempt`, in whole lines. `again` is the command that runs just that test again.
pub(super) fn block(attempt: &Attempt, again: Option<&str>, paint: Paint) -> String {
    let mut out = Block { out: String::new(), left: usize::MAX, paint };
    out.heading(attempt);
    out.reasons(attempt);
    out.points(attempt);
    out.said(attempt);
    if attempt.complaints.lines.is_empty() {
        out.tail("kernel", &attempt.console, CONSOLE_SHOWN);
    } else {
        out.kernel(&attempt.complaints.lines);
    }
    if let Outcome::Errored(trouble) = &attempt.outcome {
        out.tail("console", &trouble.console.to_string(), CONSOLE_SHOWN);
    }
    for note in &attempt.notes {
        out.line(&format!("note:  {}", safe(note)));
    }
    if let Some(dir) = &attempt.dir {
        out.line(&format!("log:   {}", quote::line(&quote::path(&dir.join("output.log")))));
    }
    let again = again.map_or_else(|| default_command(attempt), safe);
    out.out.push_str(&format!("  again: {again}\n"));
    out.out
}

/// The command that runs the test again, if the caller does not know one.
fn default_command(attempt: &Attempt) -> String {
    let suffix = attempt.kernel.as_ref().map(|kernel| kernel.name("")).unwrap_or_default();
    let path = attempt.path.strip_suffix(&suffix).unwrap_or(&attempt.path);
    let folder = attempt.file().rsplit_once('/').map_or(path, |(folder, _)| folder);
    let path = if attempt.is_setup() { folder } else { path };
    format!("orca test {}", shell_word(quote::line(path).as_bytes()))
}

/// A block that is being written.
struct Block {
    out: String,
    /// How many more lines the block may get.
    left: usize,
    paint: Paint,
}

impl Block {
    fn line(&mut self, text: &str) {
        if self.left > 0 {
            self.left -= 1;
            self.out.push_str("  ");
            self.out.push_str(text);
            self.out.push('\n');
        }
    }

    fn heading(&mut self, attempt: &Attempt) {
        let mut text = format!("--- {} {}", attempt.word(), safe(&attempt.path));
        if let Some(machine) = &attempt.machine {
            text.push_str(&format!(" on {}", safe(machine)));
        }
        text.push_str(&format!(" after {}", seconds(attempt.timing.test)));
        for (word, number) in [("round", attempt.round), ("attempt", attempt.attempt)] {
            if number > 1 {
                text.push_str(&format!(", {word} {number}"));
            }
        }
        let text =
            if attempt.is_excused() { self.paint.warn(&text) } else { self.paint.bad(&text) };
        self.out.push_str(&text);
        self.out.push('\n');
    }

    fn reasons(&mut self, attempt: &Attempt) {
        if let Some(why) = attempt.quarantined.as_ref().filter(|_| attempt.is_excused()) {
            self.line(&format!("in quarantine, does not count: {}", safe(why)));
        }
        match &attempt.outcome {
            Outcome::TimedOut { silence } => self.line(timeout(*silence)),
            Outcome::Errored(trouble) => self.line(&safe(&trouble.to_string())),
            _ => attempt.reasons.iter().for_each(|why| self.line(&cut(why))),
        }
        // With other reasons it is an early end that kept the test from printing its plan.
        let no_plan = [tap::FaultKind::NoPlan.to_string()];
        if attempt.outcome == Outcome::Failed && attempt.reasons == no_plan {
            self.line("hint:  print `1..N` before the first check or after the last");
        }
    }

    fn points(&mut self, attempt: &Attempt) {
        self.left = ALL_LINES_SHOWN;
        self.failures(&attempt.suite.failures, 0);
        for point in attempt.suite.contradictions.iter().take(POINTS_SHOWN) {
            self.line("passed, although its subtest failed:");
            self.point(point, 0);
        }
        let all = self.left > 0;
        self.left = usize::MAX;
        if !all {
            self.line("and more: the log has all");
        }
    }

    fn failures(&mut self, failures: &[tap::Failure], depth: usize) {
        for point in failures.iter().take(POINTS_SHOWN) {
            self.point(point, depth);
        }
        if failures.len() > POINTS_SHOWN {
            let indent = "    ".repeat(depth);
            self.line(&format!("{indent}and {} more", failures.len() - POINTS_SHOWN));
        }
    }

    fn point(&mut self, point: &tap::Failure, depth: usize) {
        let indent = "    ".repeat(depth);
        let mut text = format!("not ok {}", point.number);
        if !point.description.is_empty() {
            text.push_str(" - ");
            text.push_str(&cut(&point.description));
        }
        let text = self.paint.bad(&text);
        self.line(&format!("{indent}{text}"));
        let said = point.reasons.iter().chain(&point.comments).chain(&point.yaml);
        let lines: Vec<&str> = said.flat_map(|text| text.lines()).collect();
        for line in lines.iter().take(LINES_SHOWN) {
            self.line(&format!("{indent}    {}", cut(line)));
        }
        if lines.len() > LINES_SHOWN {
            self.line(&format!("{indent}    and {} more lines", lines.len() - LINES_SHOWN));
        }
        if depth < DEPTH_SHOWN {
            self.failures(&point.subtests, depth + 1);
        }
    }

    /// The test's last output if no check says what is wrong, else its standard error. A set-up
    /// rarely has checks.
    fn said(&mut self, attempt: &Attempt) {
        let explained = !attempt.suite.failures.is_empty();
        let wanted = match attempt.outcome {
            Outcome::TimedOut { .. } => true,
            Outcome::Failed => !explained || attempt.is_setup(),
            _ => false,
        };
        let dir = attempt.dir.as_ref().filter(|_| wanted);
        let output = dir.and_then(|dir| last_lines(&dir.join("output.log"))).unwrap_or_default();
        if output.is_empty() {
            self.tail("stderr", &attempt.stderr_tail, LINES_SHOWN);
        } else {
            self.tail("output", &output, LINES_SHOWN);
        }
    }

    fn tail(&mut self, name: &str, text: &str, most: usize) {
        if text.trim().is_empty() {
            return;
        }
        self.line(&format!("{name}:"));
        let lines: Vec<String> = safe_lines(text.trim_end()).collect();
        for line in &lines[lines.len().saturating_sub(most)..] {
            self.line(&format!("  | {}", fit(line, COLUMNS_SHOWN)));
        }
    }

    /// The first lines of the kernel's complaints, because those matter most.
    fn kernel(&mut self, lines: &[String]) {
        let lines: Vec<&String> = lines.iter().filter(|line| !is_dump(line)).collect();
        if lines.is_empty() {
            return;
        }
        self.line("kernel:");
        for line in lines.iter().take(LINES_SHOWN) {
            self.line(&format!("  | {}", cut(line)));
        }
    }
}

fn cut(text: &str) -> String {
    fit(&safe(text), COLUMNS_SHOWN)
}

/// The last whole lines of a log; `None` if there is no log.
fn last_lines(path: &Path) -> Option<String> {
    let (from, bytes) = file::tail(path, LOG_TAIL).ok()?;
    let whole = if from == 0 { 0 } else { bytes.iter().position(|b| *b == b'\n')? + 1 };
    Some(String::from_utf8_lossy(&bytes[whole..]).into_owned())
}

/// Whether a line of the kernel is a dump of registers, code or modules, which tells a person
/// nothing.
fn is_dump(line: &str) -> bool {
    let word = line.split(':').next().unwrap_or_default();
    let is_register = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit();
    match word {
        "CPU" | "RIP" => false,
        "Code" | "Hardware name" | "Modules linked in" => true,
        _ => word.len() <= 4 && line.len() > word.len() && word.chars().all(is_register),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(stream: &[u8]) -> Attempt {
        let mut collector = tap::Collector::default();
        collector.feed(stream);
        let suite = collector.finish(tap::ExitStatus::Code(1));
        Attempt {
            outcome: Outcome::Failed,
            reasons: suite.reasons(),
            suite,
            machine: Some("vm7".into()),
            ..Attempt::not_run(0, "t/it's_test.sh".into(), 1)
        }
    }

    #[test]
    fn a_block_says_everything_a_person_needs() {
        let mut attempt = failed(b"1..2\nok 1\nnot ok 2 - up\n# got: 0\n  ---\n  a: 1\n  ...\n");
        attempt.stderr_tail = "oh\x1b[2J\n".into();
        attempt.console = "[ 1.0] BUG: soft\n".into();
        attempt.dir = Some("/logs/t/x".into());
        attempt.notes = vec!["left behind: sleep".into()];
        let text = block(&attempt, None, Paint { on: false });
        assert_eq!(
            text,
            "--- FAIL t/it's_test.sh on vm7 after 0.0s\n  failed 1 of 2 points\n  exit status 1\n  \
             not ok 2 - up\n      got: 0\n      a: 1\n  stderr:\n    | oh\u{fffd}[2J\n  kernel:\n  \
             \x20 | [ 1.0] BUG: soft\n  note:  left behind: sleep\n  log:   /logs/t/x/output.log\n\
             \x20 again: orca test 't/it'\\''s_test.sh'\n"
        );
        let text = block(&attempt, Some("orca test -C x y"), Paint { on: false });
        assert!(text.ends_with("again: orca test -C x y\n"), "{text}");
    }

    #[test]
    fn a_block_is_bounded_and_still_says_how_to_run_it_again() {
        let mut stream = String::from("1..300\n");
        for n in 1..=300 {
            stream.push_str(&format!("not ok {n} - {}\n", "x".repeat(5000)));
            stream.push_str(&"# said\n".repeat(50));
        }
        let text = block(&failed(stream.as_bytes()), None, Paint { on: false });
        assert!(text.lines().count() < ALL_LINES_SHOWN + 20, "{}", text.lines().count());
        assert!(text.lines().all(|line| line.chars().count() < COLUMNS_SHOWN + 50));
        assert!(text.contains("and 30 more lines") && text.contains("the log has all"));
        assert!(text.contains("again: orca test"));
    }

    #[test]
    fn a_test_without_a_plan_is_told_to_print_one() {
        let block = |stream: &[u8], status| {
            let mut collector = tap::Collector::default();
            collector.feed(stream);
            let suite = collector.finish(tap::ExitStatus::Code(status));
            let not_run = Attempt::not_run(0, "t/a_test.sh".into(), 1);
            let (outcome, reasons) = (Outcome::Failed, suite.reasons());
            block(&Attempt { outcome, reasons, suite, ..not_run }, None, Paint { on: false })
        };
        let planless = block(b"ok 1\n", 0);
        assert!(planless.contains("  no plan\n  hint:  print `1..N`"), "{planless}");
        assert!(!block(b"ok 1\n", 3).contains("hint:"));
    }

    #[test]
    fn dumps_of_registers_are_left_out() {
        for line in ["RSP: 0018:ffff EFLAGS: 00000282", "CR2: 00", "Code: bc 01", "R10: 0"] {
            assert!(is_dump(line), "{line}");
        }
        for line in ["WARNING: CPU: 0 PID: 1 at x.c", "CPU: 0 PID: 1", "RIP: 0010:f+1", " <TASK>"] {
            assert!(!is_dump(line), "{line}");
        }
    }
}
