//! `prove --json`: TAP in, one JSON object out. Other programs check the parser through it.

use super::error::Error;
use super::exit;
use crate::collect::Collector;
use crate::line::Version;
use crate::suite::{ExitStatus, Failure, Suite, Verdict};
use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::io::{self, Read, Write};

/// The variable that holds the producer's exit status, as a shell gives it.
const EXIT_VARIABLE: &str = "TAP_EXIT";
/// Bytes read at a time.
const CHUNK_BYTES: usize = 256 << 10;

/// Judges each of `inputs` and prints an object for each. `-` is standard input, and the default.
pub(super) fn filter(inputs: &[OsString]) -> Result<u8, Error> {
    let exit = match std::env::var(EXIT_VARIABLE) {
        Ok(text) if !text.trim().is_empty() => text
            .trim()
            .parse()
            .map_err(|_| Error::usage(format!("{EXIT_VARIABLE}={text}: not an exit status")))?,
        _ => 0,
    };
    let stdin = [OsString::from("-")];
    let inputs = if inputs.is_empty() { &stdin[..] } else { inputs };
    let mut worst = exit::PASS;
    for input in inputs {
        let suite = judge(input, ExitStatus::from_shell(exit))
            .map_err(|e| Error::usage(format!("cannot read `{}`: {e}", input.display())))?;
        let text = object(&suite, (inputs.len() > 1).then_some(input));
        let mut out = io::stdout().lock();
        let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
        written.map_err(|e| Error::usage(format!("cannot write to stdout: {e}")))?;
        worst = worst.max(match suite.verdict() {
            Verdict::Pass | Verdict::Skip => exit::PASS,
            Verdict::Fail => exit::FAIL,
            Verdict::Bail => exit::BAIL,
        });
    }
    Ok(worst)
}

fn judge(input: &OsStr, exit: ExitStatus) -> io::Result<Suite> {
    let mut reader: Box<dyn Read> = match super::args::is_stdin(input) {
        true => Box::new(io::stdin().lock()),
        false => Box::new(std::fs::File::open(input)?),
    };
    let mut collector = Collector::default();
    let mut buffer = vec![0; CHUNK_BYTES];
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return Ok(collector.finish(exit)),
            Ok(count) => collector.feed(&buffer[..count]),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}

/// `suite` as one line of JSON.
fn object(suite: &Suite, file: Option<&OsString>) -> String {
    let mut out = Object::new();
    if let Some(file) = file {
        out.text("file", &file.to_string_lossy());
    }
    match &suite.plan {
        Some(plan) => out.text("plan", &format!("1..{}", plan.text)),
        None => out.raw("plan", "null"),
    }
    let counts = [
        ("run", suite.run),
        ("passed", suite.passed),
        ("failed", suite.failed),
        ("skipped", suite.skipped),
        ("todo", suite.todo),
        ("todo_passed", suite.todo_passed),
    ];
    for (name, count) in counts {
        out.raw(name, &count.to_string());
    }
    out.raw("bail", &suite.bail.is_some().to_string());
    out.raw("good", &suite.success().to_string());
    out.text(
        "version",
        match suite.version {
            Version::Tap12 => "TAP 12",
            Version::Tap13 => "TAP 13",
            Version::Tap14 => "TAP 14",
            Version::Ktap1 => "KTAP 1",
        },
    );
    if let Some(reason) = &suite.bail {
        out.text("bail_reason", reason);
    }
    if let Some(reason) = &suite.skip_all {
        out.text("skip_all", reason);
    }
    if !suite.exit.success() {
        out.text("exit", &suite.exit.to_string());
    }
    out.raw("reasons", &list(suite.reasons().iter().map(|r| quote(r))));
    out.raw("warnings", &list(suite.warnings.iter().map(|w| quote(w))));
    out.raw("failures", &list(suite.failures.iter().map(failure)));
    out.raw("contradictions", &list(suite.contradictions.iter().map(failure)));
    out.finish() + "\n"
}

fn failure(failure: &Failure) -> String {
    let mut out = Object::new();
    out.raw("number", &failure.number.to_string());
    out.raw("line", &failure.line.to_string());
    out.text("description", &failure.description);
    if !failure.comments.is_empty() {
        out.raw("comments", &list(failure.comments.iter().map(|c| quote(c))));
    }
    if let Some(yaml) = &failure.yaml {
        out.text("yaml", yaml);
    }
    if !failure.reasons.is_empty() {
        out.raw("reasons", &list(failure.reasons.iter().map(|r| quote(r))));
    }
    if !failure.subtests.is_empty() {
        out.raw("subtests", &list(failure.subtests.iter().map(self::failure)));
    }
    out.finish()
}

struct Object(String);

impl Object {
    fn new() -> Self {
        Self("{".into())
    }

    fn raw(&mut self, name: &str, value: &str) {
        if self.0.len() > 1 {
            self.0.push(',');
        }
        let _ = write!(self.0, "{}:{value}", quote(name));
    }

    fn text(&mut self, name: &str, value: &str) {
        self.raw(name, &quote(value));
    }

    fn finish(self) -> String {
        self.0 + "}"
    }
}

fn list(items: impl Iterator<Item = String>) -> String {
    format!("[{}]", items.collect::<Vec<_>>().join(","))
}

fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_input_gives_one_line_of_json() {
        let mut collector = Collector::default();
        collector.feed(b"1..2\nok 1\nnot ok 2 - a \"b\" \\# \x00\xff\n# c\n");
        let text = object(&collector.finish(ExitStatus::signal(9)), None);
        assert_eq!(
            text,
            concat!(
                r#"{"plan":"1..2","run":2,"passed":1,"failed":1,"skipped":0,"todo":0,"#,
                r#""todo_passed":0,"#,
                r#""bail":false,"good":false,"version":"TAP 12","exit":"killed by signal 9","#,
                r#""reasons":["failed 1 of 2 points","killed by signal 9"],"warnings":[],"#,
                r#""failures":[{"number":2,"line":3,"description":"a \"b\" # \u0000"#,
                "\u{fffd}",
                r#"","comments":["c"]}],"contradictions":[]}"#,
                "\n"
            )
        );
    }
}
