//! `orca config`: the value of every option of `orca test`, and where it comes from.

use crate::arch::Arch;
use crate::cli::command::Command;
use crate::cli::config::Config;
use crate::cli::flag::{Computed, DefaultValue, Flag, Later, Takes};
use crate::cli::flags;
use crate::cli::raw::{Format, Given, Source};
use crate::error::Result;
use crate::events::exit;
use crate::qemu::arch;
use crate::report::plain;
use crate::setup::boot_files;
use crate::text::quote::shell_word;
use serde_json::{Value, json};
use std::mem::discriminant;

/// The width of the table's column of values.
const WIDTH: usize = 24;

/// The values of one option.
struct Setting {
    name: &'static str,
    /// Each with its source. One that was not given has its default, if it has one.
    values: Vec<(Option<String>, String)>,
    is_switch: bool,
    /// Whether it may be given several times.
    is_list: bool,
}

/// Prints the settings.
///
/// # Errors
/// None: wrong settings have been refused before.
pub fn run(config: &Config) -> Result<u8> {
    let settings: Vec<Setting> =
        flags::of(Command::Test).map(|flag| resolve(flag, config)).collect();
    let folders = [
        ("project", config.root.display().to_string()),
        ("cache", config.cache.display().to_string()),
        ("state", config.state.display().to_string()),
    ];
    let text = if config.raw.format == Format::Json {
        let values: serde_json::Map<String, Value> =
            settings.iter().map(|s| (s.name.to_owned(), object(s))).collect();
        let folders: serde_json::Map<String, Value> =
            folders.into_iter().map(|(name, path)| (name.to_owned(), path.into())).collect();
        format!("{:#}\n", json!({ "settings": values, "folders": folders }))
    } else {
        let mut out = String::new();
        for setting in &settings {
            out.push_str(&rows(setting));
        }
        out.push('\n');
        for (name, path) in folders {
            out.push_str(&format!("{name:16} {path}\n"));
        }
        out
    };
    plain::out(text.as_bytes());
    Ok(exit::GOOD)
}

/// The rows of the table, one per value. A value that is wider than its column has the source on
/// the next line.
fn rows(setting: &Setting) -> String {
    let row = |(value, from): &(Option<String>, String)| {
        let value = value.as_deref().unwrap_or(if setting.is_switch { "off" } else { "-" });
        let shown = shell_word(value.as_bytes());
        let apart = if shown.chars().count() > WIDTH {
            format!("\n{:17}{:WIDTH$}", "", "")
        } else {
            String::new()
        };
        format!("{:16} {shown:WIDTH$}{apart} {from}\n", setting.name)
    };
    setting.values.iter().map(row).collect()
}

/// Of an option that may be given several times, lists of its values and sources.
fn object(setting: &Setting) -> Value {
    let (values, from): (Vec<_>, Vec<_>) = setting.values.iter().cloned().unzip();
    match &setting.values[..] {
        [(value, from)] if !setting.is_list || value.is_none() => {
            json!({ "value": value, "from": from })
        }
        _ => json!({ "value": values, "from": from }),
    }
}

/// The value of `flag` that was given last, or all that were given if several count, or its
/// default.
fn resolve(flag: &'static Flag, config: &Config) -> Setting {
    let mine = |given: &&Given| given.flag == flag.long;
    let given: Vec<&Given> = config.raw.given.iter().filter(mine).collect();
    let last = given.last().map(|last| discriminant(&last.source));
    let counts: Vec<&Given> = match flag.takes {
        Takes::List(_, Later::Add, _) | Takes::Variable(_) => given,
        Takes::List(_, Later::Replace, _) => {
            given.into_iter().filter(|given| Some(discriminant(&given.source)) == last).collect()
        }
        _ => given.last().copied().into_iter().collect(),
    };
    let mut values: Vec<(Option<String>, String)> =
        counts.iter().map(|given| (Some(shown(flag, given)), source(&given.source))).collect();
    if values.is_empty() {
        values.push((default(flag, config), "default".to_owned()));
    }
    Setting {
        name: flag.long,
        values,
        is_switch: matches!(flag.takes, Takes::Nothing(_)),
        is_list: matches!(flag.takes, Takes::List(..) | Takes::Variable(_)),
    }
}

/// A value that was given; `on` for a switch, or if the value was left out.
fn shown(flag: &Flag, given: &Given) -> String {
    match given.value.is_empty() {
        true => "on".to_owned(),
        false => flag.shown(&given.value).to_string_lossy().into_owned(),
    }
}

fn source(source: &Source) -> String {
    match source {
        Source::Rc(line) => format!(".orcarc line {line}"),
        Source::Variable(name) => name.clone(),
        Source::Line => "command line".to_owned(),
    }
}

/// The default of `flag`; `None` if there is none, or if only a run finds it out.
fn default(flag: &Flag, config: &Config) -> Option<String> {
    match flag.default {
        DefaultValue::Unset | DefaultValue::PerRun => None,
        DefaultValue::Fixed(value) => Some(value.to_owned()),
        DefaultValue::Computed(which) => Some(computed(which, config)),
    }
}

fn computed(which: Computed, config: &Config) -> String {
    let file = |names: &[&str]| config.image_file(names).display().to_string();
    let guest = config.raw.arch.unwrap_or(Arch::HOST);
    match which {
        Computed::ProjectRoot => config.root.display().to_string(),
        Computed::History => config.history_path().display().to_string(),
        Computed::Jobs => config.jobs.to_string(),
        Computed::Kernel => file(arch::target(guest).kernels),
        Computed::Initrd => file(&[boot_files::IMAGE_INITRD]),
        Computed::Rootfs => file(&[boot_files::IMAGE_ROOT]),
        Computed::Arch => guest.to_string(),
        Computed::Qemu => arch::target(guest).program.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wide_value_keeps_the_columns_and_a_switch_is_on_or_off() {
        let row = |value: Option<&str>, is_switch| {
            let value = value.map(str::to_owned);
            rows(&Setting {
                name: "x",
                values: vec![(value, "default".into())],
                is_switch,
                is_list: false,
            })
        };
        let at = |text: String| text.lines().last().unwrap().find("default");
        let narrow = row(Some("4"), false);
        let wide = row(Some(&"w".repeat(60)), false);
        assert_eq!((narrow.lines().count(), wide.lines().count()), (1, 2));
        assert_eq!((at(narrow), at(wide)), (Some(42), Some(42)));
        assert!(row(None, true).contains(" off "));
        assert!(row(None, false).contains(" - "));
    }
}
