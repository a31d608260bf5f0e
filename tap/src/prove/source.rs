//! A test file → how to get TAP from it: a command to run, or the file itself.
//!
//! Perl's `prove` runs every script through perl, which then obeys the `#!` line. Here the
//! interpreter of the `#!` line is started directly; the outcome is the same.

use super::settings::Launch;
use std::ffi::{OsStr, OsString};
use std::io::Read;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Bytes of a script that are searched for its first line.
const HEAD_BYTES: usize = 512;

/// Where a test's TAP comes from.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// A program and its arguments.
    Command(Vec<OsString>),
    /// The file itself is TAP.
    Tap,
}

/// Finds out how to run `test`.
pub(super) fn find(test: &OsStr, launch: &Launch) -> std::io::Result<Source> {
    let mut command: Vec<OsString> = match &launch.exec {
        Some(words) if words.is_empty() => vec![runnable(test)],
        Some(words) => words.iter().map(OsString::from).chain([test.to_os_string()]).collect(),
        None if extension(test) == b"tap" => return Ok(Source::Tap),
        None => by_content(test)?,
    };
    command.extend(launch.test_args.iter().cloned());
    Ok(Source::Command(command))
}

fn by_content(test: &OsStr) -> std::io::Result<Vec<OsString>> {
    let mut file = std::fs::File::open(test)?;
    let meta = file.metadata()?;
    let mut head = Vec::with_capacity(HEAD_BYTES);
    file.by_ref().take(HEAD_BYTES as u64).read_to_end(&mut head)?;
    let extension = extension(test);
    if let Some(line) = head.strip_prefix(b"#!") {
        return Ok(by_shebang(test, line));
    }
    let executable = meta.permissions().mode() & 0o111 != 0;
    if executable && is_binary(&head) {
        return Ok(vec![runnable(test)]);
    }
    let shell = extension == b"sh" || (executable && !matches!(extension, b"t" | b"pl"));
    let program = if shell { "/bin/sh".into() } else { perl() };
    Ok(vec![program, test.to_os_string()])
}

fn by_shebang(test: &OsStr, line: &[u8]) -> Vec<OsString> {
    let end = line.iter().position(|&b| b == b'\n').unwrap_or(line.len());
    let line = crate::text::trim(&line[..end]);
    let cut = line.iter().position(|&b| matches!(b, b' ' | b'\t')).unwrap_or(line.len());
    let (program, argument) = (&line[..cut], crate::text::trim(&line[cut..]));
    let name = Path::new(OsStr::from_bytes(program)).file_name().unwrap_or_default();
    let words = argument.split(|b| b.is_ascii_whitespace());
    let env_perl = name == "env" && words.clone().any(|w| w == b"perl");
    if name.as_bytes().starts_with(b"perl") || env_perl {
        let taint =
            words.filter(|w| w.starts_with(b"-") && w.iter().any(|b| matches!(b, b'T' | b't')));
        let flag = taint.map(|w| if w.contains(&b'T') { "-T" } else { "-t" }).next();
        let flag = flag.map(OsString::from);
        return [perl()].into_iter().chain(flag).chain([test.to_os_string()]).collect();
    }
    let argument = (!argument.is_empty()).then(|| OsString::from_vec(argument.to_vec()));
    let program = OsString::from_vec(program.to_vec());
    [program].into_iter().chain(argument).chain([test.to_os_string()]).collect()
}

fn perl() -> OsString {
    std::env::var_os("HARNESS_PERL").unwrap_or_else(|| "perl".into())
}

/// `test` as the name of a program that is not searched for in PATH.
fn runnable(test: &OsStr) -> OsString {
    if test.as_bytes().contains(&b'/') {
        return test.to_os_string();
    }
    let mut path = OsString::from("./");
    path.push(test);
    path
}

fn extension(test: &OsStr) -> &[u8] {
    let extension = Path::new(test).extension().unwrap_or_default().as_bytes();
    if extension.eq_ignore_ascii_case(b"tap") { b"tap" } else { extension }
}

fn is_binary(head: &[u8]) -> bool {
    head.starts_with(b"\x7fELF") || head.contains(&0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shebang(line: &str) -> String {
        let words = by_shebang("t/x.t".as_ref(), line.as_bytes());
        words.join(OsStr::new("|")).into_string().unwrap()
    }

    #[test]
    fn the_first_line_names_the_interpreter() {
        assert_eq!(shebang("/bin/sh -e\necho"), "/bin/sh|-e|t/x.t");
        assert_eq!(shebang(" /usr/bin/env -S awk -f \r\n"), "/usr/bin/env|-S awk -f|t/x.t");
        assert_eq!(shebang("/usr/bin/perl -wT\n"), "perl|-T|t/x.t");
        assert_eq!(shebang("/usr/bin/env perl\n"), "perl|t/x.t");
        assert_eq!(shebang("/bin/sh"), "/bin/sh|t/x.t");
    }
}
