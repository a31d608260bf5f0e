//! `orca template`: lists, builds and removes the templates that orca keeps between runs.

use crate::cancel;
use crate::cli::config::Config;
use crate::conductor::interactive;
use crate::error::{Error, Result};
use crate::events::exit;
use crate::host::signals;
use crate::qemu::template::{SPACE_MAX, Store};
use crate::report::{paint::safe, plain};
use crate::setup::{self, boot_files};
use std::time::SystemTime;

/// Lists, builds or removes templates.
///
/// # Errors
/// Usage; a template that cannot be built or removed.
pub fn run(config: &Config) -> Result<u8> {
    let words: Vec<&str> = config.raw.words.iter().map(|w| w.to_str().unwrap_or("?")).collect();
    let store = Store::new(&config.cache);
    match words[..] {
        [] | ["list"] => list(&store),
        ["build"] => build(config),
        ["remove", ref keys @ ..] if !keys.is_empty() => remove(&store, keys),
        ["remove"] => {
            let error = Error::new("`orca template remove` needs the names of templates");
            Err(error.hint("`orca template list` shows them; `orca clean` removes all"))
        }
        [word, ..] => Err(Error::new(format!("`orca template` has no `{word}`"))
            .hint("try `orca template list`, `build` or `remove NAME`")),
    }
}

fn list(store: &Store) -> Result<u8> {
    let mut total = 0;
    for entry in store.list() {
        total += entry.bytes;
        let line = format!(
            "{}  {:>5} MiB  used {:<12}  {}\n",
            entry.key,
            entry.bytes >> 20,
            ago(entry.used),
            safe(&entry.description)
        );
        plain::out(line.as_bytes());
    }
    let line = format!("{} MiB of at most {} MiB\n", total >> 20, SPACE_MAX >> 20);
    plain::out(line.as_bytes());
    Ok(exit::GOOD)
}

fn ago(used: SystemTime) -> String {
    if used == SystemTime::UNIX_EPOCH {
        return "never".to_owned();
    }
    match SystemTime::now().duration_since(used).unwrap_or_default().as_secs() {
        0..60 => "just now".to_owned(),
        seconds @ 60..3600 => format!("{} min ago", seconds / 60),
        seconds @ 3600..86_400 => format!("{} h ago", seconds / 3600),
        seconds => format!("{} days ago", seconds / 86_400),
    }
}

fn build(config: &Config) -> Result<u8> {
    if config.raw.cold {
        return Err(Error::new("--cold makes no template").hint("leave it out"));
    }
    boot_files::only_one(config)?;
    let lab = setup::vms(config)?;
    let signals = signals::listen()?;
    let (canceller, cancel) = cancel::channel();
    let make = || lab.maker.prepare(config.shape, &cancel);
    let (made, interrupted) = interactive::interruptible(canceller, &signals, make);
    drop(lab);
    match (made, interrupted) {
        (_, Some(signal)) => signals::die_of(signal),
        (Ok(()), None) => list(&Store::new(&config.cache)),
        (Err(trouble), None) => {
            plain::err(format!("console:\n{}\n", trouble.console).as_bytes());
            Err(Error::new(trouble.detail))
        }
    }
}

fn remove(store: &Store, keys: &[&str]) -> Result<u8> {
    for key in keys {
        if !store.list().iter().any(|entry| entry.key == *key) {
            let error = Error::new(format!("no template is called `{key}`"));
            return Err(error.hint("`orca template list` shows them"));
        }
        store.remove(key)?;
    }
    Ok(exit::GOOD)
}
