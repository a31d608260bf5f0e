//! Arguments in, [`Raw`] out. Three sources, each overriding the one before: `.orcarc`, `ORCA_*`, the command line.
//!
//! Parsing validates and never acts, so `--help` works whatever else is broken.

use super::command::{COMMANDS, Command};
use super::flags::{self, FLAGS, Flag, Group};
use super::raw::{Given, Raw, Source};
use crate::error::{Error, Result};
use crate::text::suggest::nearest;
use lexopt::{Arg, Parser};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

/// What the command line amounts to.
#[derive(Debug)]
pub enum Parsed {
    /// Do it.
    Do(Command, Box<Raw>),
    /// Print help: of the command, or of `orca` itself; long or short.
    Help(Option<Command>, bool),
    /// Print the version.
    Version,
    /// A command with a grammar of its own gets its arguments as they are.
    Pass(Vec<OsString>),
}

/// Parses everything behind `orca`. `variables` is the environment; `rc` yields the arguments in the `.orcarc` of the project that
/// the other sources name, and is only asked when a command is to be done.
///
/// # Errors
/// A usage error: one line, with a suggestion where there is one.
pub fn parse(
    args: impl IntoIterator<Item = OsString>,
    variables: &[(OsString, OsString)],
    rc: impl FnOnce(&Raw) -> Result<Vec<(usize, OsString)>>,
) -> Result<Parsed> {
    let mut args = args.into_iter();
    let Some(first) = args.next() else { return Ok(Parsed::Help(None, false)) };
    let rest: Vec<OsString> = args.collect();
    let command = match first.to_str() {
        Some("-h") => return Ok(Parsed::Help(None, false)),
        Some("--help") => return Ok(Parsed::Help(None, true)),
        Some("help") => return help_for(rest.first()),
        Some("-V" | "--version") => return Ok(Parsed::Version),
        Some(name) => Command::from_name(name).ok_or_else(|| unknown_command(name))?,
        None => return Err(unknown_command(&first.to_string_lossy())),
    };
    if command == Command::Image {
        return Ok(Parsed::Pass(rest));
    }
    // Help first: it must not depend on what the environment says.
    if let Some(help) = apply(command, &rest, Source::Line, &mut Raw::default())? {
        return Ok(help);
    }
    let again = what_matters_to_one_test(command, &rest);
    let mut typed = Raw { again: again.clone(), ..Raw::default() };
    apply_environment(command, variables, &mut typed)?;
    typed.kernels.next_source();
    apply(command, &rest, Source::Line, &mut typed)?;
    let settings = rc(&typed)?;
    if settings.is_empty() {
        return Ok(Parsed::Do(command, Box::new(typed)));
    }
    // Once more from the beginning, so that what was typed overrides what is written down.
    let mut raw = Raw::default();
    apply_rc(command, settings, &mut raw)?;
    raw.kernels.next_source();
    apply_environment(command, variables, &mut raw)?;
    raw.kernels.next_source();
    apply(command, &rest, Source::Line, &mut raw)?;
    raw.again = again;
    Ok(Parsed::Do(command, Box::new(raw)))
}

/// `NAME` of `NAME=VALUE`. The words stand in reports, where a variable's value may be a secret; whoever runs them again has it set.
fn name_of(variable: &OsStr) -> OsString {
    let name = variable.as_bytes().split(|&b| b == b'=').next();
    OsStr::from_bytes(name.unwrap_or_default()).to_owned()
}

/// The options among `args` that change what happens to a test, as words that name them in full. Which tests run, how many at once and
/// what is reported is left out: this is for the command that runs one of them again.
fn what_matters_to_one_test(command: Command, args: &[OsString]) -> Vec<OsString> {
    const ALSO: [&str; 8] = [
        "project-root",
        "timeout",
        "silence",
        "timeout-factor",
        "fail-on-warn",
        "reuse",
        "cold",
        "env",
    ];
    let mut parser = Parser::from_args(args);
    let mut words = Vec::new();
    while let Ok(Some(arg)) = parser.next() {
        let flag = match arg {
            Arg::Long(name) => flags::find(command, name),
            Arg::Short(letter) => flags::find_short(command, letter),
            Arg::Value(_) => None,
        };
        let Some(flag) = flag else { continue };
        let Ok(value) = take_value(flag, &mut parser) else { break };
        if flag.group == Group::Machine || ALSO.contains(&flag.long) {
            let mut word = OsString::from(format!("--{}", flag.long));
            if !value.is_empty() {
                word.push("=");
                word.push(if flag.long == "env" { name_of(&value) } else { value });
            }
            words.push(word);
        }
    }
    words
}

fn help_for(topic: Option<&OsString>) -> Result<Parsed> {
    let Some(topic) = topic else { return Ok(Parsed::Help(None, true)) };
    let name = topic.to_string_lossy();
    let command = Command::from_name(&name).ok_or_else(|| unknown_command(&name))?;
    Ok(Parsed::Help(Some(command), true))
}

fn unknown_command(name: &str) -> Error {
    let what = if name.starts_with('-') { "option" } else { "command" };
    let error = Error::new(format!("unknown {what} `{}`", name.escape_debug()));
    match nearest(name, COMMANDS.iter().map(|row| row.name)) {
        Some(near) => error.hint(format!("did you mean `orca {near}`?")),
        None => error.hint("`orca --help` shows all commands"),
    }
}

/// Applies arguments to `raw`; help or version asked for on the way end it.
fn apply(
    command: Command,
    args: &[OsString],
    source: Source,
    raw: &mut Raw,
) -> Result<Option<Parsed>> {
    // lexopt swallows a `--` silently; what stands behind it is kept apart here.
    let cut = if command.takes_command() { args.iter().position(|arg| arg == "--") } else { None };
    let (args, rest) = args.split_at(cut.unwrap_or(args.len()));
    if cut.is_some() {
        raw.rest = Some(rest[1..].to_vec());
    }
    let mut parser = Parser::from_args(args);
    while let Some(arg) = parser.next().map_err(|e| Error::new(lower(&e.to_string())))? {
        let flag = match arg {
            Arg::Long("help") => return Ok(Some(Parsed::Help(Some(command), true))),
            Arg::Short('h') => return Ok(Some(Parsed::Help(Some(command), false))),
            Arg::Long("version") | Arg::Short('V') => return Ok(Some(Parsed::Version)),
            Arg::Long(name) => {
                flags::find(command, name).ok_or_else(|| unknown_flag(command, name))?
            }
            Arg::Short(letter) => flags::find_short(command, letter)
                .ok_or_else(|| unknown_flag(command, &letter.to_string()))?,
            Arg::Value(word) => {
                raw.words.push(word);
                continue;
            }
        };
        let value = take_value(flag, &mut parser)?;
        set(flag, &value, source.clone(), raw)?;
    }
    Ok(None)
}

fn take_value(flag: &Flag, parser: &mut Parser) -> Result<OsString> {
    if flag.value.is_none() {
        return Ok(OsString::new());
    }
    if flag.is_optional() {
        return Ok(parser.optional_value().unwrap_or_default());
    }
    parser.value().map_err(|_| {
        let value = flag.value.unwrap_or_default();
        Error::new(format!("--{} needs a value: --{} {value}", flag.long, flag.long))
    })
}

fn set(flag: &'static Flag, value: &OsStr, source: Source, raw: &mut Raw) -> Result<()> {
    (flag.set)(raw, value).map_err(|form| {
        let name = match &source {
            Source::Line => format!("--{}", flag.long),
            Source::Variable(name) => name.clone(),
            Source::Rc(line) => format!("`.orcarc` line {line}: --{}", flag.long),
        };
        let shown = value.to_string_lossy();
        Error::new(format!("{name} takes {form}, not `{}`", shown.escape_debug()))
    })?;
    raw.given.push(Given { flag: flag.long, value: value.to_owned(), source });
    Ok(())
}

fn unknown_flag(command: Command, name: &str) -> Error {
    let dashes = if name.chars().count() == 1 { "-" } else { "--" };
    let orca = command.row().name;
    let error = Error::new(format!("orca {orca} has no option `{dashes}{}`", name.escape_debug()));
    let mine = FLAGS.iter().filter(|flag| flag.is_on(command)).map(|flag| flag.long);
    let elsewhere = FLAGS.iter().find(|flag| flag.long == name);
    match (elsewhere, nearest(name, mine.chain(["help", "version"]))) {
        (Some(flag), _) => {
            let on: Vec<&str> = flag.on.iter().map(|command| command.row().name).collect();
            error.hint(format!("it belongs to `orca {}`", on.join("` and `orca ")))
        }
        (None, Some(near)) => error.hint(format!("did you mean `--{near}`?")),
        (None, None) => error.hint(format!("`orca {orca} --help` shows all options")),
    }
}

/// `ORCA_JOBS=4` is `--jobs 4`; a switch is on for `1`, `true` and `yes`. Variables that belong to no flag are somebody else's.
fn apply_environment(
    command: Command,
    variables: &[(OsString, OsString)],
    raw: &mut Raw,
) -> Result<()> {
    for flag in FLAGS.iter().filter(|flag| flag.is_on(command)) {
        let name = flag.variable();
        let found = variables.iter().find(|(variable, _)| *variable == *name);
        let Some((_, value)) = found.filter(|(_, value)| !value.is_empty()) else { continue };
        let on = flag.value.is_some() || ["1", "true", "yes"].iter().any(|yes| value == yes);
        if on {
            let value = if flag.value.is_some() { value.as_os_str() } else { OsStr::new("") };
            set(flag, value, Source::Variable(name), raw)?;
        }
    }
    Ok(())
}

/// Applies the settings of `.orcarc`; those of other commands are skipped, unknown ones are errors.
fn apply_rc(command: Command, settings: Vec<(usize, OsString)>, raw: &mut Raw) -> Result<()> {
    for (line, setting) in settings {
        let text = setting.to_string_lossy().into_owned();
        let name = text.strip_prefix("--").map(|rest| rest.split('=').next().unwrap_or(rest));
        let known = name.is_some_and(|name| FLAGS.iter().any(|flag| flag.long == name));
        if !known {
            let near = nearest(name.unwrap_or(&text), FLAGS.iter().map(|flag| flag.long));
            let hint = near.map_or_else(
                || "write one `--option=value` a line".to_owned(),
                |near| format!("did you mean `--{near}`?"),
            );
            let error = Error::new(format!("`.orcarc` line {line}: unknown setting `{text}`"));
            return Err(error.hint(hint));
        }
        if name.is_some_and(|name| flags::find(command, name).is_some()) {
            apply(command, &[setting], Source::Rc(line), raw)?;
        }
    }
    Ok(())
}

fn lower(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_lowercase().chain(chars).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(args: &[&str], variables: &[(&str, &str)], rc: &[&str]) -> Result<Parsed> {
        let variables: Vec<(OsString, OsString)> =
            variables.iter().map(|(name, value)| (name.into(), value.into())).collect();
        let rc = (1..).zip(rc.iter().map(OsString::from)).collect();
        parse(args.iter().map(OsString::from), &variables, |_| Ok(rc))
    }

    fn raw(args: &[&str], variables: &[(&str, &str)], rc: &[&str]) -> Raw {
        match run(args, variables, rc).unwrap() {
            Parsed::Do(_, raw) => *raw,
            other => panic!("{other:?}"),
        }
    }

    #[track_caller]
    fn refused(args: &[&str], message: &str, hint: &str) {
        let error = run(args, &[], &[]).unwrap_err();
        assert_eq!((error.to_string().as_str(), error.next_step()), (message, Some(hint)));
    }

    #[test]
    fn the_command_line_outranks_the_environment_and_that_the_file() {
        assert_eq!(raw(&["test"], &[], &["--jobs=2"]).jobs, Some(2));
        assert_eq!(raw(&["test"], &[("ORCA_JOBS", "3")], &["--jobs=2"]).jobs, Some(3));
        assert_eq!(raw(&["test", "-j4"], &[("ORCA_JOBS", "3")], &["--jobs=2"]).jobs, Some(4));
        assert!(raw(&["test"], &[("ORCA_DEBUG", "1")], &[]).debug);
        let rc = ["--kernel=a", "--kernel=b"];
        assert_eq!(raw(&["test"], &[], &rc).kernels.items().len(), 2);
        let typed = ["test", "--kernel", "c", "--kernel", "d"];
        let kernels = raw(&typed, &[("ORCA_KERNEL", "e")], &rc).kernels;
        assert_eq!(kernels.items(), [std::path::Path::new("c"), std::path::Path::new("d")]);
        assert!(!raw(&["test"], &[("ORCA_DEBUG", "0")], &[]).debug);
    }

    #[test]
    fn it_is_known_where_a_setting_comes_from() {
        let raw = raw(&["test", "-j4"], &[("ORCA_JOBS", "3")], &["--jobs=2", "--quiet"]);
        let given: Vec<_> =
            raw.given.iter().map(|g| (g.flag, g.value.to_str().unwrap(), &g.source)).collect();
        let variable = Source::Variable("ORCA_JOBS".into());
        let expected = [
            ("jobs", "2", &Source::Rc(1)),
            ("quiet", "", &Source::Rc(2)),
            ("jobs", "3", &variable),
            ("jobs", "4", &Source::Line),
        ];
        assert_eq!(given, expected);
    }

    #[test]
    fn words_and_what_stands_behind_two_dashes() {
        assert_eq!(raw(&["test", "-j2", "t/a", "t/b"], &[], &[]).words, ["t/a", "t/b"]);
        let run = raw(&["run", "--debug", "--", "sh", "-c", "exit 7"], &[], &[]);
        assert_eq!(run.rest.unwrap(), ["sh", "-c", "exit 7"]);
        assert_eq!(raw(&["test", "--fail-fast"], &[], &[]).fail_fast, Some(1));
        assert_eq!(raw(&["test", "--fail-fast=3"], &[], &[]).fail_fast, Some(3));
    }

    #[test]
    fn mistakes_get_one_line_and_a_hint() {
        refused(&["tset"], "unknown command `tset`", "did you mean `orca test`?");
        refused(&["test", "--jbos"], "orca test has no option `--jbos`", "did you mean `--jobs`?");
        refused(
            &["list", "-j2"],
            "orca list has no option `-j`",
            "`orca list --help` shows all options",
        );
        refused(
            &["list", "--retries"],
            "orca list has no option `--retries`",
            "it belongs to `orca test`",
        );
        let error = run(&["test", "-j0"], &[], &[]).unwrap_err();
        assert_eq!(error.to_string(), "--jobs takes a number from 1 to 256, not `0`");
        let error = run(&["test", "--jobs"], &[], &[]).unwrap_err();
        assert_eq!(error.to_string(), "--jobs needs a value: --jobs N");
        let error = run(&["test"], &[("ORCA_JOBS", "many")], &[]).unwrap_err();
        assert_eq!(error.to_string(), "ORCA_JOBS takes a number from 1 to 256, not `many`");
        let error = run(&["test"], &[], &["--jbos=2"]).unwrap_err();
        assert_eq!(error.to_string(), "`.orcarc` line 1: unknown setting `--jbos=2`");
    }

    #[test]
    fn a_test_is_run_again_as_it_was_run() {
        let args =
            ["test", "-j4", "-m1G", "t/a", "--env", "A=b c", "--junit=x", "-C", "..", "--cold"];
        let raw = raw(&args, &[], &["--net=user"]);
        assert_eq!(raw.again, ["--memory=1G", "--env=A", "--project-root=..", "--cold"]);
    }

    #[test]
    fn help_comes_before_everything_that_could_fail() {
        let broken = |_: &Raw| Err(Error::new("broken"));
        let args = ["test", "--help"].map(OsString::from);
        assert!(matches!(parse(args, &[], broken), Ok(Parsed::Help(Some(Command::Test), true))));
        let variables = [("ORCA_JOBS".into(), "many".into())];
        let args = ["test", "-h"].map(OsString::from);
        assert!(matches!(
            parse(args, &variables, broken),
            Ok(Parsed::Help(Some(Command::Test), false))
        ));
        assert!(matches!(run(&[], &[], &[]), Ok(Parsed::Help(None, false))));
        assert!(matches!(
            run(&["help", "run"], &[], &[]),
            Ok(Parsed::Help(Some(Command::Run), true))
        ));
        assert!(matches!(run(&["--version"], &[], &[]), Ok(Parsed::Version)));
    }
}
