//! Finds or makes the template that machines are copied from, as long as no test has run.

use super::freezer::Keeper;
use super::interface::Warn;
use super::launch::{Launcher, boot_failure};
use super::layers::CopySource;
use super::snapshot;
use crate::cancel::Cancel;
use crate::events::trouble::Trouble;
use crate::qemu::argv::Spec;
use crate::qemu::template::{self, Template};
use crate::text::count::count;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// The name of the template for machines of `spec`.
///
/// # Errors
/// As [`template::key`].
pub(super) fn key(spec: &Spec) -> io::Result<String> {
    template::key(spec, &snapshot::settling(spec))
}

/// What is kept from earlier runs for machines of `spec`: the template of the project if there is
/// one, with `warming` done in it, else the template without a project.
///
/// # Errors
/// The template's name cannot be known.
pub(super) fn find(
    spec: &Spec,
    keeper: &Keeper,
    warming: Option<(&Path, &str)>,
    warn: Warn<'_>,
) -> Result<Option<CopySource>, Trouble> {
    let key = key(spec).map_err(|e| boot_failure(crate::error::plain(&e)))?;
    if let Some(warming) = warming
        && let Ok(Some(template)) = keeper.store.open(&template::key_above(&key, warming))
    {
        return source(template, key, true, keeper).map(Some);
    }
    match keeper.store.open(&key) {
        Ok(None) => Ok(None),
        Ok(Some(template)) => source(template, key, false, keeper).map(Some),
        Err(why) => {
            warn(format!("made the template again: {why}"));
            Ok(None)
        }
    }
}

/// Boots a machine of `spec` and freezes it, unless somebody else does so at the same time.
///
/// # Errors
/// It does not boot, or cannot be kept.
pub(super) fn make(
    launcher: &Launcher,
    spec: &Spec,
    keeper: &Keeper,
    cancel: &Cancel,
) -> Result<CopySource, Trouble> {
    let host = |e: crate::error::Error| boot_failure(e.to_string());
    let key = key(spec).map_err(|e| boot_failure(crate::error::plain(&e)))?;
    let stage = keeper.store.stage(&key).map_err(host)?;
    if !stage.is_made() {
        snapshot::freeze(launcher, spec, &stage, cancel)?;
        stage.publish(&describe(spec)).map_err(host)?;
    }
    let made = keeper.store.open(&key).map_err(boot_failure)?;
    let made = made.ok_or_else(|| boot_failure("the template is gone".to_owned()))?;
    source(made, key, false, keeper)
}

fn source(
    template: Template,
    key: String,
    is_mounted: bool,
    keeper: &Keeper,
) -> Result<CopySource, Trouble> {
    CopySource::new(Arc::new(template), key.into(), is_mounted, &keeper.run_dir)
        .map_err(|e| boot_failure(e.to_string()))
}

/// Machines of `spec`, in words.
pub(super) fn describe(spec: &Spec) -> String {
    let root = match &spec.rootfs {
        Some(path) => path.display().to_string(),
        None if spec.host_root => "this host's root".to_owned(),
        None => "no disk".to_owned(),
    };
    let Spec { arch, accel, memory_mib, cpus, net, wired_cards, .. } = spec;
    let card = match net {
        _ if *wired_cards > 0 => format!(", {} on wires", count(*wired_cards, "card")),
        true => ", network card".to_owned(),
        false => String::new(),
    };
    format!("{arch} {}, {memory_mib} MiB, {}{card}, {root}", accel.name(), count(*cpus, "CPU"))
}
