//! The command line.

use crate::port::Source;
use crate::wire::SHARE_DIR;
use std::ffi::OsString;
use std::path::PathBuf;

/// What the command line tells the program to do.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Invocation {
    /// Print this text.
    Print(String),
    Serve(Options),
}

/// How to serve.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) source: Source,
    pub(crate) project: PathBuf,
}

/// One option: its name, what its value is called, what it does.
type Flag = (&'static str, Option<&'static str>, &'static str);

const FLAGS: [Flag; 6] = [
    ("--port", Some("PATH"), "serve this device, or connect to this unix socket"),
    ("--stdio", None, "serve standard input and output"),
    ("--fd", Some("N"), "serve this open file descriptor"),
    ("--project", Some("DIR"), "where tests run (default: /mnt/glacic)"),
    ("--help", None, "show this"),
    ("--version", None, "show the version"),
];

/// Reads the arguments after the program's name. The first one may be `agent`, the program's name
/// once more.
///
/// # Errors
/// One line for the user, without the program's name.
pub(crate) fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Invocation, String> {
    let mut args = args.into_iter().peekable();
    args.next_if(|first| first == "agent");
    let mut options = Options { source: Source::Guest, project: SHARE_DIR.into() };
    while let Some(arg) = args.next() {
        let (name, glued) = split(&arg);
        let Some(&(name, value, _)) = FLAGS.iter().find(|flag| flag.0 == name) else {
            return Err(unknown(&name));
        };
        let value = match (value, glued) {
            (None, None) => None,
            (None, Some(_)) => return Err(format!("`{name}` takes no value")),
            (Some(_), Some(glued)) => Some(glued),
            (Some(what), None) => {
                Some(args.next().ok_or_else(|| format!("`{name}` needs a value: {what}"))?)
            }
        };
        let value = value.unwrap_or_default();
        match name {
            "--port" => options.source = Source::Path(value.into()),
            "--stdio" => options.source = Source::Stdio,
            "--fd" => match value.to_str().and_then(|text| text.parse().ok()) {
                Some(fd) => options.source = Source::Fd(fd),
                None => return Err(format!("`--fd` needs a number, not `{}`", value.display())),
            },
            "--project" => options.project = value.into(),
            "--help" => return Ok(Invocation::Print(help())),
            _ => return Ok(Invocation::Print(format!("agent {}\n", env!("CARGO_PKG_VERSION")))),
        }
    }
    Ok(Invocation::Serve(options))
}

/// Splits `--name=value`. An argument that is not UTF-8 names no option.
fn split(arg: &OsString) -> (String, Option<OsString>) {
    match arg.to_str().and_then(|text| text.split_once('=')) {
        Some((name, value)) if name.starts_with("--") => (name.to_owned(), Some(value.into())),
        _ => (arg.to_string_lossy().into_owned(), None),
    }
}

fn unknown(name: &str) -> String {
    let what = if name.starts_with('-') { "option" } else { "argument" };
    let near = FLAGS.iter().map(|flag| (distance(name, flag.0), flag.0)).min();
    match near {
        Some((0..=3, flag)) => format!("unknown {what} `{name}`; did you mean `{flag}`?"),
        _ => format!("unknown {what} `{name}`; `agent --help` lists the options"),
    }
}

/// How many letters must be added, dropped or changed to turn `a` into `b`.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let changed = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

fn help() -> String {
    let mut out = String::from(
        "Runs tests in a guest for the orca at the other end of its virtio port.\n\n\
         usage: agent [OPTION...]\n\n",
    );
    for (name, value, does) in FLAGS {
        let left = format!("{name} {}", value.unwrap_or_default());
        out.push_str(&format!("  {left:<16} {does}\n"));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(args: &str, expected: Result<(Source, &str), &str>) {
        let got = parse(args.split_ascii_whitespace().map(OsString::from));
        let expected = expected.map_err(str::to_owned).map(|(source, project)| {
            Invocation::Serve(Options { source, project: project.into() })
        });
        assert_eq!(got, expected, "{args}");
    }

    #[test]
    fn arguments() {
        check("", Ok((Source::Guest, "/mnt/glacic")));
        check("agent --stdio", Ok((Source::Stdio, "/mnt/glacic")));
        check("--fd=3 --project /x", Ok((Source::Fd(3), "/x")));
        check("--port /dev/vport0p1", Ok((Source::Path("/dev/vport0p1".into()), "/mnt/glacic")));
        check("--prot x", Err("unknown option `--prot`; did you mean `--port`?"));
        check("wat", Err("unknown argument `wat`; `agent --help` lists the options"));
        check("--fd three", Err("`--fd` needs a number, not `three`"));
        check("--port", Err("`--port` needs a value: PATH"));
        check("--stdio=1", Err("`--stdio` takes no value"));
    }

    #[test]
    fn help_names_every_option() {
        let help = help();
        assert!(FLAGS.iter().all(|(name, ..)| help.contains(name)), "{help}");
        assert!(help.lines().all(|line| line.len() <= 100), "{help}");
    }
}
