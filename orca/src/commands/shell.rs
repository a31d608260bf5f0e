//! `orca shell`: a shell or a command in a machine of another orca of this user, through the socket
//! at which that orca serves the machine.

use crate::cli::config::Config;
use crate::conductor::interactive::{self, End};
use crate::error::{Error, Result};
use crate::host::{rundir, signals};
use std::path::PathBuf;

/// A machine that a shell can be opened in.
struct Served {
    /// Where the orca that has the machine serves it.
    socket: PathBuf,
    /// The name of the run's private folder, without the prefix that all have.
    run: String,
    /// The machine's name.
    name: String,
    /// What the machine is for.
    about: String,
}

/// Connects to the named machine, or to the only one, and returns the status of the shell or of the
/// command.
///
/// # Errors
/// No such machine, or more than one; a machine that goes away.
pub fn run(config: &Config) -> Result<u8> {
    let names: Vec<String> =
        config.raw.words.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let all: Vec<Served> = rundir::shell_sockets().into_iter().filter_map(served).collect();
    let machine = choose(&all, &names)?;
    let signals = signals::listen()?;
    let gone = |why: String| Error::new(format!("`{}` is gone: {why}", machine.name));
    let mut guest = interactive::call(&machine.socket).map_err(gone)?;
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

fn served(socket: PathBuf) -> Option<Served> {
    let name = socket.file_stem()?.to_str()?.to_owned();
    let run = socket.parent()?.file_name()?.to_str()?.to_owned();
    let about = std::fs::read_to_string(socket.with_extension("about")).unwrap_or_default();
    let about = about.chars().filter(|c| !c.is_control()).collect();
    Some(Served {
        socket,
        run: run.strip_prefix(rundir::PREFIX).unwrap_or(&run).to_owned(),
        name,
        about,
    })
}

fn choose<'a>(all: &'a [Served], names: &[String]) -> Result<&'a Served> {
    let fits = |machine: &&Served| match names {
        [] => true,
        [name] => machine.name == *name || format!("{}/{}", machine.run, machine.name) == *name,
        _ => false,
    };
    let found: Vec<&Served> = all.iter().filter(fits).collect();
    match (&found[..], names) {
        ([machine], _) => Ok(machine),
        (_, [_, extra, ..]) => Err(Error::new(format!("unexpected argument `{extra}`"))
            .hint("put the command to run in the machine after `--`")),
        ([], _) if all.is_empty() => Err(Error::new("no orca of yours holds a machine")
            .hint("`orca test --keep` keeps those of failed tests, `orca run` has one")),
        ([], [name, ..]) => {
            Err(Error::new(format!("no machine is called `{name}`")).hint(list(all)))
        }
        _ => Err(Error::new("there are several machines").hint(list(&found))),
    }
}

/// A hint with a line for each of `machines`. A machine whose name another one has, too, is called
/// RUN/VM.
fn list<S: std::borrow::Borrow<Served>>(machines: &[S]) -> String {
    let line = |machine: &S| {
        let Served { run, name, about, .. } = machine.borrow();
        let namesakes = machines.iter().filter(|other| (*other).borrow().name == *name).count();
        let shown = if namesakes > 1 { format!("{run}/{name}") } else { name.clone() };
        format!("\n  orca shell {shown}  {about}")
    };
    format!("name one of them:{}", machines.iter().map(line).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machines(paths: &[&str]) -> Vec<Served> {
        paths.iter().filter_map(|path| served(PathBuf::from(path))).collect()
    }

    #[track_caller]
    fn check(all: &[Served], names: &[&str], expected: Result<&str, &str>) {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let got = choose(all, &names).map(|machine| format!("{}/{}", machine.run, machine.name));
        let got = got.map_err(|error| error.to_string());
        assert_eq!(got, expected.map(str::to_owned).map_err(str::to_owned));
    }

    #[test]
    fn a_machine_is_found_by_as_much_as_it_takes() {
        let one = machines(&["/t/orca-aaa/vm3.shell"]);
        check(&one, &[], Ok("aaa/vm3"));
        check(&one, &["vm3"], Ok("aaa/vm3"));
        check(&one, &["vm4"], Err("no machine is called `vm4`"));
        check(&one, &["vm3", "ls"], Err("unexpected argument `ls`"));
        check(&[], &[], Err("no orca of yours holds a machine"));
        let two =
            machines(&["/t/orca-aaa/vm3.shell", "/t/orca-bbb/vm3.shell", "/t/orca-bbb/vm4.shell"]);
        check(&two, &[], Err("there are several machines"));
        check(&two, &["vm3"], Err("there are several machines"));
        check(&two, &["vm4"], Ok("bbb/vm4"));
        check(&two, &["aaa/vm3"], Ok("aaa/vm3"));
        let lines = list(&two);
        let lines: Vec<&str> = lines.lines().skip(1).map(str::trim).collect();
        assert_eq!(lines, ["orca shell aaa/vm3", "orca shell bbb/vm3", "orca shell vm4"]);
    }
}
