//! The configuration of a command: its options, and what they leave open (the project, the number
//! of machines, the folders) filled in. This looks at the host and changes nothing.

use super::raw::{Color, Raw};
use crate::error::{Error, Result};
use crate::host::{logdir, sys};
use crate::shape::Shape;
use std::ffi::OsString;
use std::fs;
use std::io::IsTerminal;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// The memory that QEMU needs besides the guest's own.
const OVERHEAD_MIB: u64 = 128;
/// The folder under a project's root that holds its tests.
pub const TEST_DIR: &str = "t";
/// The folder of the histories, below the state folder.
pub const HISTORIES: &str = "history";
/// The file with a project's settings.
const RC: &str = ".orcarc";

/// The settings of a command, with everything that they leave open filled in.
#[derive(Clone, Debug)]
pub struct Config {
    /// The project's root, canonical.
    pub root: PathBuf,
    /// The machine of a test that asks for nothing.
    pub shape: Shape,
    /// How many machines run at once, at most; fewer if there are fewer tests.
    pub jobs: usize,
    /// The folder of what can be made again: templates, images, remembered answers.
    pub cache: PathBuf,
    /// The folder of logs and histories.
    pub state: PathBuf,
    /// The options.
    pub raw: Raw,
}

impl Config {
    /// Fills in what the options leave open.
    ///
    /// # Errors
    /// A project that does not exist.
    pub fn new(raw: Raw) -> Result<Self> {
        let root = project_root(raw.project_root.as_deref())?;
        Ok(Self {
            shape: raw.shape,
            jobs: raw.jobs.unwrap_or_else(|| default_jobs(raw.shape)),
            cache: user_dir("XDG_CACHE_HOME", ".cache"),
            state: user_dir("XDG_STATE_HOME", ".local/state"),
            root,
            raw,
        })
    }

    /// Whether standard output gets colours.
    pub fn colors(&self) -> bool {
        let unwanted = || std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        match self.raw.color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => crate::host::tty::output().is_terminal() && !unwanted(),
        }
    }

    /// The words of the command line, as paths.
    pub fn paths(&self) -> Vec<PathBuf> {
        self.raw.words.iter().map(PathBuf::from).collect()
    }

    /// The variables of `--env`, as names and values.
    pub fn variables(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        let pair = |(name, value): &(String, OsString)| {
            (name.as_bytes().to_vec(), value.as_bytes().to_vec())
        };
        self.raw.env.iter().map(pair).collect()
    }

    /// The file with the history of the project's tests.
    pub fn history_path(&self) -> PathBuf {
        let own = || {
            let name = logdir::project_name(&self.root);
            self.state.join(HISTORIES).join(format!("{name}.jsonl"))
        };
        self.raw.history.clone().unwrap_or_else(own)
    }

    /// An image file with one of these names, the best first. It is looked for in the project's
    /// `build`, then in the folder of this program. For guests of a foreign architecture it is in a
    /// folder below, which is named after the architecture. If there is no such file, this is the
    /// last name in `build`.
    pub fn image_file(&self, names: &[&str]) -> PathBuf {
        let below = match self.raw.arch {
            Some(arch) if !arch.is_host() => arch.to_string(),
            _ => String::new(),
        };
        let own = std::env::current_exe().ok().and_then(|exe| Some(exe.parent()?.to_owned()));
        let project = self.root.join("build").join(&below);
        let dirs = [Some(project.clone()), own.map(|dir| dir.join(&below))];
        let candidates = dirs.iter().flatten().flat_map(|dir| names.iter().map(|n| dir.join(n)));
        candidates
            .into_iter()
            .find(|path| path.exists())
            .unwrap_or_else(|| project.join(names.last().copied().unwrap_or_default()))
    }
}

/// The settings in the `.orcarc` of the project at `root`, or of the one around the current folder,
/// each with its line, from 1: one argument per line. Blank lines and lines that begin with `#` do
/// not count.
///
/// # Errors
/// A file that cannot be read. A missing file has no settings, and neither has a missing project.
pub fn rc_settings(root: Option<&Path>) -> Result<Vec<(usize, OsString)>> {
    let Ok(root) = project_root(root) else {
        return Ok(Vec::new()); // commands that need the project say so themselves
    };
    let path = root.join(RC);
    if fs::metadata(&path).is_ok_and(|meta| !meta.is_file()) {
        let error = Error::new(format!("`{}` is not a regular file", path.display()));
        return Err(error.hint("write settings into it, one argument per line"));
    }
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(Error::io("read", &path, &e)),
    };
    let lines = (1..).zip(bytes.split(|&b| b == b'\n').map(<[u8]>::trim_ascii));
    let settings = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with(b"#"));
    Ok(settings.map(|(number, line)| (number, OsString::from_vec(line.to_vec()))).collect())
}

fn project_root(given: Option<&Path>) -> Result<PathBuf> {
    if let Some(dir) = given {
        let root = fs::canonicalize(dir).map_err(|e| {
            Error::io("find the project", dir, &e)
                .hint("name an existing folder with --project-root")
        })?;
        if root.is_dir() {
            return Ok(root);
        }
        let error = Error::new(format!("the project `{}` is not a folder", dir.display()));
        return Err(error.hint("name an existing folder with --project-root"));
    }
    let here = std::env::current_dir()
        .and_then(fs::canonicalize)
        .map_err(|e| Error::io("find", Path::new("."), &e))?;
    let above = here.ancestors().find(|dir| dir.join(TEST_DIR).is_dir());
    Ok(above.unwrap_or(&here).to_owned())
}

/// As many machines as the cores allow, fewer if memory is short, at least one.
fn default_jobs(shape: Shape) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let by_cores = cores / shape.cpus.max(1) as usize;
    let by_memory = machines_in_memory(shape.memory_mib).map_or(usize::MAX, |fit| fit as usize);
    by_cores.min(by_memory).max(1)
}

/// How many machines with this much memory fit into what the host has free; `None` if the host does
/// not say.
pub fn machines_in_memory(memory_mib: u32) -> Option<u64> {
    Some(sys::available_mib()? / (u64::from(memory_mib) + OVERHEAD_MIB))
}

/// `$VARIABLE/orca`, or `~/<fallback>/orca`. The home is `$HOME`, or that of the password file;
/// without either, a folder among the temporary ones.
fn user_dir(variable: &str, fallback: &str) -> PathBuf {
    let absolute =
        |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    if let Some(dir) = absolute(variable) {
        return dir.join("orca");
    }
    let user = nix::unistd::geteuid();
    let listed = || nix::unistd::User::from_uid(user).ok().flatten().map(|user| user.dir);
    let home = absolute("HOME").or_else(listed).filter(|home| home.is_dir());
    let home = home.unwrap_or_else(|| std::env::temp_dir().join(format!("orca-user-{user}")));
    home.join(fallback).join("orca")
}
