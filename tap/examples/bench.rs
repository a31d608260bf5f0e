//! Measures how fast the parser is, beside a bare memchr scan of the same bytes in the same run.
//!
//! `bench make FILE MB` writes a stream of the kind that test suites print; `bench run FILE`
//! reads it once with each and prints lines of `name seconds MB/s` and the peak memory.

use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::time::Instant;
use tap::{Collector, ExitStatus, Version, classify};

/// Bytes read at a time, by every reader.
const CHUNK_BYTES: usize = 256 << 10;
/// Bytes of a megabyte in the table.
const MB: f64 = 1e6;

fn main() -> io::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["make", file, megabytes] => make(file, megabytes.parse().unwrap_or(200)),
        ["run", file] => run(file),
        _ => Err(io::Error::other("usage: bench make FILE MB | bench run FILE")),
    }
}

/// Writes passing points, every tenth with a directive, a comment or YAML, and the plan last.
fn make(file: &str, megabytes: usize) -> io::Result<()> {
    let mut out = BufWriter::new(File::create(file)?);
    out.write_all(b"TAP version 13\n")?;
    let (mut size, mut number) = (0, 0);
    while size < megabytes * 1_000_000 {
        number += 1;
        let line = match number % 40 {
            7 => format!("ok {number} - interface eth{} # SKIP no such device\n", number % 9),
            17 => format!("not ok {number} - lease is renewed # TODO later\n"),
            27 => format!("# checking rule {number}\nok {number} - rule {number} is loaded\n"),
            37 => format!("ok {number} - answers\n  ---\n  got: {number}\n  ...\n"),
            _ => format!("ok {number} - packet from zone {} is let through\n", number % 97),
        };
        size += line.len();
        out.write_all(line.as_bytes())?;
    }
    writeln!(out, "1..{number}")?;
    out.flush()
}

fn run(file: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let mut show = |name: &str, seconds: f64, size: u64| {
        writeln!(out, "{name:<28} {seconds:7.3} s {:8.0} MB/s", size as f64 / MB / seconds)
    };
    let mut lines = 0u64;
    let (seconds, size) =
        timed(file, |chunk| lines += memchr::memchr_iter(b'\n', chunk).count() as u64)?;
    show("memchr, lines counted", seconds, size)?;
    let mut points = 0u64;
    let (seconds, size) = timed(file, |chunk| points += scan(chunk))?;
    show("memchr, lines classified", seconds, size)?;
    let mut tokens = 0u64;
    let (seconds, size) = timed(file, |chunk| tokens += tokenize(chunk))?;
    show("tap::classify on each line", seconds, size)?;
    let mut collector = Collector::default();
    let (seconds, size) = timed(file, |chunk| collector.feed(chunk))?;
    show("tap::Collector, verdict", seconds, size)?;
    let suite = collector.finish(ExitStatus::SUCCESS);
    let state = if suite.success() { "good" } else { "bad" };
    writeln!(out, "{lines} lines, {points} ok lines, {tokens} points, {} run, {state}", suite.run)?;
    writeln!(out, "peak memory {}", peak_memory())
}

/// Counts lines that begin with `ok`: the least that any reader of lines must do.
fn scan(chunk: &[u8]) -> u64 {
    let mut count = 0;
    let mut start = 0;
    for end in memchr::memchr_iter(b'\n', chunk) {
        count += u64::from(chunk[start..end].starts_with(b"ok"));
        start = end + 1;
    }
    count
}

fn tokenize(chunk: &[u8]) -> u64 {
    let mut count = 0;
    let mut start = 0;
    for end in memchr::memchr_iter(b'\n', chunk) {
        let line = &chunk[start..end];
        let hash = memchr::memchr(b'#', line).is_some();
        count += u64::from(matches!(classify(line, Version::Tap13, hash), tap::Token::Point(_)));
        start = end + 1;
    }
    count
}

/// Feeds `file` to `sink`, and returns the seconds it took and the number of bytes.
fn timed(file: &str, mut sink: impl FnMut(&[u8])) -> io::Result<(f64, u64)> {
    let mut input = File::open(file)?;
    let mut buffer = vec![0; CHUNK_BYTES];
    let (begun, mut size) = (Instant::now(), 0);
    loop {
        let count = input.read(&mut buffer)?;
        if count == 0 {
            return Ok((begun.elapsed().as_secs_f64(), size));
        }
        size += count as u64;
        sink(&buffer[..count]);
    }
}

fn peak_memory() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.map_or("unknown".into(), |text| text.trim().to_owned())
}
