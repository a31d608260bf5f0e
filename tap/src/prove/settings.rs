//! [`RawArgs`] and the environment → [`Settings`]: checked, with every default filled in.

use super::args::distance;
use super::error::Error;
use super::raw::RawArgs;
use std::ffi::OsString;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::time::Duration;

/// The most jobs accepted; more are a slip of the finger.
const JOBS_MAX: usize = 4096;
/// The default of `--statefile`.
const STATE_FILE: &str = ".prove";

/// How much of each test is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Verbosity {
    ReallyQuiet,
    Quiet,
    Normal,
    Verbose,
}

/// Conditions that fail a file whatever its verdict.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct FailOn {
    pub(super) skip: bool,
    pub(super) todo_passed: bool,
}

/// Which lines of a test are shown, and how.
#[derive(Clone, Copy, Debug)]
pub(super) struct Show {
    pub(super) verbosity: Verbosity,
    pub(super) failures: bool,
    pub(super) comments: bool,
    pub(super) directives: bool,
    pub(super) normalize: bool,
    pub(super) all_errors: bool,
    pub(super) timer: bool,
    pub(super) color: bool,
    pub(super) count: bool,
    pub(super) terminal: bool,
}

/// How a test is run.
#[derive(Clone, Debug)]
pub(super) struct Launch {
    /// The words of `-e`; if `None`, the file itself decides.
    pub(super) exec: Option<Vec<String>>,
    pub(super) merge: bool,
    pub(super) libs: Vec<PathBuf>,
    pub(super) test_args: Vec<OsString>,
    pub(super) timeout: Option<Duration>,
    pub(super) verbose: bool,
    /// Whether the output of tests is kept for a report.
    pub(super) capture: bool,
}

/// Everything a run needs to know.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) jobs: usize,
    pub(super) ignore_exit: bool,
    pub(super) trap: bool,
    pub(super) fail_on: FailOn,
    pub(super) junit: Option<PathBuf>,
    pub(super) show: Show,
    pub(super) launch: Launch,
}

/// Which tests to run.
#[derive(Debug)]
pub(super) struct Selection {
    pub(super) exts: Vec<String>,
    pub(super) recurse: bool,
    pub(super) shuffle: bool,
    pub(super) reverse: bool,
    pub(super) state: Vec<String>,
    pub(super) statefile: PathBuf,
    pub(super) tests: Vec<OsString>,
}

/// Checks and completes `raw`.
pub(super) fn resolve(raw: RawArgs) -> Result<(Settings, Selection), Error> {
    let env = Environment::read()?;
    let terminal = std::io::stdout().is_terminal() && !env.no_tty;
    let launch = launch(&raw, env.verbosity)?;
    let show = Show {
        verbosity: verbosity(&raw)?.unwrap_or(env.verbosity),
        failures: raw.failures,
        comments: raw.comments,
        directives: raw.directives,
        normalize: raw.normalize,
        all_errors: raw.parse,
        timer: raw.timer || env.timer,
        color: terminal && raw.color.unwrap_or(true),
        count: terminal && raw.count.unwrap_or(true),
        terminal,
    };
    let settings = Settings {
        jobs: match raw.jobs.as_deref() {
            Some(text) => jobs(text)?,
            None => env.jobs.unwrap_or(1),
        },
        ignore_exit: raw.ignore_exit || env.ignore_exit,
        trap: raw.trap,
        fail_on: fail_on(&raw.fail_on)?,
        junit: raw.junit.map(PathBuf::from),
        show,
        launch,
    };
    let exts = if raw.exts.is_empty() { vec![".t".into()] } else { raw.exts };
    let selection = Selection {
        exts,
        recurse: raw.recurse,
        shuffle: raw.shuffle,
        reverse: raw.reverse,
        state: raw.state,
        statefile: raw.statefile.unwrap_or_else(|| STATE_FILE.into()).into(),
        tests: raw.tests,
    };
    Ok((settings, selection))
}

fn launch(raw: &RawArgs, env: Verbosity) -> Result<Launch, Error> {
    let mut libs: Vec<PathBuf> = Vec::new();
    if raw.lib {
        libs.push("lib".into());
    }
    if raw.blib {
        libs.extend(["blib/lib".into(), "blib/arch".into()]);
    }
    libs.extend(raw.includes.iter().map(PathBuf::from));
    let absolute = |lib: PathBuf| std::path::absolute(&lib).unwrap_or(lib);
    let words = |cmd: &String| cmd.split_whitespace().map(str::to_owned).collect();
    Ok(Launch {
        exec: raw.exec.as_ref().map(words),
        merge: raw.merge,
        libs: libs.into_iter().map(absolute).collect(),
        test_args: raw.test_args.clone(),
        timeout: raw.timeout.as_deref().map(duration).transpose()?,
        verbose: raw.verbose || env == Verbosity::Verbose,
        capture: raw.junit.is_some(),
    })
}

fn verbosity(raw: &RawArgs) -> Result<Option<Verbosity>, Error> {
    match (raw.verbose, raw.quiet, raw.really_quiet) {
        (false, false, false) => Ok(None),
        (true, false, false) => Ok(Some(Verbosity::Verbose)),
        (false, true, false) => Ok(Some(Verbosity::Quiet)),
        (false, false, true) => Ok(Some(Verbosity::ReallyQuiet)),
        _ => Err(Error::usage("only one of `-v`, `-q` and `-Q` can be given")),
    }
}

fn jobs(text: &str) -> Result<usize, Error> {
    let good = text.parse().ok().filter(|n| (1..=JOBS_MAX).contains(n));
    good.ok_or_else(|| Error::usage(format!("`--jobs {text}`: not a number from 1 to {JOBS_MAX}")))
}

/// Reads `90`, `90s`, `1.5m`, `2h` or `500ms`.
fn duration(text: &str) -> Result<Duration, Error> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "" | "s" => 1.0,
        "ms" => 0.001,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        _ => f64::NAN,
    };
    let seconds = digits.parse::<f64>().unwrap_or(f64::NAN) * unit;
    let good = Duration::try_from_secs_f64(seconds).ok().filter(|d| !d.is_zero());
    good.ok_or_else(|| {
        Error::usage(format!("`--timeout {text}`: not a time")).hint("try `90s`, `5m` or `500ms`")
    })
}

fn fail_on(lists: &[String]) -> Result<FailOn, Error> {
    const KNOWN: [&str; 2] = ["skip", "todo-passed"];
    let mut out = FailOn::default();
    for word in lists.iter().flat_map(|list| list.split(',')) {
        match word.trim() {
            "skip" => out.skip = true,
            "todo-passed" => out.todo_passed = true,
            other => {
                let near =
                    KNOWN.iter().min_by_key(|known| distance(known, other)).unwrap_or(&"skip");
                return Err(Error::usage(format!("`--fail-on {other}`: unknown condition"))
                    .hint(format!("did you mean `{near}`?")));
            }
        }
    }
    Ok(out)
}

/// The settings in the environment variables of Perl's harness.
struct Environment {
    jobs: Option<usize>,
    timer: bool,
    ignore_exit: bool,
    no_tty: bool,
    verbosity: Verbosity,
}

impl Environment {
    fn read() -> Result<Self, Error> {
        let get = |name| std::env::var(name).unwrap_or_default();
        let truth = |name| !matches!(get(name).as_str(), "" | "0");
        let mut jobs_wanted = None;
        for item in get("HARNESS_OPTIONS").split(':').filter(|item| !item.is_empty()) {
            match item.split_at(1) {
                ("j", "") => jobs_wanted = Some(9),
                ("j", count) => jobs_wanted = Some(jobs(count)?),
                ("c", "") => {}
                _ => return Err(Error::usage(format!("HARNESS_OPTIONS: cannot do `{item}`"))),
            }
        }
        let verbosity = match get("HARNESS_VERBOSE").parse::<i64>() {
            Ok(0) => Verbosity::Normal,
            Ok(-1) => Verbosity::Quiet,
            Ok(..=-2) => Verbosity::ReallyQuiet,
            Err(_) if get("HARNESS_VERBOSE").is_empty() => Verbosity::Normal,
            _ => Verbosity::Verbose,
        };
        Ok(Self {
            jobs: jobs_wanted,
            timer: truth("HARNESS_TIMER"),
            ignore_exit: truth("HARNESS_IGNORE_EXIT"),
            no_tty: truth("HARNESS_NOTTY"),
            verbosity,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units() {
        let ms = |text| duration(text).map(|d| d.as_millis()).map_err(|e| e.to_string());
        assert_eq!(ms("90"), Ok(90_000));
        assert_eq!(ms("1.5m"), Ok(90_000));
        assert_eq!(ms("500ms"), Ok(500));
        for bad in ["", "0", "-1", "5x", "nan", "1e30h"] {
            assert!(ms(bad).is_err(), "{bad}");
        }
    }
}
