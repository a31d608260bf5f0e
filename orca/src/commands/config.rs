//! `orca config`: what every option of a run is set to, and by what.

use crate::cli::command::Command;
use crate::cli::config::Config;
use crate::cli::flags::{FLAGS, Flag};
use crate::cli::raw::{Format, Given, Source};
use crate::error::Result;
use crate::events::exit;
use crate::qemu::arch;
use crate::report::plain;
use serde_json::{Value, json};

/// One setting, resolved.
struct Setting {
    name: &'static str,
    value: Option<String>,
    from: String,
}

/// Prints the settings.
///
/// # Errors
/// None of its own; a setting that is wrong has been one already.
pub fn run(config: &Config) -> Result<u8> {
    let settings: Vec<Setting> =
        FLAGS.iter().filter(|flag| flag.is_on(Command::Test)).map(|f| resolve(f, config)).collect();
    let folders = [
        ("project", config.root.display().to_string()),
        ("cache", config.cache.display().to_string()),
        ("state", config.state.display().to_string()),
    ];
    let text = if config.raw.format == Some(Format::Json) {
        let values: serde_json::Map<String, Value> =
            settings.iter().map(|s| (s.name.to_owned(), object(s))).collect();
        let folders: serde_json::Map<String, Value> =
            folders.into_iter().map(|(name, path)| (name.to_owned(), path.into())).collect();
        format!("{:#}\n", json!({ "settings": values, "folders": folders }))
    } else {
        let mut out = String::new();
        for setting in &settings {
            let value = setting.value.as_deref().unwrap_or("-");
            let shown = crate::text::quote::shell_word(value.as_bytes());
            out.push_str(&format!("{:16} {shown:24} {}\n", setting.name, setting.from));
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

fn object(setting: &Setting) -> Value {
    json!({ "value": setting.value, "from": setting.from })
}

/// The last that was said of `flag` counts, except for those that add up.
fn resolve(flag: &'static Flag, config: &Config) -> Setting {
    let given: Vec<&Given> =
        config.raw.given.iter().filter(|given| given.flag == flag.long).collect();
    let Some(last) = given.last() else {
        return Setting {
            name: flag.long,
            value: default(flag.long, config),
            from: "default".into(),
        };
    };
    let all = if flag.long == "env" { &given[..] } else { std::slice::from_ref(last) };
    let shown: Vec<String> = all.iter().map(|given| value(flag, given)).collect();
    Setting { name: flag.long, value: Some(shown.join(" ")), from: source(&last.source) }
}

/// A variable may hold a secret: its name is enough.
fn value(flag: &Flag, given: &Given) -> String {
    let text = given.value.to_string_lossy().into_owned();
    match flag.value {
        None => "on".to_owned(),
        Some(_) if flag.long == "env" => text.split('=').next().unwrap_or_default().to_owned(),
        Some(_) if text.is_empty() => "on".to_owned(),
        Some(_) => text,
    }
}

fn source(source: &Source) -> String {
    match source {
        Source::Rc(line) => format!(".orcarc line {line}"),
        Source::Variable(name) => name.clone(),
        Source::Line => "command line".to_owned(),
    }
}

/// What an option is that nobody has set; `None` where that is nothing.
fn default(name: &str, config: &Config) -> Option<String> {
    let seconds = |time: std::time::Duration| format!("{}s", time.as_secs_f64());
    let file = |names: &[&str]| config.image_file(names).display().to_string();
    let arch = config.raw.arch.unwrap_or(crate::arch::Arch::HOST);
    Some(match name {
        "project-root" => config.root.display().to_string(),
        "jobs" => config.jobs.to_string(),
        "timeout" => seconds(config.timeout),
        "boot-timeout" => seconds(config.boot_timeout),
        "memory" => format!("{}M", config.shape.memory_mib),
        "cpus" => config.shape.cpus.to_string(),
        "retries" => "0".to_owned(),
        "kernel" => file(arch::row(arch).kernels),
        "initrd" => file(&["initramfs"]),
        "rootfs" => file(&["rootfs.ext4"]),
        "qemu" => arch::row(arch).program.to_owned(),
        "arch" => arch.to_string(),
        "accel" | "color" => "auto".to_owned(),
        "share" => "overlay".to_owned(),
        "net" => "none".to_owned(),
        "machine" => "vm".to_owned(),
        "format" => "human".to_owned(),
        "artifacts" => "failed".to_owned(),
        _ => return None,
    })
}
