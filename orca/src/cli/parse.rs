//! Arguments in, [`Raw`] out. Each source is read once into a list of settings. The lists are then
//! applied in order: the defaults, `.orcarc`, `ORCA_*`, the command line. A later value of a flag
//! replaces an earlier one.
//!
//! Parsing validates and never acts. `--help` is found before any value is checked and before any
//! other source is read, so it works whatever else is broken.

use super::command::{COMMANDS, Command, Words};
use super::flag::{Flag, Later, Takes};
use super::flags::{self, FLAGS};
use super::raw::{Raw, Source};
use super::rerun;
use super::setting::Setting;
use crate::error::{Error, Result};
use crate::text::suggest::nearest;
use lexopt::{Arg, Parser};
use std::ffi::OsString;
use std::path::Path;

/// What the command line asks for.
#[derive(Debug)]
pub enum Parsed {
    /// A command, and its settings.
    Do(Command, Box<Raw>),
    /// Help for the command, or for `orca` itself; `true` for the long one.
    Help(Option<Command>, bool),
    /// The version.
    Version,
}

/// Parses everything behind `orca`. `variables` is the environment. `rc` returns the settings in
/// the `.orcarc` of the project at the given root, or of the one around the current folder. It is
/// not called for help.
///
/// # Errors
/// A usage error: one line, with a suggestion if there is one.
pub fn parse(
    args: impl IntoIterator<Item = OsString>,
    variables: &[(OsString, OsString)],
    rc: impl FnOnce(Option<&Path>) -> Result<Vec<(usize, OsString)>>,
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
    let line = match read(command, rest, &Source::Line)? {
        Read::Line(line) => line,
        Read::Help(long) => return Ok(Parsed::Help(Some(command), long)),
        Read::Version => return Ok(Parsed::Version),
    };
    if let (Words::None, Some(word)) = (command.row().words, line.words.first()) {
        return Err(unexpected_word(command, &word.to_string_lossy()));
    }
    // The kernels and modules of a project's runs are not those of an image that is being built.
    let reads_settings = command != Command::Image;
    let variables = if reads_settings { variables } else { &[] };
    let environment = from_environment(command, variables);
    let is_root = |setting: &&Setting| setting.flag.long == flags::PROJECT_ROOT;
    let root = line.settings.iter().rev().chain(&environment).find(is_root);
    let root = root.map(|setting| Path::new(&setting.value));
    let file = if reads_settings { from_rc(command, rc(root)?)? } else { Vec::new() };
    let mut raw = flags::defaults();
    raw.again = rerun::words(&line.settings);
    raw.words = line.words;
    raw.rest = line.rest;
    let mut sources = [file, environment, line.settings];
    drop_replaced(&mut sources);
    sources.into_iter().flatten().try_for_each(|setting| setting.apply(&mut raw))?;
    Ok(Parsed::Do(command, Box::new(raw)))
}

/// Drops values of lists that a later source replaces.
fn drop_replaced(sources: &mut [Vec<Setting>]) {
    for later in 1..sources.len() {
        let (earlier, rest) = sources.split_at_mut(later);
        let replaced = |flag: &Flag| {
            matches!(flag.takes, Takes::List(_, Later::Replace, _))
                && rest[0].iter().any(|setting| setting.flag.long == flag.long)
        };
        earlier.iter_mut().for_each(|source| source.retain(|setting| !replaced(setting.flag)));
    }
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

fn unexpected_word(command: Command, word: &str) -> Error {
    let error = Error::new(format!("unexpected argument `{}`", word.escape_debug()));
    if command.takes_command() {
        return error.hint("put the command to run in the machine after `--`");
    }
    error.hint(format!("`orca {} --help` shows what it takes", command.row().name))
}

/// A mistake that `lexopt` found in the arguments, in this program's words.
pub fn mistake(error: &lexopt::Error) -> Error {
    use lexopt::Error as Found;
    Error::new(match error {
        Found::MissingValue { option: Some(option) } => format!("{option} needs a value"),
        Found::UnexpectedOption(option) => format!("unknown option `{option}`"),
        Found::UnexpectedArgument(word) => {
            format!("unexpected argument `{}`", word.to_string_lossy().escape_debug())
        }
        Found::UnexpectedValue { option, value } => {
            let value = value.to_string_lossy();
            format!("{option} takes no value, not `{}`", value.escape_debug())
        }
        other => lower(&other.to_string()),
    })
}

/// What a list of arguments asks for.
enum Read {
    /// A command with these settings and words.
    Line(Line),
    /// Help; `true` for the long one.
    Help(bool),
    /// The version.
    Version,
}

/// Arguments, taken apart.
#[derive(Default)]
struct Line {
    settings: Vec<Setting>,
    /// The arguments that are no options.
    words: Vec<OsString>,
    /// The arguments behind `--`, of commands that run another command.
    rest: Option<Vec<OsString>>,
}

/// Takes arguments apart, without checking a value.
fn read(command: Command, mut args: Vec<OsString>, source: &Source) -> Result<Read> {
    let mut line = Line::default();
    // lexopt drops a `--` silently, so the arguments behind it are split off here.
    let cut = args.iter().position(|arg| arg == "--").filter(|_| command.takes_command());
    if let Some(cut) = cut {
        line.rest = Some(args.split_off(cut + 1));
        args.truncate(cut);
    }
    let mut parser = Parser::from_args(args);
    while let Some(arg) = parser.next().map_err(|e| mistake(&e))? {
        let typed = match arg {
            Arg::Long(name) => format!("--{name}"),
            Arg::Short(letter) => format!("-{letter}"),
            Arg::Value(_) => String::new(),
        };
        let flag = match arg {
            Arg::Long("help") => return Ok(Read::Help(true)),
            Arg::Short('h') => return Ok(Read::Help(false)),
            Arg::Long("version") | Arg::Short('V') => return Ok(Read::Version),
            Arg::Long(name) => {
                flags::find(command, name).ok_or_else(|| unknown_flag(command, name))?
            }
            Arg::Short(letter) => flags::find_short(command, letter)
                .ok_or_else(|| unknown_flag(command, &letter.to_string()))?,
            Arg::Value(word) => {
                line.words.push(word);
                continue;
            }
        };
        let value = take_value(flag, &typed, &mut parser)?;
        line.settings.push(Setting { flag, value, source: source.clone() });
    }
    Ok(Read::Line(line))
}

/// Takes the value of `flag`, which was given as `typed`.
fn take_value(flag: &Flag, typed: &str, parser: &mut Parser) -> Result<OsString> {
    match flag.takes {
        Takes::Nothing(_) => Ok(OsString::new()),
        Takes::Optional(..) => Ok(parser.optional_value().unwrap_or_default()),
        Takes::Value(..) | Takes::List(..) | Takes::Choice(..) | Takes::Variable(_) => {
            let form = flag.form();
            let missing = |_| Error::new(format!("{typed} needs a value: {typed}{form}"));
            parser.value().map_err(missing)
        }
    }
}

fn unknown_flag(command: Command, name: &str) -> Error {
    let dashes = if name.chars().count() == 1 { "-" } else { "--" };
    let orca = command.row().name;
    let error = Error::new(format!("orca {orca} has no option `{dashes}{}`", name.escape_debug()));
    let mine = flags::of(command).map(|flag| flag.long);
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

/// The settings of the environment: `ORCA_JOBS=4` is `--jobs 4`; a switch is on for `1`, `true` and
/// `yes`. A variable without a flag is ignored: it belongs to somebody else.
fn from_environment(command: Command, variables: &[(OsString, OsString)]) -> Vec<Setting> {
    let setting = |flag: &'static Flag| {
        let name = flag.variable();
        let (_, value) = variables.iter().find(|(variable, _)| *variable == *name)?;
        let is_switch = matches!(flag.takes, Takes::Nothing(_));
        let is_on = match is_switch {
            true => ["1", "true", "yes"].iter().any(|yes| value == yes),
            false => !value.is_empty(),
        };
        let value = if is_switch { OsString::new() } else { value.clone() };
        is_on.then_some(Setting { flag, value, source: Source::Variable(name) })
    };
    flags::of(command).filter_map(setting).collect()
}

/// The settings of `.orcarc`. Those of other commands are skipped, unknown ones are errors.
fn from_rc(command: Command, lines: Vec<(usize, OsString)>) -> Result<Vec<Setting>> {
    let mut settings = Vec::new();
    for (number, word) in lines {
        let text = word.to_string_lossy().into_owned();
        let name = text.strip_prefix("--").map(|rest| rest.split('=').next().unwrap_or(rest));
        let known = name.is_some_and(|name| FLAGS.iter().any(|flag| flag.long == name));
        if !known {
            let near = nearest(name.unwrap_or(&text), FLAGS.iter().map(|flag| flag.long));
            let hint = near.map_or_else(
                || "write one `--option=value` per line".to_owned(),
                |near| format!("did you mean `--{near}`?"),
            );
            let error = Error::new(format!("`.orcarc` line {number}: unknown setting `{text}`"));
            return Err(error.hint(hint));
        }
        if name.is_some_and(|name| flags::find(command, name).is_some())
            && let Read::Line(line) = read(command, vec![word], &Source::Rc(number))?
        {
            settings.extend(line.settings);
        }
    }
    Ok(settings)
}

fn lower(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_lowercase().chain(chars).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use agent::wire::Share;

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
        assert_eq!(raw(&["test"], &[], &rc).kernels.len(), 2);
        let typed = ["test", "--kernel", "c", "--kernel", "d"];
        let kernels = raw(&typed, &[("ORCA_KERNEL", "e")], &rc).kernels;
        assert_eq!(kernels, [Path::new("c"), Path::new("d")]);
        assert_eq!(raw(&["test", "--tag=b"], &[], &["--tag=a"]).tag, ["a", "b"]);
        assert!(!raw(&["test"], &[("ORCA_DEBUG", "0")], &[]).debug);
    }

    #[test]
    fn the_project_that_was_typed_last_is_whose_file_is_read() {
        let root = |args: &[&str], variables: &[(&str, &str)]| {
            let mut asked = None;
            let rc = |root: Option<&Path>| {
                asked = root.map(Path::to_owned);
                Ok(Vec::new())
            };
            let variables: Vec<(OsString, OsString)> =
                variables.iter().map(|(name, value)| (name.into(), value.into())).collect();
            parse(args.iter().map(OsString::from), &variables, rc).unwrap();
            asked.map(|root| root.to_str().unwrap().to_owned())
        };
        let variable = [("ORCA_PROJECT_ROOT", "c")];
        assert_eq!(root(&["test"], &[]), None);
        assert_eq!(root(&["test"], &variable).as_deref(), Some("c"));
        let typed = ["test", "-Ca", "--project-root=b"];
        assert_eq!(root(&typed, &variable).as_deref(), Some("b"));
    }

    #[test]
    fn what_nobody_sets_has_the_default_of_the_table() {
        let raw = raw(&["test", "--share=ro"], &[], &[]);
        assert_eq!((raw.shape.cpus, raw.retries, raw.share), (1, 0, Some(Share::Ro)));
        assert_eq!(raw.timeout, std::time::Duration::from_secs(120));
        assert_eq!((raw.jobs, raw.repeat, raw.given.len()), (None, None, 1));
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
        let error = run(&["test", "-k"], &[], &[]).unwrap_err();
        assert_eq!(error.to_string(), "-k needs a value: -k EXPR");
        for (typed, message) in [
            ("--failed=1", "--failed takes no value, not `1`"),
            ("-q=x", "-q takes no value, not `x`"),
        ] {
            let error = run(&["test", typed], &[], &[]).unwrap_err();
            assert_eq!(error.to_string(), message);
        }
        let error = run(&["test"], &[("ORCA_JOBS", "many")], &[]).unwrap_err();
        assert_eq!(error.to_string(), "ORCA_JOBS takes a number from 1 to 256, not `many`");
        let error = run(&["test"], &[], &["--jbos=2"]).unwrap_err();
        assert_eq!(error.to_string(), "`.orcarc` line 1: unknown setting `--jbos=2`");
    }

    #[test]
    fn a_command_that_takes_no_words_refuses_them() {
        for row in COMMANDS.iter().filter(|row| row.words == Words::None) {
            let error = run(&[row.name, "foo"], &[], &[]).unwrap_err();
            assert_eq!(error.to_string(), "unexpected argument `foo`", "{}", row.name);
        }
        refused(
            &["man", "foo"],
            "unexpected argument `foo`",
            "`orca man --help` shows what it takes",
        );
        refused(
            &["run", "ls"],
            "unexpected argument `ls`",
            "put the command to run in the machine after `--`",
        );
        let help = run(&["man", "foo", "--help"], &[], &[]);
        assert!(matches!(help, Ok(Parsed::Help(Some(Command::Man), true))));
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
        let broken = |_: Option<&Path>| Err(Error::new("broken"));
        let args = ["test", "--help"].map(OsString::from);
        assert!(matches!(parse(args, &[], broken), Ok(Parsed::Help(Some(Command::Test), true))));
        let variables = [("ORCA_JOBS".into(), "many".into())];
        let args = ["test", "-h"].map(OsString::from);
        assert!(matches!(
            parse(args, &variables, broken),
            Ok(Parsed::Help(Some(Command::Test), false))
        ));
        let late = run(&["test", "-j0", "--accel=none", "--help"], &[], &[]);
        assert!(matches!(late, Ok(Parsed::Help(Some(Command::Test), true))));
        assert!(matches!(run(&[], &[], &[]), Ok(Parsed::Help(None, false))));
        assert!(matches!(
            run(&["help", "run"], &[], &[]),
            Ok(Parsed::Help(Some(Command::Run), true))
        ));
        assert!(matches!(run(&["--version"], &[], &[]), Ok(Parsed::Version)));
    }
}
