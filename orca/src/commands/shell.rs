//! `orca shell`: a shell or a command in a machine of another orca of this user, through the socket
//! that the orca serves for it.

use crate::cli::config::Config;
use crate::conductor::interactive::{self, End};
use crate::error::{Error, Result};
use crate::host::{rundir, signals};
use std::path::PathBuf;

/// The socket of a machine, and its names.
struct Door {
    socket: PathBuf,
    /// The name of the run's folder, without the prefix that all have.
    run: String,
    /// The machine's name.
    name: String,
    /// What the machine is for.
    about: String,
}

/// Connects to the named machine, or to the only one, and returns the status of the shell or
/// command.
///
/// # Errors
/// No such machine, or more than one; a machine that goes away.
pub fn run(config: &Config) -> Result<u8> {
    let names: Vec<String> =
        config.raw.words.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let doors: Vec<Door> = rundir::shell_sockets().into_iter().filter_map(door).collect();
    let door = choose(&doors, &names)?;
    let signals = signals::listen()?;
    let gone = |why: String| Error::new(format!("`{}` is gone: {why}", door.name));
    let mut guest = interactive::call(&door.socket).map_err(gone)?;
    let env = interactive::environment(config);
    let ended = match &config.raw.rest {
        Some(words) if !words.is_empty() => interactive::command(&mut guest, words, env, &signals),
        _ => interactive::shell(&mut guest, env, &signals),
    };
    match ended.map_err(gone)? {
        End::Status(status) => Ok(status),
        End::Signal(signal) => signals::die_of(signal),
    }
}

fn door(socket: PathBuf) -> Option<Door> {
    let name = socket.file_stem()?.to_str()?.to_owned();
    let run = socket.parent()?.file_name()?.to_str()?.to_owned();
    let about = std::fs::read_to_string(socket.with_extension("about")).unwrap_or_default();
    let about = about.chars().filter(|c| !c.is_control()).collect();
    Some(Door { socket, run: run.trim_start_matches("orca-").to_owned(), name, about })
}

fn choose<'a>(doors: &'a [Door], names: &[String]) -> Result<&'a Door> {
    let fits = |door: &&Door| match names {
        [] => true,
        [name] => door.name == *name || format!("{}/{}", door.run, door.name) == *name,
        _ => false,
    };
    let found: Vec<&Door> = doors.iter().filter(fits).collect();
    match (&found[..], names) {
        ([door], _) => Ok(door),
        (_, [_, extra, ..]) => Err(Error::new(format!("unexpected argument `{extra}`"))
            .hint("put the command to run in the machine after `--`")),
        ([], _) if doors.is_empty() => Err(Error::new("no orca of yours holds a machine")
            .hint("`orca test --keep` keeps those of failed tests, `orca run` has one")),
        ([], [name, ..]) => {
            Err(Error::new(format!("no machine is called `{name}`")).hint(list(doors)))
        }
        _ => Err(Error::new("there are several machines").hint(list(&found))),
    }
}

fn list<D: std::borrow::Borrow<Door>>(doors: &[D]) -> String {
    let line = |door: &D| {
        let Door { run, name, about, .. } = door.borrow();
        format!("\n  orca shell {run}/{name}  {about}")
    };
    format!("name one of them:{}", doors.iter().map(line).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn doors(paths: &[&str]) -> Vec<Door> {
        paths.iter().filter_map(|path| door(PathBuf::from(path))).collect()
    }

    #[track_caller]
    fn check(doors: &[Door], names: &[&str], expected: Result<&str, &str>) {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let got = choose(doors, &names).map(|door| format!("{}/{}", door.run, door.name));
        let got = got.map_err(|error| error.to_string());
        assert_eq!(got, expected.map(str::to_owned).map_err(str::to_owned));
    }

    #[test]
    fn a_machine_is_found_by_as_much_as_it_takes() {
        let one = doors(&["/t/orca-aaa/vm3.shell"]);
        check(&one, &[], Ok("aaa/vm3"));
        check(&one, &["vm3"], Ok("aaa/vm3"));
        check(&one, &["vm4"], Err("no machine is called `vm4`"));
        check(&one, &["vm3", "ls"], Err("unexpected argument `ls`"));
        check(&[], &[], Err("no orca of yours holds a machine"));
        let two =
            doors(&["/t/orca-aaa/vm3.shell", "/t/orca-bbb/vm3.shell", "/t/orca-bbb/vm4.shell"]);
        check(&two, &[], Err("there are several machines"));
        check(&two, &["vm3"], Err("there are several machines"));
        check(&two, &["vm4"], Ok("bbb/vm4"));
        check(&two, &["aaa/vm3"], Ok("aaa/vm3"));
    }
}
