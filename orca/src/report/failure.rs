//! What a person needs to see of a test that is not good: which checks, what they said, where the rest is, how to run it again.

use super::live::seconds;
use super::paint::{Paint, safe, safe_lines};
use crate::event::{Attempt, Outcome};
use crate::quote::{self, shell_word};
use std::os::unix::ffi::OsStrExt;

/// Failing checks shown; the log has all.
const POINTS_SHOWN: usize = 20;
/// Lines of diagnostics shown per check, of standard error, and of a console.
const LINES_SHOWN: usize = 20;
/// Lines of a console: a kernel's last words have a trace of calls in them.
const CONSOLE_SHOWN: usize = 40;
/// How deep into subtests failures are shown.
const DEPTH_SHOWN: usize = 4;

/// The block for `attempt`, each line ended.
pub(super) fn block(attempt: &Attempt, paint: Paint) -> String {
    let mut out = Block { out: String::new(), paint };
    out.heading(attempt);
    out.reasons(attempt);
    out.points(attempt);
    out.tail("stderr", &attempt.stderr_tail, LINES_SHOWN);
    out.kernel(&attempt.complaints.lines);
    if let Outcome::Errored(trouble) = &attempt.outcome {
        out.tail("console", &trouble.console, CONSOLE_SHOWN);
    }
    out.notes(attempt);
    if let Some(dir) = &attempt.dir {
        let log = quote::text(dir.join("output.log").as_os_str().as_bytes());
        out.line(&format!("log:   {}", quote::line(&log)));
    }
    out.line(&format!("again: orca test {}", again(attempt)));
    out.out
}

/// What to say to run it once more, and where.
fn again(attempt: &Attempt) -> String {
    let Some(kernel) = &attempt.kernel else {
        return shell_word(quote::line(&attempt.path).as_bytes());
    };
    let suffix = kernel.name("");
    let path = attempt.path.strip_suffix(&suffix).unwrap_or(&attempt.path);
    let kernel = shell_word(kernel.path.as_os_str().as_encoded_bytes());
    format!("--kernel {kernel} {}", shell_word(quote::line(path).as_bytes()))
}

struct Block {
    out: String,
    paint: Paint,
}

impl Block {
    fn line(&mut self, text: &str) {
        self.out.push_str("  ");
        self.out.push_str(text);
        self.out.push('\n');
    }

    fn heading(&mut self, attempt: &Attempt) {
        let mut text =
            format!("--- {} {}", attempt.outcome.word().to_uppercase(), safe(&attempt.path));
        if !attempt.machine.is_empty() {
            text.push_str(&format!(" on {}", attempt.machine));
        }
        text.push_str(&format!(" after {}", seconds(attempt.timing.test)));
        if attempt.round > 1 {
            text.push_str(&format!(", round {}", attempt.round));
        }
        if attempt.attempt > 1 {
            text.push_str(&format!(", attempt {}", attempt.attempt));
        }
        let text = self.paint.bad(&text);
        self.out.push_str(&text);
        self.out.push('\n');
    }

    fn reasons(&mut self, attempt: &Attempt) {
        match &attempt.outcome {
            Outcome::TimedOut { silence: false } => self.line("it ran into its timeout"),
            Outcome::TimedOut { silence: true } => self.line("it printed nothing for too long"),
            Outcome::Errored(trouble) => self.line(&safe(&trouble.to_string())),
            _ => {
                for reason in attempt.reasons() {
                    self.line(&safe(&reason));
                }
            }
        }
    }

    fn points(&mut self, attempt: &Attempt) {
        let suite = &attempt.suite;
        for point in suite.failures.iter().take(POINTS_SHOWN) {
            self.point(point, 0);
        }
        if suite.failures.len() > POINTS_SHOWN {
            self.line(&format!("and {} more", suite.failures.len() - POINTS_SHOWN));
        }
        for point in suite.contradictions.iter().take(POINTS_SHOWN) {
            self.line("passed, although its subtest failed:");
            self.point(point, 0);
        }
    }

    fn point(&mut self, point: &tap::Failure, depth: usize) {
        let indent = "    ".repeat(depth);
        let mut text = format!("not ok {}", point.number);
        if !point.description.is_empty() {
            text.push_str(" - ");
            text.push_str(&safe(&point.description));
        }
        let text = self.paint.bad(&text);
        self.line(&format!("{indent}{text}"));
        let comments = point.comments.iter().flat_map(|comment| safe_lines(comment));
        let yaml = point.yaml.iter().flat_map(|yaml| safe_lines(yaml));
        let reasons = point.reasons.iter().map(|reason| safe(reason));
        for line in reasons.chain(comments).chain(yaml).take(LINES_SHOWN) {
            self.line(&format!("{indent}    {line}"));
        }
        if depth < DEPTH_SHOWN {
            for inner in point.subtests.iter().take(POINTS_SHOWN) {
                self.point(inner, depth + 1);
            }
        }
    }

    fn tail(&mut self, name: &str, text: &str, most: usize) {
        if text.trim().is_empty() {
            return;
        }
        self.line(&format!("{name}:"));
        let lines: Vec<String> = safe_lines(text).collect();
        for line in &lines[lines.len().saturating_sub(most)..] {
            self.line(&format!("  | {line}"));
        }
    }

    /// What a kernel says first matters most.
    fn kernel(&mut self, lines: &[String]) {
        let lines: Vec<&String> = lines.iter().filter(|line| !is_dump(line)).collect();
        if lines.is_empty() {
            return;
        }
        self.line("kernel:");
        for line in lines.iter().take(LINES_SHOWN) {
            self.line(&format!("  | {}", safe(line)));
        }
    }

    fn notes(&mut self, attempt: &Attempt) {
        for note in &attempt.notes {
            self.line(&format!("note:  {}", safe(note)));
        }
    }
}

/// Whether a line of the kernel's is registers, code or a list of modules, of which a person sees nothing.
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

    #[test]
    fn registers_are_no_news() {
        for line in ["RSP: 0018:ffff EFLAGS: 00000282", "CR2: 00", "Code: bc 01", "R10: 0"] {
            assert!(is_dump(line), "{line}");
        }
        for line in ["WARNING: CPU: 0 PID: 1 at x.c", "CPU: 0 PID: 1", "RIP: 0010:f+1", " <TASK>"] {
            assert!(!is_dump(line), "{line}");
        }
    }
}
