//! argv and `.proverc` files → [`RawArgs`]. Parsing sets fields, nothing more.
//!
//! `::`, `--rc` and `--norc` are found before anything else is parsed, as in Perl's `prove`.

use super::error::Error;
use super::flags::{FLAGS, Flag, REFUSED};
use super::raw::RawArgs;
use lexopt::{Arg, Parser};
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

/// Reads the command line and the `.proverc` files it asks for.
pub(super) fn parse(args: impl Iterator<Item = OsString>) -> Result<RawArgs, Error> {
    let mut args: Vec<OsString> = args.collect();
    let mut raw = RawArgs::default();
    if let Some(at) = args.iter().position(|a| a == "::") {
        raw.test_args = args.split_off(at).into_iter().skip(1).collect();
    }
    let mut all = Vec::new();
    for file in rc_files(&mut args)? {
        all.extend(read_rc(&file)?);
    }
    all.extend(args);
    parse_all(all, &mut raw)?;
    Ok(raw)
}

/// Takes `--rc` and `--norc` out of `args`, and returns the rc files to read, in order.
fn rc_files(args: &mut Vec<OsString>) -> Result<Vec<PathBuf>, Error> {
    let home = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".proverc"));
    let mut files: Vec<PathBuf> = home.into_iter().collect();
    files.push(PathBuf::from(".proverc"));
    files.retain(|file| file.is_file());
    let mut rest = Vec::with_capacity(args.len());
    let mut given = std::mem::take(args).into_iter();
    while let Some(arg) = given.next() {
        let text = arg.to_str().unwrap_or_default();
        if text == "--norc" {
            files.clear();
        } else if text == "--rc" {
            files.push(given.next().ok_or_else(|| Error::usage("`--rc` needs a file"))?.into());
        } else if let Some(file) = text.strip_prefix("--rc=") {
            files.push(file.into());
        } else {
            rest.push(arg);
        }
    }
    *args = rest;
    files.dedup();
    Ok(files)
}

fn read_rc(file: &Path) -> Result<Vec<OsString>, Error> {
    let text = std::fs::read(file)
        .map_err(|e| Error::usage(format!("cannot read `{}`: {e}", file.display())))?;
    let text = String::from_utf8_lossy(&text);
    Ok(text.lines().flat_map(rc_words).map(OsString::from).collect())
}

/// The words of a `.proverc` line: bare, `'quoted'` or `"quoted"`; `#` begins a comment.
fn rc_words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = line.trim_start();
    while let Some(first) = rest.chars().next() {
        if first == '#' {
            break;
        }
        let quoted = if matches!(first, '\'' | '"') {
            rest[1..].find(first).map(|end| (&rest[1..=end], &rest[end + 2..]))
        } else {
            None
        };
        let (word, tail) = quoted.unwrap_or_else(|| {
            let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
            rest.split_at(end)
        });
        words.push(word.to_owned());
        rest = tail.trim_start();
    }
    words
}

fn parse_all(args: Vec<OsString>, raw: &mut RawArgs) -> Result<(), Error> {
    let mut parser = Parser::from_args(args);
    while let Some(arg) = parser.next().map_err(|e| Error::usage(e.to_string()))? {
        let (flag, negated) = match arg {
            Arg::Value(value) => {
                raw.tests.push(value);
                continue;
            }
            Arg::Short(c) => (find_short(c)?, false),
            Arg::Long(name) => find_long(name)?,
        };
        let value = match flag.value {
            Some(_) => value_of(&mut parser, flag)?,
            None if negated => "no".into(),
            None => String::new(),
        };
        (flag.set)(raw, &value).map_err(Error::usage)?;
    }
    Ok(())
}

fn value_of(parser: &mut Parser, flag: &Flag) -> Result<String, Error> {
    let name = name_of(flag);
    let value = parser.value().map_err(|_| Error::usage(format!("`{name}` needs a value")))?;
    let text = |v: OsString| v.into_string();
    text(value).map_err(|v| Error::usage(format!("`{name}`: {} is not UTF-8", v.display())))
}

/// The name of a flag in messages.
fn name_of(flag: &Flag) -> String {
    match (flag.long.first(), flag.short) {
        (Some(long), _) => format!("--{long}"),
        (None, short) => format!("-{}", short.unwrap_or('?')),
    }
}

fn find_short(c: char) -> Result<&'static Flag, Error> {
    let c = if c == '?' { 'h' } else { c };
    if REFUSED.iter().any(|r| r.0 == c) {
        return Err(refuse(&format!("-{c}")));
    }
    let found = FLAGS.iter().find(|f| f.short == Some(c));
    found.ok_or_else(|| Error::usage(format!("unknown option `-{c}`")).hint("see `prove --help`"))
}

/// The flag called `name`, or the only one whose name begins with it; `true` if negated.
fn find_long(name: &str) -> Result<(&'static Flag, bool), Error> {
    if REFUSED.iter().any(|r| r.1 == name && !name.is_empty()) {
        return Err(refuse(&format!("--{name}")));
    }
    let names = || {
        FLAGS.iter().flat_map(|flag| {
            let no = |long: &&str| [format!("no{long}"), format!("no-{long}")];
            let plain = flag.long.iter().map(move |long| (long.to_string(), flag, false));
            let negated = flag.long.iter().filter(|_| flag.negatable).flat_map(no);
            plain.chain(negated.map(move |long| (long, flag, true)))
        })
    };
    if let Some((_, flag, negated)) = names().find(|(long, ..)| long == name) {
        return Ok((flag, negated));
    }
    let mut starting: Vec<_> = names().filter(|(long, ..)| long.starts_with(name)).collect();
    starting.dedup_by(|a, b| std::ptr::eq(a.1, b.1) && a.2 == b.2);
    if let [(_, flag, negated)] = starting[..] {
        return Ok((flag, negated));
    }
    let error = Error::usage(format!("unknown option `--{name}`"));
    let near = names().map(|n| n.0).min_by_key(|long| distance(long, name));
    Err(match near.filter(|long| distance(long, name) <= 1 + name.len() / 4) {
        Some(near) => error.hint(format!("did you mean `--{near}`?")),
        None => error.hint("see `prove --help`"),
    })
}

fn refuse(name: &str) -> Error {
    Error::usage(format!("`{name}` works only in Perl's own prove"))
}

/// Edit distance: how many characters must be added, dropped or changed.
pub(super) fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut left = i;
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let cost = (left + usize::from(x != *y)).min(row[j] + 1).min(row[j + 1] + 1);
            left = std::mem::replace(&mut row[j + 1], cost);
        }
    }
    row[b.len()]
}

/// Whether `arg` stands for standard input.
pub(super) fn is_stdin(arg: &OsStr) -> bool {
    arg == "-"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(args: &[&str]) -> Result<RawArgs, String> {
        let args = ["--norc"].iter().chain(args).map(OsString::from);
        parse(args).map_err(|e| e.to_string())
    }

    #[test]
    fn letters_are_bundled_and_names_may_be_cut_short() {
        let got =
            raw(&["-vrj4", "--rev", "--nocolor", "--ext=.sh", "--ext", ".t", "t", "::", "-v"])
                .unwrap();
        assert!(got.verbose && got.recurse && got.reverse);
        assert_eq!((got.jobs.as_deref(), got.color), (Some("4"), Some(false)));
        assert_eq!((got.exts, got.tests), (vec![".sh".to_string(), ".t".into()], vec!["t".into()]));
        assert_eq!(got.test_args, ["-v"]);
    }

    #[test]
    fn mistakes_are_named() {
        let error = |args: &[&str]| raw(args).unwrap_err();
        assert_eq!(error(&["--jubs"]), "unknown option `--jubs`\nhint: did you mean `--jobs`?");
        assert_eq!(error(&["-T"]), "`-T` works only in Perl's own prove");
        assert_eq!(error(&["--formatter", "X"]), "`--formatter` works only in Perl's own prove");
        assert_eq!(error(&["--junit"]), "`--junit` needs a value");
    }

    #[test]
    fn rc_lines_are_words() {
        assert_eq!(rc_words(" -v --ext '.sh' \"a b\" # c"), ["-v", "--ext", ".sh", "a b"]);
        assert_eq!(rc_words("# -v"), Vec::<String>::new());
        assert_eq!(rc_words("it's"), ["it's"]);
    }
}
